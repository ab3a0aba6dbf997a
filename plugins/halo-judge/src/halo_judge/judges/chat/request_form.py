"""The requests of the judge `gpt-4`: all that they have in common, and the messages of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from halo_core.judge import Comparison
from halo_judge.judges.chat.completion import NoCompletion, Reply, stored_reply
from halo_judge.judges.chat.reading import read_reply
from halo_judge.judges.chat.template import Template

Request = Mapping[str, Any]
"""A request with `endpoint`, `template` (its hash), `model`, `parameters` and `messages`."""


@dataclass(frozen=True)
class RequestForm:
    """The common part of all requests of a judge.

    Attributes:
        base_url: The address of the endpoint.
        model: The model's name there.
        parameters: Further parameters to send with the messages, by the endpoint's names.
        max_tokens: Maximum number of tokens of a reply.
        template: The template of the messages.
    """

    base_url: str
    model: str
    parameters: Mapping[str, Any]
    max_tokens: int
    template: Template

    def request(self, shown: Comparison) -> Request:
        """Returns the request for a verdict on two texts in their shown order."""
        return {**self._common, "messages": self.template.messages(shown)}

    @property
    def _common(self) -> Request:
        return {
            "endpoint": self.base_url,
            # The hash is needed too: an edited label changes a reply's meaning, not the messages.
            "template": self.template.digest,
            "model": self.model,
            "parameters": self.parameters,
        }

    def fits(self, request: Request) -> bool:
        """Returns whether a request differs from those of this form only in its messages."""
        return {**request, "messages": None} == {**self._common, "messages": None}

    def has_verdict(self, reply: Mapping[str, Any]) -> bool:
        """Returns whether a stored reply has a verdict in the form of the template."""
        try:
            return read_reply(stored_reply(reply), self.template.answer).winner is not None
        except NoCompletion:
            return False

    def ask_again(self, request: Request, reply: Reply) -> Request:
        """Returns the request that asks again and shows the reply that could not be read."""
        content = reply["content"] or reply["refusal"] or "(no answer)"
        more = [
            {"role": "assistant", "content": content},
            {"role": "user", "content": self.template.reminder},
        ]
        return {**request, "messages": [*request["messages"], *more]}
