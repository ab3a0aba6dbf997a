"""The certainty of a judge's verdict, from the log-probabilities of the label's tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

from halo_core.judge import Winner

_WORD = re.compile(r'[\s"]*(\w+)')
Token = Mapping[str, Any]
"""A token as ``{"token", "top": [[token, logprob], ...]}``, with natural logarithms."""


def kept_tokens(logprobs: Mapping[str, Any] | None) -> list[dict[str, Any]] | None:
    """Returns the stored part of log-probabilities, one `Token` per position; None without any."""
    if not logprobs or not logprobs.get("content"):
        return None
    return [
        {
            "token": place["token"],
            "top": [[t["token"], t["logprob"]] for t in place["top_logprobs"]],
        }
        for place in logprobs["content"]
    ]


def preference(
    tokens: Sequence[Token] | None, start: int, labels: Mapping[Winner, str]
) -> float | None:
    """Returns the probability that A is better, with a tie as one half; None if not known.

    It is ``(p(A) + p(tie) / 2) / (p(A) + p(B) + p(tie))``, where p is the probability of each label
    at the position of the reply's label. Tokens that are not labels are left out.

    Args:
        tokens: The reply's tokens in order, with the most probable ones at each position; None if
            the endpoint returns none.
        start: Position of the label in the reply, in characters.
        labels: The reply's label for each winner.
    """
    place = _at(tokens or (), start)
    if place is None:
        return None
    before, token = place
    mass = dict.fromkeys(labels, 0.0)
    for text, logprob in token["top"]:
        if text[:before] != token["token"][:before] and text[:before].strip():
            continue
        winner = _meant(text[before:], labels)
        if winner is not None:
            mass[winner] += exp(logprob)
    total = sum(mass.values())
    return (mass["A"] + mass.get("tie", 0.0) / 2) / total if total > 0 else None


def _at(tokens: Sequence[Token], start: int) -> tuple[int, Token] | None:
    """Returns the token that contains a character, and the character's offset in it."""
    end = 0
    for token in tokens:
        begin, end = end, end + len(token["token"])
        if begin <= start < end:
            return start - begin, token
    return None


def _meant(text: str, labels: Mapping[Winner, str]) -> Winner | None:
    """Returns the winner whose label starts with, or equals, the first word of a token."""
    word = _WORD.match(text)
    if word is None:
        return None
    meant = [winner for winner, label in labels.items() if label.startswith(word.group(1))]
    return meant[0] if len(meant) == 1 else None
