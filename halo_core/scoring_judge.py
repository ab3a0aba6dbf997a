"""The interface of a judge that gives each completion a score, and comparisons by score."""

from __future__ import annotations

import inspect
import sys
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from typing import Any, ClassVar, Protocol, final

from halo_core.completion import Completion
from halo_core.component import Component
from halo_core.errors import PluginError
from halo_core.feedback import Prompt, prompt_id
from halo_core.guarded.blame import blaming, first_wrong, is_number, plugin_error
from halo_core.guarded.judge_calls import Form, checked_replies, opened
from halo_core.hashing import short_hash
from halo_core.judge import (
    Comparison,
    Fields,
    Judge,
    JudgeContext,
    JudgeSession,
    Tools,
    Verdict,
    Winner,
)


@dataclass(frozen=True)
class Answer:
    """A completion to score.

    Attributes:
        id: Its id in its stage.
        prompt: The messages before the completion.
        completion: The text.
        fields: Further fields of its message, such as `tool_calls`, if any.
        tools: The tools that the prompt offers, if any.
    """

    id: str
    prompt: Prompt
    completion: str
    fields: Fields | None = None
    tools: Tools | None = None


@dataclass(frozen=True)
class Score:
    """A judge's score for a completion.

    Attributes:
        id: Id of the answer.
        value: A finite number in the judge's own unit; None if it could not be scored. A whole
            number (`int`) becomes a float, as type checkers expect.
        reason: The judge's words, or why it could not be scored.
        cut: Whether the judge saw only a part of it or of its prompt, because it was too long.
    """

    id: str
    value: float | None
    reason: str = ""
    cut: bool = False

    def __post_init__(self) -> None:
        if type(self.value) is int and abs(self.value) <= sys.float_info.max:
            object.__setattr__(self, "value", float(self.value))

    def fault(self) -> str | None:
        """Returns the first invalid value; None if all are valid.

        >>> Score("1", float("inf")).fault()
        'the value inf'
        """
        right = {
            "id": isinstance(self.id, str),
            "value": self.value is None or (isinstance(self.value, float) and isfinite(self.value)),
            "reason": isinstance(self.reason, str),
            "cut": isinstance(self.cut, bool),
        }
        return first_wrong(self, right)


SCORE_FORM = Form(
    "open_scoring",
    "score",
    Score,
    "one Score per answer, with its id and a finite float or None",
    lambda id_, reason: Score(id_, None, reason),
)
"""Description of what `ScoringSession.score` yields, for messages."""


class ScoringSession(Protocol):
    """An open scoring judge with its connections, stores and models."""

    def score(self, answers: Sequence[Answer]) -> Iterable[Score]:
        """Yields one score per answer, in any order. Never raises for a single answer."""
        ...


class ScoringJudge(Judge):
    """Gives each completion a score, and compares and labels completions by score.

    Raises:
        PluginError: At class definition, when it has its own `open`.
    """

    # Set again, so that this class is also an interface whose members no option may shadow.
    kind: ClassVar[str] = "judge"

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if inspect.getattr_static(cls, "open") is not ScoringJudge.open:
            raise PluginError(
                "a ScoringJudge compares by its scores: leave open() out, open_scoring(context) "
                "gives its session",
                location=f"{cls.__module__}.{cls.__qualname__}",
            )

    def tie_below(self) -> float:
        """Returns the smallest difference of two scores that makes one of them better."""
        return 0.0

    @final
    def open(self, context: JudgeContext) -> AbstractContextManager[JudgeSession]:
        """Returns a session that prefers the higher score.

        Raises:
            PluginError: When `open_scoring` or `tie_below` returns something invalid.
        """
        return _comparing(self, context)

    @abstractmethod
    def open_scoring(self, context: JudgeContext) -> AbstractContextManager[ScoringSession]:
        """Returns a session that scores.

        Raises:
            UserError: When it cannot score, for example without a key or for an unknown model.
        """


@contextmanager
def _comparing(judge: ScoringJudge, context: JudgeContext) -> Iterator[JudgeSession]:
    with blaming(judge, "tie_below"):
        gap: object = judge.tie_below()
    if not (is_number(gap) and gap >= 0):
        expected = "expected a number of at least 0"
        raise plugin_error(judge, "tie_below", f"returned {gap!r}; {expected}")
    with opened(judge, SCORE_FORM, lambda: judge.open_scoring(context)) as session:
        yield ScoreComparisons(judge, session, gap)


