"""Reads the verdict in a reply: after the model's thoughts, in the form that the template asks for.

The reading is strict, because a text that a judge quotes may look like a verdict. These parts
around an answer are left out: thoughts before it, a code fence around it, blanks around its label,
and marks of turns at its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from halo_core.judge import Winner
from halo_judge.judges.chat.completion import Reply

EMPTY = "the reply is empty"
QUOTED = 120
"""Maximum number of characters of a reply that a reason quotes."""
_FENCE = re.compile(r"(`{3,}|~{3,})[ \t]*\w*\s")
_NAME = "think|thinking|thoughts?|reasoning"
_OPENED = re.compile(rf"\s*(?:<(?:{_NAME})>|\[THINK\])", re.IGNORECASE)
_MARK = re.compile(rf"<(?P<end>/?)(?:{_NAME})>|\[(?P<END>/?)THINK\]", re.IGNORECASE)
_CLOSED = re.compile(rf"</(?:{_NAME})>|\[/THINK\]|<\|channel\|>final<\|message\|>", re.IGNORECASE)
_TURN_END = re.compile(r"(?:<\|\w{1,30}\|>|</s>|<end_of_turn>)\Z")


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class JsonAnswer(_Form):
    """A reply that is one JSON object with the label under `key`."""

    form: Literal["json"]
    key: str = Field(min_length=1)
    labels: dict[Winner, str]

    def find(self, text: str) -> tuple[str | None, int]:
        """Returns the label in the text of a reply, and where it begins; None and -1 without."""
        try:
            # If a key occurs twice, the second verdict would hide the first.
            # Models break lines within texts, which strict JSON does not allow.
            pairs = json.loads(_within_fence(text), object_pairs_hook=list, strict=False)
        except (ValueError, RecursionError):
            return None, -1
        if not isinstance(pairs, list):
            return None, -1
        labels = [pair[1] for pair in pairs if isinstance(pair, tuple) and pair[0] == self.key]
        if len(labels) != 1 or not isinstance(labels[0], str):
            return None, -1
        ends = [key.end() for key in re.finditer(rf'"{re.escape(self.key)}"\s*:\s*"\s*', text)]
        return labels[0].strip(), ends[-1] if ends else len(text)


class LineAnswer(_Form):
    """A reply whose last line matches `pattern`. The pattern's only group is the label."""

    form: Literal["last-line"]
    pattern: str
    labels: dict[Winner, str]

    @model_validator(mode="after")
    def _one_group(self) -> LineAnswer:
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise ValueError(
                f"pattern {self.pattern!r} is not a regular expression: {error}"
            ) from None
        if groups != 1:
            raise ValueError(
                f"pattern {self.pattern!r} has {groups} groups; expected one: the label"
            )
        return self

    def find(self, text: str) -> tuple[str | None, int]:
        """Returns the label in the text of a reply, and where it begins; None and -1 without."""
        last = text.splitlines()[-1]
        match = re.fullmatch(self.pattern, last.strip())
        label = None if match is None else match.group(1)
        if match is None or label is None:
            return None, -1
        start = len(text) - len(last) + last.index(last.strip()) + match.start(1)
        return label.strip(), start + len(label) - len(label.lstrip())


AnswerForm = Annotated[JsonAnswer | LineAnswer, Field(discriminator="form")]


@dataclass(frozen=True)
class Reading:
    """The verdict that was read from a reply.

    Attributes:
        winner: The verdict; None if there is none.
        reason: The reply, or the reason why there is no verdict.
        start: Position of the label in the reply, in characters.
    """

    winner: Winner | None
    reason: str
    start: int = -1


def read_reply(reply: Reply, answer: AnswerForm) -> Reading:
    """Returns the verdict in a reply.

    Args:
        reply: The reply.
        answer: The form that the template requests.
    """
    content = reply["content"]
    if reply["refusal"]:
        return Reading(None, f"refused: {_quoted(reply['refusal'])}")
    if reply["finish"] == "content_filter":
        return Reading(None, "refused: stopped by the endpoint's content filter")
    reading = read_text(content, answer)
    if reading.winner is None and reply["finish"] == "length":
        return Reading(None, f"cut off before the verdict, at max_tokens: {_quoted(content)}")
    if reading.reason == EMPTY and reply["finish"] not in (None, "stop"):
        return Reading(None, f"{EMPTY}, with finish_reason {reply['finish']!r}")
    return reading


