"""The odd answers of the table in `deviations.py`, as functions of the completion to send."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

Completion = Mapping[str, Any]
"""The body of a chat completion."""


@dataclass(frozen=True)
class Answer:
    """An answer of a server.

    Attributes:
        body: The body.
        status: The status.
        headers: Headers in addition to the content's type and length.
        length: The length that is announced; None for that of the body. Below 0, none is announced.
        byte_s: Seconds before each byte of the body.
        head_s: Seconds before each header of further ones that never end.
        before: Bytes that are sent before the answer.
        silent: Whether nothing is sent, until the client gives up.
        hangs_up: Whether the connection is closed without an answer.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    byte_s: float = 0.0
    head_s: float = 0.0
    before: bytes = b""
    silent: bool = False
    hangs_up: bool = False


def answer_of(body: object, **more: Any) -> Answer:
    """Returns the answer with a JSON body."""
    return Answer(json.dumps(body).encode(), **more)


def _error(status: int, message: str, **more: Any) -> Callable[[Completion], Answer]:
    error = {"message": message, "type": "planned", "code": None, "param": None, **more}
    return lambda _: answer_of({"error": error}, status=status)


def _plain(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Callable[[Completion], Answer]:
    return lambda _: answer_of(body, status=status, headers=headers or {})


def _text(text: bytes, status: int = 200, **more: Any) -> Callable[[Completion], Answer]:
    return lambda _: Answer(text, status, **more)


def _choice(**changes: Any) -> Callable[[Completion], Answer]:
    """Changes fields of the completion's choice."""
    return lambda good: answer_of(_with_choice(good, changes))


def _with_choice(good: Completion, changes: Mapping[str, Any]) -> Completion:
    return {**good, "choices": [{**good["choices"][0], **changes}]}


def _content(make: Callable[[str], Any], **changes: Any) -> Callable[[Completion], Answer]:
    """Makes another content of the completion's."""

    def answer(good: Completion) -> Answer:
        message = {**good["choices"][0]["message"], "content": make(_said(good))}
        return answer_of(_with_choice(good, {"message": message, **changes}))

    return answer


def _said(good: Completion) -> str:
    content: str = good["choices"][0]["message"]["content"]
    return content


def _usage(**counts: Any) -> Callable[[Completion], Answer]:
    return lambda good: answer_of({**good, "usage": {**good["usage"], **counts}})


def _parts(*thoughts: Mapping[str, Any]) -> Callable[[str], Any]:
    return lambda said: [*thoughts, {"type": "text", "text": said}]


def _with_word(said: str, word: str) -> str:
    """Returns a content with a word more, where it changes no verdict."""
    try:
        answer = json.loads(said)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or len(answer) < 2:
        return f"{word}\n{said}"
    first = next(iter(answer))
    return json.dumps({**answer, first: f"{answer[first]} {word}"})


def _blanks(said: str) -> str:
    try:
        answer = json.loads(said)
        last = list(answer)[-1]
        return json.dumps({**answer, last: f" {answer[last]}\n"})
    except (ValueError, TypeError):
        return f" \n{said} \n"


def _broken_line(said: str) -> str:
    """Returns a content with a line end within a text of its JSON, where it changes no verdict."""
    return _with_word(said, "line 1\nline 2").replace("\\n", "\n")


def _parsed(said: str) -> Any:
    try:
        return json.loads(said)
    except ValueError:
        return said


def _tokens(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[Completion], Answer]:
    """Changes the log-probabilities, if they were requested."""

    def answer(good: Completion) -> Answer:
        logprobs = good["choices"][0].get("logprobs")
        if not logprobs:
            return answer_of(good)
        changed = change(deepcopy(logprobs["content"]))
        return answer_of(_with_choice(good, {"logprobs": changed}))

    return answer


def _without_alternatives(tokens: list[dict[str, Any]]) -> Any:
    return {"content": [{**token, "top_logprobs": None} for token in tokens]}


def _after_thoughts(tokens: list[dict[str, Any]]) -> Any:
    thought = [_token(text) for text in ("<think>", "A", " or", " B", "</think>", "\n")]
    return {"content": [*thought, *tokens, _token("<|im_end|>")]}


def _as_bytes(tokens: list[dict[str, Any]]) -> Any:
    single = []
    for token in tokens:
        raw = token["token"].encode()
        whole = [{**token, "bytes": list(raw)}]
        # Tokens without alternatives worth keeping are sent byte by byte, as for rare characters.
        parts = [{**_token(f"\\x{byte:02x}"), "bytes": [byte]} for byte in raw]
        single += whole if len(token["top_logprobs"]) > 1 else parts
    return {"content": single}


def _of_another_text(tokens: list[dict[str, Any]]) -> Any:
    return {"content": [_token(text) for text in ("Well", ",", " well")]}


def _no_numbers(tokens: list[dict[str, Any]]) -> Any:
    odd = [{"token": "A", "logprob": "-inf?"}, {"token": "B", "logprob": 7e300}]
    return {"content": [{**token, "logprob": None, "top_logprobs": odd} for token in tokens]}


def _token(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": -0.1, "top_logprobs": [{"token": text, "logprob": -0.1}]}


def _encoded(encode: Callable[[bytes], bytes], **headers: str) -> Callable[[Completion], Answer]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(good: Completion) -> Answer:
        return Answer(encode(json.dumps(good).encode()), headers=names)

    return answer


def _named(encode: Callable[[str], bytes], **headers: str) -> Callable[[Completion], Answer]:
    """Adds a text that is not ASCII, where it changes no verdict."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(good: Completion) -> Answer:
        text = json.dumps({**good, "system_fingerprint": "fé"}, ensure_ascii=False)
        return Answer(encode(text), headers=names)

    return answer


def _slowly(good: Completion) -> Answer:
    return replace(answer_of(good), byte_s=0.05)


_LOADING = "Model my/judge is currently loading"
_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
_THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "B is longer."}]}
_AZURE_QUERY = "Missing required query parameter: api-version"

ANSWERS: Mapping[str, Callable[[Completion], Answer]] = {
    "parts": _content(_parts()),
    "thinking-part": _content(_parts(_THOUGHT)),
    "parsed": _content(_parsed),
    "half-emoji": _content(lambda said: _with_word(said, "\ud83d")),
    "thoughts": _content(lambda said: f"<think>B is longer.\nBut A is right.</think>\n\n{said}"),
    "thoughts-closed": _content(lambda said: f"B is longer, but A is right.</think>\n{said}"),
    "nested-thoughts": _content(
        lambda said: f"<think>B says <think>hm</think>.\nBut A is right.</think>\n{said}"
    ),
    "thoughts-open": _content(
        lambda said: f"<think>I should answer {said}", finish_reason="length"
    ),
    "fence": _content(lambda said: f"```JSON\n{said}\n```"),
    "broken-line": _content(_broken_line),
    "blanks": _content(_blanks),
    "turn-end": _content(lambda said: f"{said}<|im_end|>\n"),
    "null-content": _content(lambda said: None),
    "image": _content(lambda said: [{"type": "image_url", "image_url": {"url": "data:,"}}]),
    "empty": _content(lambda said: ""),
    "garbage": _content(lambda said: "Well, well."),
    "refusal": _choice(
        message={"role": "assistant", "content": None, "refusal": "I cannot help with that."}
    ),
    "length": _content(lambda said: '{"comparison": "The fi', finish_reason="length"),
    "finish-error": lambda good: answer_of(
        {
            **good,
            "choices": [
                {
                    "message": {"content": ""},
                    "finish_reason": "error",
                    "error": {"code": 502, "message": "upstream"},
                }
            ],
            "usage": {"prompt_tokens": None},
        }
    ),
    "content-filter": _content(lambda said: "", finish_reason="content_filter"),
    "no-finish": _choice(finish_reason=None),
    "text-counts": _usage(prompt_tokens="12", completion_tokens="3"),
    "odd-counts": _usage(prompt_tokens=-1, completion_tokens={"text": 3}),
    "no-usage": lambda good: answer_of({**good, "usage": None}),
    "error-200": _plain({"error": {"message": _LOADING, "code": 503}}),
    "loading": _plain({"error": _LOADING, "estimated_time": 20.0}),
    "wrong-path": _plain({"error": "Unexpected endpoint or method. (POST /chat/completions)"}),
    "no-choices": lambda good: answer_of({**good, "choices": []}),
    "null-message": _choice(message=None),
    "list": _plain([{"generated": "A"}]),
    "not-json": _text(_PAGE),
    "no-body": _text(b""),
    "events": lambda good: Answer(b"data: " + json.dumps(good).encode() + b"\n\ndata: [DONE]\n\n"),
    "no-alternatives": _tokens(_without_alternatives),
    "tokens-of-thoughts": _tokens(_after_thoughts),
    "byte-tokens": _tokens(_as_bytes),
    "other-tokens": _tokens(_of_another_text),
    "no-numbers": _tokens(_no_numbers),
    "list-of-numbers": _tokens(lambda tokens: [-0.1] * len(tokens)),
    "204": _text(b"", 204),
    "400": _error(400, "not taken"),
    "400-parameter": _error(400, "Unsupported parameter: 'temperature'", param="temperature"),
    "402": _error(402, "Insufficient credits"),
    "403": _error(403, "your input was flagged"),
    "404": _plain({"detail": "Not Found"}, 404),
    "405": _plain({"detail": "Method Not Allowed"}, 405, {"Allow": "GET"}),
    "413": _text(b"<h1>413</h1>", 413),
    "422": _plain({"detail": [{"loc": ["body", "messages"], "msg": "too long"}]}, 422),
    "429": _error(429, "slow down"),
    "429-quota": _error(429, "You exceeded your current quota", code="insufficient_quota"),
    "500": _error(500, "ill"),
    "501": _text(b"", 501),
    "503": _error(503, "ill"),
    "529": _text(_PAGE, 529),
    "redirect": _text(b"", 307, headers={"Location": "https://example.org/v2/chat/completions"}),
    "api-version": _error(400, _AZURE_QUERY),
    "early-hints": lambda good: replace(
        answer_of(good), before=b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    ),
    "timeout": lambda _: Answer(silent=True),
    "trickle": _slowly,
    "slow-head": lambda good: replace(answer_of(good), head_s=0.25),
    "drop": lambda _: Answer(hangs_up=True),
    "cut": _text(b'{"choices": [{"mess', length=1000),
    "retry-tomorrow": lambda _: answer_of(
        {"error": {"message": "tomorrow"}}, status=429, headers={"Retry-After": "86400"}
    ),
    "utf-16": _named(lambda text: text.encode("utf-16")),
    "byte-order-mark": _named(lambda text: text.encode("utf-8-sig")),
    "latin-1": _named(
        lambda text: text.encode("latin-1"),
        Content_Type="application/json; charset=iso-8859-1",
    ),
    "odd-charset": _named(
        lambda text: text.encode("latin-1"), Content_Type="application/json; charset=idna"
    ),
    "not-utf-8": _named(lambda text: text.encode("latin-1")),
    "gzip": _encoded(gzip.compress, Content_Encoding="gzip"),
    "not-gzip": _encoded(lambda raw: raw, Content_Encoding="gzip"),
    "no-length": lambda good: replace(answer_of(good), length=-1),
    "proxy-407": _text(b"Proxy Authentication Required", 407),
    "proxy-502": _text(_PAGE, 502),
}
"""Returns the odd answer for the completion that would have been sent, by name."""