REMEMBERED = 4096
"""Number of texts whose scores a session remembers between two calls."""


class ScoreComparisons:
    """The session of `ScoringJudge.open`, which prefers the text with the higher score.

    A text that was scored is not scored again while it is among the last `REMEMBERED` texts.

    Args:
        judge: The judge that opened the session.
        session: The session that scores.
        tie_below: The smallest difference that is not a tie. Equal scores are always a tie.
    """

    def __init__(self, judge: Component, session: ScoringSession, tie_below: float = 0.0) -> None:
        self._judge = judge
        self._session = session
        self._tie_below = tie_below
        self._known: dict[str, Score] = {}

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        """Yields one verdict per comparison, as soon as both of its texts are scored.

        Raises:
            PluginError: When the session does not give exactly one score per answer.
        """
        # Only here: the comparisons of one call need the scores of all their texts.
        for id_ in list(islice(self._known, max(0, len(self._known) - REMEMBERED))):
            del self._known[id_]
        asked: dict[str, Answer] = {}
        waiting: dict[str, list[Comparison]] = {}
        for comparison in comparisons:
            lacking = {a.id: a for a in _answers(comparison) if a.id not in self._known}
            if not lacking:
                yield self._verdict(comparison)
            for id_ in lacking:
                waiting.setdefault(id_, []).append(comparison)
            asked |= lacking
        for score in self._scores(list(asked.values())):
            self._known[score.id] = score
            for comparison in waiting.pop(score.id):
                if all(answer.id in self._known for answer in _answers(comparison)):
                    yield self._verdict(comparison)
        passed_over = {open_.id: open_ for group in waiting.values() for open_ in group}
        yield from map(self._verdict, passed_over.values())

    def _scores(self, asked: Sequence[Answer]) -> Iterable[Score]:
        if not asked:
            return ()
        return checked_replies(self._judge, self._session.score, asked, SCORE_FORM)

    def _verdict(self, comparison: Comparison) -> Verdict:
        a, b = (self._known.get(answer.id, _PASSED_OVER) for answer in _answers(comparison))
        if a.value is None or b.value is None:
            lacking = [f"{name}: {s.reason}" for name, s in (("A", a), ("B", b)) if s.value is None]
            return Verdict(comparison.id, None, "; ".join(lacking))
        reason = f"A: {_words(a)}; B: {_words(b)}"
        return Verdict(comparison.id, higher(a.value, b.value, self._tie_below), reason)


_PASSED_OVER = Score("", None, "the judge gave no score")


def higher(a: float, b: float, tie_below: float = 0.0) -> Winner:
    """Returns which score is higher, or a tie if they are equal or differ by less than `tie_below`.

    >>> higher(1.0, 0.5), higher(0.5, 0.5), higher(0.5, 0.6, tie_below=0.2)
    ('A', 'tie', 'tie')
    """
    if a == b or abs(a - b) < tie_below:
        return "tie"
    return "A" if a > b else "B"


def answer_id(
    prompt: Prompt, completion: str, fields: Fields | None = None, tools: Tools | None = None
) -> str:
    """Returns the id of a completion of a prompt, which depends only on their content.

    Args:
        prompt: The messages before the completion.
        completion: The text.
        fields: Further fields of its message.
        tools: The tools that the prompt offers.

    >>> answer_id([{"role": "user", "content": "hi"}], "Hello.")
    '897be8e1f0370e7f-2d8bd7d9bb5f85ba'
    """
    return f"{prompt_id(prompt, tools)}-{text_id(Completion(completion, fields).key)}"


def text_id(text: str) -> str:
    """Returns 16 hexadecimal digits that name a text.

    >>> text_id("Hello.")
    '2d8bd7d9bb5f85ba'
    """
    return short_hash(text)


def _answers(comparison: Comparison) -> tuple[Answer, Answer]:
    prompt, tools = comparison.prompt, comparison.tools

    def answer(text: str, fields: Fields | None) -> Answer:
        return Answer(answer_id(prompt, text, fields, tools), prompt, text, fields, tools)

    return answer(comparison.a, comparison.a_fields), answer(comparison.b, comparison.b_fields)


def _words(score: Score) -> str:
    words = score.reason or f"{score.value:g}"
    return f"{words} (cut: it was too long)" if score.cut else words
