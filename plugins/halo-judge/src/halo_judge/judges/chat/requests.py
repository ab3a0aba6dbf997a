"""The request that a comparison becomes, and what requests would cost, without asking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_core.judge import Comparison, Quote
from halo_judge.judges.chat.prices import Price, about_tokens
from halo_judge.judges.chat.template import Template
from halo_judge.judges.endpoint.reply_store import request_key, stored_keys

Request = Mapping[str, Any]
"""`endpoint`, `template` (its hash), `model`, `parameters` and `messages`."""


@dataclass(frozen=True)
class RequestForm:
    """What all requests of a judge have in common.

    Attributes:
        base_url: The address of the endpoint.
        model: The model's name there.
        parameters: What is sent beside the messages, under the names of the endpoint.
        max_tokens: Of a reply, at most.
        template: The text.
    """

    base_url: str
    model: str
    parameters: Mapping[str, Any]
    max_tokens: int
    template: Template

    def request(self, shown: Comparison) -> Request:
        """Returns the request for a verdict on two texts in the order in which they are shown."""
        return {
            "endpoint": self.base_url,
            # The hash beside the messages: an edited label changes what a reply means, not them.
            "template": self.template.digest,
            "model": self.model,
            "parameters": self.parameters,
            "messages": self.template.messages(shown),
        }

    def ask_again(self, request: Request, reply: Mapping[str, Any]) -> Request:
        """Returns the request that asks once more, showing the reply that could not be read."""
        content = reply["content"] or reply["refusal"] or "(no answer)"
        more = [
            {"role": "assistant", "content": content},
            {"role": "user", "content": self.template.reminder},
        ]
        return {**request, "messages": [*request["messages"], *more]}


def quote(
    form: RequestForm,
    comparisons: Sequence[Comparison],
    shared: Path,
    *,
    price: Price | None,
    source: str,
) -> Quote:
    """Returns the requests that comparisons take, their tokens and their cost.

    Tokens sent are a quarter of the bytes; replies are counted at `max_tokens`, which few reach.
    Replies that have to be asked for once more are not counted.

    Args:
        form: Of the requests.
        comparisons: What would be asked.
        shared: Where replies are kept.
        price: Of the model; None where it is not known.
        source: Whose price it is.
    """
    keys = stored_keys(shared) if comparisons else set()
    before, kept, tokens_in = len(keys), 0, 0
    for comparison in comparisons:
        shown = form.template.shown(comparison)
        request = form.request(shown)
        key = request_key(request)
        if shown.a == shown.b or key in keys:
            kept += 1
            continue
        keys.add(key)
        tokens_in += about_tokens(request["messages"])
    calls = len(keys) - before
    tokens_out = calls * form.max_tokens
    cost = None if price is None else price.cost(tokens_in, tokens_out)
    return Quote(calls, kept, tokens_in, tokens_out, cost, form.model, source)
