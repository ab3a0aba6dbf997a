"""A request to an OpenAI-compatible endpoint: how it is made, and what comes back or fails.

The `openai` client retries: connection errors, time-outs, 408, 409, 429 and 5xx, with Retry-After
obeyed. Its import is here, inside the call that opens an endpoint. The request is sent with its
`post`, which sends a body as it is: the checks and conversions of `chat.completions.create` take a
quarter of the client's time.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halo_core.errors import UserError
from halo_core.judge import Comparison
from halo_judge.judges.chat.certainty import kept_tokens
from halo_judge.judges.chat.template import Template
from halo_judge.judges.endpoint.pace import Pace, Rejected, Unreachable
from halo_judge.judges.endpoint.replies import request_key
from halo_judge.judges.endpoint.secret import Secret

if TYPE_CHECKING:
    import httpx2
    import openai

MESSAGE_LENGTH = 300
"""Characters of an endpoint's error that are kept."""
_FATAL = {
    401: "the endpoint does not take the key: check the variable that api_key_env names",
    403: "the key may not use this model: check model and base_url",
    404: "the endpoint knows no such model or address: check model and base_url",
}
_NOT_TAKEN = {
    "max_tokens": "set token_limit_parameter: max_completion_tokens, and raise max_tokens (to "
    "4000, say) if the model thinks before it answers",
    "max_completion_tokens": "set token_limit_parameter: max_tokens",
    "temperature": "set temperature: null",
    "logprobs": "set weighted: false",
    "top_logprobs": "set a smaller top_logprobs, or weighted: false",
}
"""Parameter to what is to be done when a model does not take it."""

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


class ChatClient:
    """A client of one endpoint; threads may share it.

    Args:
        base_url: Its address.
        key: Its key.
        timeout_s: Seconds for one request.
        retries: How often a failed request is sent again.
        pace: Told of every 429; while it is held, nothing is sent.
        judge: The judge's name, for messages.

    Raises:
        UserError: When the package `openai` is not there.
    """

    def __init__(
        self, base_url: str, key: Secret, *, timeout_s: float, retries: int, pace: Pace, judge: str
    ) -> None:
        try:
            import httpx2
            import openai
        except ModuleNotFoundError as error:
            raise UserError(
                f"needs the package openai ({error}): pip install 'halo-judge[openai]'",
                location=judge,
            ) from None
        self._openai = openai
        self._answer: type[httpx2.Response] = httpx2.Response
        self._key = key
        self._judge = judge
        self._base_url = base_url
        self._pace = pace
        self._sent = threading.local()
        hooks: dict[str, list[Callable[[Any], None]]] = {}
        hooks |= {"request": [self._before], "response": [self._after]}
        self._client = openai.OpenAI(
            api_key=key.reveal(),
            base_url=base_url,
            timeout=timeout_s,
            max_retries=retries,
            http_client=openai.DefaultHttpxClient(event_hooks=hooks),
        )

    def close(self) -> None:
        """Closes all connections."""
        self._client.close()

    def _before(self, request: Any) -> None:
        if self._pace.held:
            raise self._openai.OpenAIError("stopped")  # Of this class, so that it is not retried.
        self._sent.round = self._pace.round

    def _after(self, response: Any) -> None:
        if response.status_code == 429:
            self._pace.slow_down(self._sent.round)

    def ask(
        self, model: str, messages: Sequence[Mapping[str, str]], parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns the reply: `content`, `finish`, `refusal`, token counts and, if any, `tokens`.

        Raises:
            Unreachable: When no reply came after all retries.
            Rejected: When the endpoint does not take this request.
            UserError: When it would take none: a wrong key, model, address or parameter.
        """
        openai = self._openai
        body = {"model": model, "messages": list(messages), **parameters}
        try:
            reply = self._send(body)
        except openai.APIStatusError as error:
            raise self._failure(error) from None
        except UnicodeEncodeError as error:  # A reply that is shown again may hold such text.
            half = f"\\u{ord(error.object[error.start]):04x}"
            raise Rejected(
                f"the text holds {half}, half of a surrogate pair, and cannot be sent"
            ) from None
        except openai.OpenAIError as error:
            raise Unreachable(f"{self._base_url}: {self._words(error)}") from None
        hidden: dict[str, Any] = self._key.hide_in(reply)
        return hidden

    def _send(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Sends a request; once more when what came back is damaged, which no client repeats.

        The same request has the same Idempotency-Key, always: an endpoint that heeds it sends a
        reply that was lost on its way, or with a process that was killed, again unpaid.
        """
        options: Any = {"headers": {"Idempotency-Key": request_key(body)}}
        for last in (False, True):
            answer = self._client.post(
                "/chat/completions", cast_to=self._answer, body=body, options=options
            )
            try:
                return _reply(json.loads(answer.content))
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                if last:
                    break
        text = self._key.hide(answer.text)[:MESSAGE_LENGTH]
        raise Unreachable(f"expected a chat completion, got {text!r}")

    def _failure(self, error: openai.APIStatusError) -> Exception:
        code, words = error.status_code, self._words(error)
        if code in _FATAL:
            return UserError(f"{words}; {_FATAL[code]}", location=self._judge)
        if code == 400 and error.param in _NOT_TAKEN:  # It would take no other request either.
            return UserError(f"{words}; {_NOT_TAKEN[error.param]}", location=self._judge)
        if code in (408, 409, 429) or code >= 500:
            return Unreachable(words)
        return Rejected(words)

    def _words(self, error: Exception) -> str:
        cause = f" ({type(error.__cause__).__name__})" if error.__cause__ else ""
        return self._key.hide(f"{error}{cause}")[:MESSAGE_LENGTH]


def _reply(body: Mapping[str, Any]) -> dict[str, Any]:
    choice = body["choices"][0]
    message = choice["message"]
    usage = body.get("usage") or {}
    return {
        "content": message.get("content"),
        "finish": choice.get("finish_reason"),
        "refusal": message.get("refusal"),
        "tokens_in": usage.get("prompt_tokens"),
        "tokens_out": usage.get("completion_tokens"),
        "tokens": kept_tokens(choice.get("logprobs")),
    }
