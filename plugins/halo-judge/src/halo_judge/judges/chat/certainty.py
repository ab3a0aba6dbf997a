"""How sure a judge is of its verdict: what its tokens' log-probabilities say of each label."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

from halo_core.judge import Winner

_WORD = re.compile(r'[\s"]*(\w+)')
Token = Mapping[str, Any]
"""``{"token", "top": [[token, logprob], ...]}``, natural logarithms."""


def kept_tokens(logprobs: Mapping[str, Any] | None) -> list[dict[str, Any]] | None:
    """Returns what is kept of log-probabilities: a `Token` per place; None without any."""
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
    """Returns the probability that A is better, a tie being one half; None when it is not known.

    With p the probability of each label at the place where the reply has its label,
    ``(p(A) + p(tie) / 2) / (p(A) + p(B) + p(tie))``. What is not a label is left out of both.

    Args:
        tokens: Those of the reply, in order, with the most probable ones at each place; None
            where the endpoint gives none.
        start: Where the label begins in the reply, in characters.
        labels: Winner to what the reply calls it.
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
    """Returns the token that holds a character, and how many of its characters come before."""
    end = 0
    for token in tokens:
        begin, end = end, end + len(token["token"])
        if begin <= start < end:
            return start - begin, token
    return None


def _meant(text: str, labels: Mapping[Winner, str]) -> Winner | None:
    """Returns the winner whose label the first word of a token is or begins."""
    word = _WORD.match(text)
    if word is None:
        return None
    meant = [winner for winner, label in labels.items() if label.startswith(word.group(1))]
    return meant[0] if len(meant) == 1 else None
