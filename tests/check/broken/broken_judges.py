"""Judges that each break the rule `breaks`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from halo_core import (
    Answer,
    Comparison,
    Judge,
    JudgeContext,
    JudgeSession,
    Quote,
    Score,
    ScoringJudge,
    ScoringSession,
    Verdict,
)


class First(Judge):
    """Prefers the text that is first in a dictionary."""

    breaks: ClassVar[str] = ""

    @contextmanager
    def open(self, context: JudgeContext) -> Iterator[JudgeSession]:
        yield FirstSession(type(self).verdict)

    @staticmethod
    def verdict(comparison: Comparison) -> Any:
        a, b = comparison.a, comparison.b
        return Verdict(comparison.id, "tie" if a == b else "A" if a < b else "B")


class FirstSession(JudgeSession):
    def __init__(self, verdict: Any) -> None:
        self.verdict = verdict

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        for comparison in comparisons:
            made = self.verdict(comparison)
            if made is not None:
                yield made


class WinnerIsAText(First):
    """Names the winner in words."""

    breaks = "verdicts"

    @staticmethod
    def verdict(comparison: Comparison) -> Any:
        return Verdict(comparison.id, "the first one")  # type: ignore[arg-type]


class VerdictIsAText(First):
    """Returns a text for a verdict."""

    breaks = "verdicts"

    @staticmethod
    def verdict(comparison: Comparison) -> Any:
        return "a"


class SkipsSome(First):
    """Has no verdict on equal texts."""

    breaks = "verdicts"

    @staticmethod
    def verdict(comparison: Comparison) -> Any:
        return None if comparison.a == comparison.b else Verdict(comparison.id, "A")


class WithoutAReason(First):
    """Does not say why there is no winner."""

    breaks = "verdicts"

    @staticmethod
    def verdict(comparison: Comparison) -> Any:
        return Verdict(comparison.id, None)


class Twice(First):
    """Gives two verdicts on each comparison."""

    breaks = "verdicts"

    @contextmanager
    def open(self, context: JudgeContext) -> Iterator[JudgeSession]:
        class Double(JudgeSession):
            def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
                for comparison in comparisons:
                    yield Verdict(comparison.id, "A")
                    yield Verdict(comparison.id, "A")

        yield Double()


class StumblesOverNothing(First):
    """Raises on an empty text."""

    breaks = "verdicts"

    @staticmethod
    def verdict(comparison: Comparison) -> Any:
        return Verdict(comparison.id, "A" if comparison.a[0] < "M" else "B")


class ReturnsASession(First):
    """Returns a session that cannot be closed."""

    breaks = "verdicts"

    def open(self, context: JudgeContext) -> Any:
        return FirstSession(type(self).verdict)


class OwnIds(First):
    """Names comparisons that it was not asked for."""

    breaks = "verdicts"

    @staticmethod
    def verdict(comparison: Comparison) -> Any:
        return Verdict(f"{comparison.id}!", "A")


class PaysBack(First):
    """Quotes less than nothing."""

    breaks = "quote"

    def quote(self, comparisons: Sequence[Comparison], shared: Path) -> Quote:
        return Quote(len(comparisons), 0, -1, 1, 0.0, "none")


class QuotesAWord(First):
    """Quotes a text."""

    breaks = "quote"

    def quote(self, comparisons: Sequence[Comparison], shared: Path) -> Any:
        return "cheap"


class WritesForAQuote(First):
    """Writes a file when it is asked for a price."""

    breaks = "quote"

    def quote(self, comparisons: Sequence[Comparison], shared: Path) -> None:
        shared.mkdir(parents=True)


class Longer(ScoringJudge):
    """Scores by the length."""

    breaks: ClassVar[str] = ""

    @contextmanager
    def open_scoring(self, context: JudgeContext) -> Iterator[ScoringSession]:
        yield LongerSession(type(self).scored)

    @staticmethod
    def scored(number: int, answer: Answer) -> Any:
        return Score(answer.id, float(len(answer.completion)))


class LongerSession(ScoringSession):
    def __init__(self, scored: Any) -> None:
        self.scored = scored

    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        for number, answer in enumerate(answers):
            yield self.scored(number, answer)


class ByOrder(Longer):
    """Scores by the place in the list."""

    breaks = "scores"

    @staticmethod
    def scored(number: int, answer: Answer) -> Any:
        return Score(answer.id, float(number))


class NoNumber(Longer):
    """Scores with NaN."""

    breaks = "scores"

    @staticmethod
    def scored(number: int, answer: Answer) -> Any:
        return Score(answer.id, float("nan"))


class ScoreIsANumber(Longer):
    """Returns a number for a score."""

    breaks = "scores"

    @staticmethod
    def scored(number: int, answer: Answer) -> Any:
        return 1.0
