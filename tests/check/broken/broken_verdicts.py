"""Judges that decide by something else than the texts, and so break the rule `breaks`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from pydantic import Field

from halo_core import Answer, Comparison, Judge, JudgeContext, Score, ScoringJudge, Verdict


class CountsAWord(Judge):
    """Prefers the text with more of a word, and keeps the rules."""

    breaks: ClassVar[str] = ""
    word: str = Field(default="please", min_length=1, description="The word.")

    def open(self, context: JudgeContext) -> AbstractContextManager[Any]:
        return nullcontext(_Verdicts(self))

    def verdict(self, asked: Comparison) -> Verdict:
        a, b = asked.a.count(self.word), asked.b.count(self.word)
        winner = "tie" if a == b else "A" if a > b else "B"
        return Verdict(asked.id, winner)  # type: ignore[arg-type]


class _Verdicts:
    def __init__(self, judge: CountsAWord) -> None:
        self.judge = judge

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        yield from map(self.judge.verdict, comparisons)


class TheFirstOne(CountsAWord):
    """Prefers what comes first."""

    breaks = "by-the-texts"

    def verdict(self, asked: Comparison) -> Verdict:
        return Verdict(asked.id, "A")


class ReadsTheCalls(CountsAWord):
    """Reads tool calls without saying so."""

    breaks = "by-the-texts"

    def verdict(self, asked: Comparison) -> Verdict:
        return Verdict(asked.id, "A") if asked.a_fields else super().verdict(asked)


class SmallIdsBack(CountsAWord):
    """Writes ids in small letters."""

    breaks = "verdicts"

    def verdict(self, asked: Comparison) -> Verdict:
        return Verdict(asked.id.lower(), super().verdict(asked).winner)


class StripsIds(CountsAWord):
    """Takes blanks from ids."""

    breaks = "verdicts"

    def verdict(self, asked: Comparison) -> Verdict:
        return Verdict(asked.id.strip(), super().verdict(asked).winner)


class PrefersTheOther(CountsAWord):
    """Gives the probability of the other text."""

    breaks = "verdicts"

    def verdict(self, asked: Comparison) -> Verdict:
        winner = super().verdict(asked).winner
        share = {"A": 0.1, "B": 0.9}.get(winner or "", 0.5)
        return Verdict(asked.id, winner, preference=share)


class FailsForTheWord(CountsAWord):
    """Has a mistake that only its own word shows."""

    breaks = "verdicts"

    def verdict(self, asked: Comparison) -> Verdict:
        found = super().verdict(asked)
        return found if found.winner == "tie" else Verdict(asked.id, found.winner, preference=3.0)


class CountsWords(ScoringJudge):
    """Scores a text by its words, and keeps the rules."""

    breaks: ClassVar[str] = ""

    def open_scoring(self, context: JudgeContext) -> AbstractContextManager[Any]:
        return nullcontext(_Scores(self))

    def value(self, answer: Answer, known: dict[str, float]) -> Any:
        return float(len(answer.completion.split()))


class _Scores:
    def __init__(self, judge: CountsWords) -> None:
        self.judge, self.known = judge, dict[str, float]()

    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        for answer in answers:
            yield Score(answer.id, self.judge.value(answer, self.known))


class OneScorePerPrompt(CountsWords):
    """Keeps its scores by the prompt."""

    breaks = "scores"

    def value(self, answer: Answer, known: dict[str, float]) -> Any:
        return known.setdefault(str(answer.prompt), super().value(answer, known))


class CountsTools(CountsWords):
    """Reads the tools without saying so."""

    breaks = "by-the-texts"

    def value(self, answer: Answer, known: dict[str, float]) -> Any:
        return super().value(answer, known) + len(answer.tools or ())


class TrueForJson(CountsWords):
    """Gives a truth where a score is expected, for JSON only."""

    breaks = "scores"

    def value(self, answer: Answer, known: dict[str, float]) -> Any:
        return answer.completion.startswith("{") or super().value(answer, known)
