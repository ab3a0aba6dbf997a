"""The certainty of a judge's verdict, from the log-probabilities of the label's tokens.

The tokens that an endpoint sends need not be those of the text alone: thoughts may precede them,
and tokens may be single bytes. So the text is searched for in the tokens, and the label is at its
place in there. If the text is not found, the verdict has no certainty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, isnan
from typing import Any

from halo_core.judge import Winner

_WORD = re.compile(r'[\s"]*(\w+)')
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_BYTES = re.compile(r"(?:bytes:)?((?:\\x[0-9A-Fa-f]{2})+)")
_BLANKS = str.maketrans({"\u2581": " ", "\u0120": " ", "\u010a": "\n"})
"""Blanks and line ends as tokenizers write them in their own vocabulary."""
LARGEST = 1e-3
"""Largest log-probability that is taken for one: 0, and what rounding adds."""
CONTEXT = 16
"""Number of characters before the label that are searched for if the whole text is not found."""

Token = Mapping[str, Any]
"""A token as ``{"token", "top": [[token, logprob], ...], "bytes"}``, with natural logarithms.

`top` is empty without usable alternatives. `bytes` are there only if they differ from `token`.
"""


@dataclass(frozen=True)
class Certainty:
    """How sure a judge is.

    Attributes:
        preference: The probability that A is better, with a tie as one half; None if not known.
        lack: Why it is not known; empty if it is.
    """

    preference: float | None
    lack: str = ""


def kept_tokens(logprobs: object) -> list[Token] | None:
    """Returns the stored part of log-probabilities, one `Token` per position, if any."""
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(content, list) or not content:
        return None
    return [_kept_token(place) for place in content]


def _kept_token(place: object) -> Token:
    if not isinstance(place, Mapping) or not isinstance(place.get("token"), str):
        return {"token": "", "top": []}
    token: dict[str, Any] = {"token": place["token"], "top": _alternatives(place)}
    raw = place.get("bytes")
    if isinstance(raw, list) and all(isinstance(b, int) and 0 <= b <= 255 for b in raw):
        if bytes(raw) != place["token"].encode():
            token["bytes"] = raw
    return token


def _alternatives(place: Mapping[str, Any]) -> list[list[Any]]:
    """Returns the most probable tokens at a position; none if one of them cannot be used."""
    top = place.get("top_logprobs")
    found = []
    for other in top if isinstance(top, list) else ():
        text = other.get("token") if isinstance(other, Mapping) else None
        logprob = _number(other.get("logprob")) if isinstance(other, Mapping) else None
        if not isinstance(text, str) or logprob is None:
            return []
        found.append([text, logprob])
    return found


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    # A JSON file cannot hold minus infinity, and a probability of exp(-9999) is 0 too.
    return None if isnan(number) or number > LARGEST else max(number, -9999.0)


def certainty(
    tokens: Sequence[Token] | None, content: str, start: int, labels: Mapping[Winner, str]
) -> Certainty:
    """Returns how sure a judge is of the label in its reply.

    The preference is ``(p(A) + p(tie) / 2) / (p(A) + p(B) + p(tie))``, where p is the probability
    of each label at the position of the reply's label. Tokens that are not labels are left out.

    Args:
        tokens: The reply's tokens in order, with the most probable ones at each position; None if
            the endpoint returns none.
        content: The text of the reply.
        start: Position of the label in the text, in characters.
        labels: The reply's label for each winner.
    """
    if not tokens:
        return Certainty(None, "the endpoint sent no log-probabilities")
    place = _place(tokens, content, start)
    if place is None:
        return Certainty(None, "the log-probabilities are not those of the reply's text")
    token, before, text_of = place
    own = text_of(token["token"])
    mass = dict.fromkeys(labels, 0.0)
    for other, logprob in token["top"]:
        text = text_of(other)
        if text[:before] != own[:before] and text[:before].strip():
            continue
        winner = _meant(text[before:], labels)
        if winner is not None:
            mass[winner] += exp(logprob)
    if not token["top"]:
        return Certainty(None, "the log-probabilities have no alternatives at the label")
    total = sum(mass.values())
    if not total > 0:
        return Certainty(None, "no label is among the most probable tokens")
    return Certainty((mass["A"] + mass.get("tie", 0.0) / 2) / total)


def _place(
    tokens: Sequence[Token], content: str, start: int
) -> tuple[Token, int, Callable[[str], str]] | None:
    """Returns the token that contains a character of the text, and the character's offset in it.

    Also returns the function that turns the tokens of this endpoint into text.
    """
    near = max(0, start - CONTEXT)
    for text_of in (_plain, _with_blanks):
        pieces = [_bytes(token, text_of) for token in tokens]
        all_ = b"".join(pieces)
        for begin, part in ((0, content), (near, content[near : start + 1])):
            searched = part.encode()
            # The last place is the answer's, because thoughts come first. A part of the text
            # could be anywhere, so it must be in one place only.
            found = all_.rfind(searched)
            if found < 0 or (part is not content and all_.count(searched) > 1):
                continue
            label = found + len(content[begin:start].encode())
            end = 0
            for token, piece in zip(tokens, pieces, strict=True):
                first, end = end, end + len(piece)
                if first <= label < end:
                    before = len(piece[: label - first].decode("utf-8", "replace"))
                    return token, before, text_of
    return None


def _bytes(token: Token, text_of: Callable[[str], str]) -> bytes:
    if "bytes" in token:
        return bytes(token["bytes"])
    text: str = token["token"]
    if byte := _BYTE.fullmatch(text):
        return bytes.fromhex(byte.group(1))
    if several := _BYTES.fullmatch(text):
        return bytes.fromhex(several.group(1).replace("\\x", ""))
    return text_of(text).encode()


def _plain(token: str) -> str:
    return token


def _with_blanks(token: str) -> str:
    return token.translate(_BLANKS)


def _meant(text: str, labels: Mapping[Winner, str]) -> Winner | None:
    """Returns the winner whose label starts with, or equals, the first word of a token."""
    word = _WORD.match(text)
    if word is None:
        return None
    meant = [winner for winner, label in labels.items() if label.startswith(word.group(1))]
    return meant[0] if len(meant) == 1 else None
