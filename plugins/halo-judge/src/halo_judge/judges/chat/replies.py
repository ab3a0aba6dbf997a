"""The verdict in a reply, read strictly, and how sure the judge is of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

from halo_core.judge import Winner
from halo_judge.judges.chat.template import AnswerForm, JsonAnswer, LineAnswer

_FENCED = re.compile(r"\A```(?:json)?\s*\n(.*)\n```\Z", re.DOTALL)
_WORD = re.compile(r'[\s"]*(\w+)')
QUOTED = 120
"""Characters of a reply that are quoted in a reason."""
Token = Mapping[str, Any]
"""``{"token", "top": [[token, logprob], ...]}``, natural logarithms."""


@dataclass(frozen=True)
class Reading:
    """What a reply says.

    Attributes:
        winner: The verdict; None when there is none to be read.
        reason: The reply, or why there is no verdict.
        start: Where in the reply the label begins, in characters.
    """

    winner: Winner | None
    reason: str
    start: int = -1


def read_reply(reply: Mapping[str, Any], answer: AnswerForm) -> Reading:
    """Returns the verdict in a stored reply.

    Args:
        reply: `content`, `finish` and `refusal`, as `chat_client` gives them.
        answer: The form that the template asks for.
    """
    content = reply["content"] or ""
    if reply["refusal"]:
        return Reading(None, f"refused: {_quoted(reply['refusal'])}")
    if reply["finish"] == "content_filter":
        return Reading(None, "refused: stopped by the endpoint's content filter")
    found = read_text(content, answer)
    if found.winner is None and reply["finish"] == "length":
        return Reading(None, f"cut off before the verdict, at max_tokens: {_quoted(content)}")
    return found


def read_text(content: str, answer: AnswerForm) -> Reading:
    r"""Returns the verdict in the text of a reply.

    >>> form = LineAnswer(form="last-line", pattern="Better: (1|2)", labels={"A": "1", "B": "2"})
    >>> read_text("Response 1 is longer.\nBetter: 2", form).winner
    'B'
    """
    text = content.strip()
    if not text:
        return Reading(None, "the reply is empty")
    read = _json(text, answer) if isinstance(answer, JsonAnswer) else _line(text, answer)
    label, start = read
    winners: dict[str, Winner] = {said: winner for winner, said in answer.labels.items()}
    if label not in winners:
        return Reading(None, f"no verdict in the reply: {_quoted(text)}")
    return Reading(winners[label], text, start + content.index(text))


def _line(content: str, answer: LineAnswer) -> tuple[str | None, int]:
    last = content.splitlines()[-1]
    found = re.fullmatch(answer.pattern, last.strip())
    if found is None:
        return None, -1
    start = len(content) - len(last) + last.index(last.strip()) + found.start(1)
    return found.group(1), start


def _json(content: str, answer: JsonAnswer) -> tuple[str | None, int]:
    fenced = _FENCED.match(content)
    text = fenced.group(1) if fenced else content
    try:
        # A key given twice would let the second verdict hide the first.
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return None, -1
    if not isinstance(pairs, list):
        return None, -1
    said = [pair[1] for pair in pairs if isinstance(pair, tuple) and pair[0] == answer.key]
    if len(said) != 1 or not isinstance(said[0], str):
        return None, -1
    place = [found.end() for found in re.finditer(rf'"{re.escape(answer.key)}"\s*:\s*"', content)]
    return said[0], place[-1] if place else len(content)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= QUOTED else text[: QUOTED - 3] + "...")


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
    meant = [winner for winner, said in labels.items() if said.startswith(word.group(1))]
    return meant[0] if len(meant) == 1 else None
