"""Sends requests to an OpenAI-compatible endpoint, and returns replies or failures.

The `openai` client retries after connection errors, time-outs, 408, 409, 429 and 5xx, and obeys
Retry-After. It is imported here, inside the call that opens an endpoint. Requests use its `post`,
which sends a body unchanged, because the checks and conversions of `chat.completions.create` take a
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
"""Maximum number of characters of an endpoint's error that are kept."""
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
"""Advice by parameter, for models that do not accept the parameter."""

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
        return {
            "endpoint": self.base_url,
            # The hash is needed too: an edited label changes a reply's meaning, not the messages.
            "template": self.template.digest,
            "model": self.model,
            "parameters": self.parameters,
            "messages": self.template.messages(shown),
        }

    def ask_again(self, request: Request, reply: Mapping[str, Any]) -> Request:
        """Returns the request that asks again and shows the reply that could not be read."""
        content = reply["content"] or reply["refusal"] or "(no answer)"
        more = [
            {"role": "assistant", "content": content},
            {"role": "user", "content": self.template.reminder},
        ]
        return {**request, "messages": [*request["messages"], *more]}


class ChatClient:
    """A client of one endpoint. Threads may share it.

    Args:
        base_url: The endpoint's address.
        key: The endpoint's key.
        timeout_s: Maximum seconds for one request.
        retries: Number of times that a failed request is sent again.
        pace: The pace of requests, which every 429 slows down. While it is held, nothing is sent.
        judge: The judge's name, for messages.

    Raises:
        UserError: When the package `openai` is missing.
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
            raise self._openai.OpenAIError("stopped")  # An error of this class is not retried.
        self._sent.round = self._pace.round

    def _after(self, response: Any) -> None:
        if response.status_code == 429:
            self._pace.slow_down(self._sent.round)

    def ask(
        self, model: str, messages: Sequence[Mapping[str, str]], parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Returns the reply: `content`, `finish`, `refusal`, token counts and optional `tokens`.

        Raises:
            Unreachable: When no reply came after all retries.
            Rejected: When the endpoint rejects this request.
            UserError: When it would reject every request: a wrong key, model, address or parameter.
        """
        openai = self._openai
        body = {"model": model, "messages": list(messages), **parameters}
        try:
            reply = self._send(body)
        except openai.APIStatusError as error:
            raise self._failure(error) from None
        except UnicodeEncodeError as error:  # A reply that is shown again may contain such text.
            half = f"\\u{ord(error.object[error.start]):04x}"
            raise Rejected(
                f"the text holds {half}, half of a surrogate pair, and cannot be sent"
            ) from None
        except openai.OpenAIError as error:
            raise Unreachable(f"{self._base_url}: {self._words(error)}") from None
        hidden: dict[str, Any] = self._key.hide_in(reply)
        return hidden

    def _send(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Sends a request, and sends it again if the reply is damaged, which no client does.

        The same request always has the same Idempotency-Key. An endpoint that supports it repeats
        for free a reply that was lost on the way or in a killed process.
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
        if code == 400 and error.param in _NOT_TAKEN:  # It would also reject all other requests.
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
