"""Reads the body of a chat completion. Endpoints differ in it, and not all follow the API.

A text may be a list of parts, a count may be a text, and an error may come with status 200. A body
without an answer is reported with a reason, and is never taken for an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict

from halo_judge.judges.chat.certainty import Token, kept_tokens

THOUGHTS = ("thinking", "redacted_thinking", "reasoning", "reasoning_content", "thought")
"""Types of parts that hold the model's thoughts and not its answer."""
TEXTS = (None, "text", "output_text")
_FINISHES = {
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "content-filter": "content_filter",
    "safety": "content_filter",
    "prohibited_content": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
}
"""The API's name of a reason to stop, for the names that other endpoints have."""
MOST_TOKENS = 10**9
"""Maximum number of tokens that is taken for a count."""
SHOWN = 300
"""Maximum number of characters of a body in a reason."""


class Reply(TypedDict):
    """An answer of a model, as it is stored.

    Attributes:
        content: The text.
        finish: Why the model stopped, by the API's names in lower case; None if not known.
        refusal: The text of a refusal; None if the model did not refuse.
        tokens_in: Number of tokens of the request; None if the endpoint did not count.
        tokens_out: Number of tokens of the answer; None if the endpoint did not count.
        tokens: The tokens with their log-probabilities; None if the endpoint sent none.
    """

    content: str
    finish: str | None
    refusal: str | None
    tokens_in: int | None
    tokens_out: int | None
    tokens: list[Token] | None


class NoCompletion(Exception):
    """Raised for a body that holds no answer.

    Args:
        reason: A text with the body and the expected form.
        passing: Whether the endpoint reports an error, which may pass when it has time.
        charged: Numbers of tokens in and out that the endpoint charged for it; None for none.
    """

    def __init__(
        self, reason: str, *, passing: bool = False, charged: tuple[int, int] | None = None
    ) -> None:
        super().__init__(reason)
        self.passing = passing
        self.charged = charged


def read_completion(body: Any) -> Reply:
    """Returns the answer in a body.

    Args:
        body: The body as a JSON tree.

    Raises:
        NoCompletion: When the body holds no answer.
    """
    if not isinstance(body, Mapping):
        raise NoCompletion(f"expected a chat completion, got {_shown(body)}")
    usage = body.get("usage")
    counts = usage if isinstance(usage, Mapping) else {}
    tokens_in, tokens_out = (count(counts.get(f"{k}_tokens")) for k in ("prompt", "completion"))
    charged = (tokens_in or 0, tokens_out or 0) if tokens_in or tokens_out else None
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    finish = _finish(choice.get("finish_reason")) if isinstance(choice, Mapping) else None
    errors = [where.get("error") for where in (body, choice) if isinstance(where, Mapping)]
    error = next(filter(None, errors), None)
    if error is not None or finish == "error":
        words = _error_words(error) if error else "finish_reason is 'error'"
        reason = f"the endpoint reported an error in its reply: {words}"
        raise NoCompletion(reason, passing=True, charged=charged)
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        what = "a chat completion, with a message in choices"
        raise NoCompletion(f"expected {what}, got {_shown(body)}", charged=charged)
    content, refused = _texts(message.get("content"), charged)
    return Reply(
        content=content,
        finish=finish,
        refusal=_refusal(message.get("refusal")) or refused,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        tokens=kept_tokens(choice.get("logprobs")),
    )


def stored_reply(stored: Mapping[str, Any]) -> Reply:
    """Returns an answer as stored, also if an earlier version stored it unchecked.

    Raises:
        NoCompletion: When it holds no answer.
    """
    content, refused = _texts(stored.get("content"), None)
    tokens = stored.get("tokens")
    return Reply(
        content=content,
        finish=_finish(stored.get("finish")),
        refusal=_refusal(stored.get("refusal")) or refused,
        tokens_in=count(stored.get("tokens_in")),
        tokens_out=count(stored.get("tokens_out")),
        tokens=tokens if isinstance(tokens, list) else None,
    )


def count(value: object) -> int | None:
    """Returns a number of tokens, which some endpoints send as a text; None if it is not one.

    >>> count(12), count("12"), count(12.0), count(-1), count("many"), count(None)
    (12, 12, 12, None, None, None)
    """
    # A longer text could not be turned into a number, and a larger one not into dollars.
    if isinstance(value, str) and value.strip().isdecimal() and len(value) <= SHOWN:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= MOST_TOKENS and value % 1 == 0 else None


def _finish(value: object) -> str | None:
    if value is None:
        return None
    name = str(value).lower()
    # Some endpoints add the kind of content to the name.
    return "content_filter" if name.startswith("content_filter") else _FINISHES.get(name, name)


def _refusal(value: object) -> str | None:
    if not value:
        return None
    return value if isinstance(value, str) else json.dumps(value)


def _texts(content: object, charged: tuple[int, int] | None) -> tuple[str, str | None]:
    """Returns the text of a content, without the model's thoughts, and the text of a refusal."""
    if content is None:
        return "", None
    if isinstance(content, str):
        return content, None
    if isinstance(content, Mapping) and "type" not in content and "text" not in content:
        return json.dumps(content), None  # A JSON answer that the endpoint has parsed already.
    parts = content if isinstance(content, list) else [content]
    said, refused = [], []
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(text, Mapping):
            text = text.get("value")
        if kind in THOUGHTS or (isinstance(part, Mapping) and part.get("thought") is True):
            continue
        if isinstance(part, Mapping) and kind == "refusal":
            refused.append(str(part.get("refusal")))
        elif kind in TEXTS and isinstance(text, str):
            said.append(text)
        else:
            raise NoCompletion(
                f"expected a text as content, got a part {_shown(part)}", charged=charged
            )
    return "".join(said), "".join(refused) or None


def _error_words(error: object) -> str:
    message = error.get("message") if isinstance(error, Mapping) else error
    return " ".join(message.split())[:SHOWN] if isinstance(message, str) else _shown(error)


def _shown(value: object) -> str:
    return repr(value)[:SHOWN]