def read_text(content: str, answer: AnswerForm) -> Reading:
    r"""Returns the verdict in the text of a reply.

    >>> form = LineAnswer(form="last-line", pattern="Better: (1|2)", labels={"A": "1", "B": "2"})
    >>> read_text("Response 1 is longer.\nBetter: 2", form).winner
    'B'
    >>> read_text("<think>Better: 1</think> Better: 2", form).winner
    'B'
    """
    text = _trimmed(content)
    if not text:
        return Reading(None, EMPTY)
    winners: dict[str | None, Winner] = {name: winner for winner, name in answer.labels.items()}
    begins = list(_answer_begins(content))
    if not begins:
        return Reading(None, f"the reply ends within its thoughts: {_quoted(text)}")
    for begin in begins:
        said = _trimmed(content[begin:])
        label, start = answer.find(said) if said else (None, -1)
        if label in winners:
            return Reading(winners[label], text, content.index(said, begin) + start)
    return Reading(None, f"no verdict in the reply: {_quoted(text)}")


def _answer_begins(content: str) -> Iterator[int]:
    """Yields the positions at which the answer may begin; none if the thoughts never end."""
    begin = len(content) - len(content.lstrip().lstrip("\ufeff"))
    while _OPENED.match(content, begin):
        end = _end_of_thoughts(content, begin)
        if end is None:
            yield from _after_uncertain_thoughts(content, begin)
            return
        begin = end
    yield begin
    # Some chat templates write the mark that opens the thoughts, so the reply has only their end.
    # And thoughts may quote such an end. An answer that begins at once has no thoughts, but its
    # texts may quote a mark.
    if not _begins_an_answer(content[begin:]):
        closed = [mark.end() for mark in _CLOSED.finditer(content, begin)]
        yield from dict.fromkeys(closed[:1] + closed[-1:])


def _end_of_thoughts(content: str, begin: int) -> int | None:
    """Returns where thoughts end that may contain other ones; None if they never end."""
    depth = 0
    for mark in _MARK.finditer(content, begin):
        depth += -1 if mark["end"] or mark["END"] else 1
        if depth == 0:
            return mark.end()
    return None


def _after_uncertain_thoughts(content: str, begin: int) -> Iterator[int]:
    """Yields where the answer begins after thoughts with more beginnings than ends, if it does.

    Either they quote a beginning, or they were cut off after inner thoughts. In the second case,
    the rest is part of the thoughts, even if its last line looks like a verdict.
    """
    ends = [mark.end() for mark in _CLOSED.finditer(content, begin)]
    if ends:
        rest = _trimmed(content[ends[-1] :])
        if _begins_an_answer(rest) or "\n" not in rest:
            yield ends[-1]


def _begins_an_answer(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "`", "~")


def _within_fence(text: str) -> str:
    """Returns what a code fence encloses if the text is one, otherwise the text."""
    opened = _FENCE.match(text)
    if opened is None:
        return text
    end = len(text) - len(opened.group(1))
    # Without a search: models repeat blanks until they are cut off, and a search for the end after
    # each of them would take a time that is quadratic in their number.
    closed = end >= opened.end() and text.endswith(opened.group(1))
    return text[opened.end() : end].rstrip() if closed else text


def _trimmed(text: str) -> str:
    """Returns a text without the blanks, the byte-order mark and the marks of turns around it."""
    text = text.strip().strip("\ufeff").strip()
    while mark := _TURN_END.search(text, max(0, len(text) - 40)):
        text = text[: mark.start()].rstrip()
    return text


def _quoted(text: str) -> str:
    return repr(text if len(text) <= QUOTED else text[: QUOTED - 3] + "...")
