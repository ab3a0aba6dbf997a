"""Judges whose faults show in large batches, in texts that are alike or long, or in new folders."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from pydantic import Field

from halo_core import Answer, Comparison, Judge, JudgeContext, Score, ScoringJudge, Verdict


class RepeatsTheQuestion(Judge):
    """Prefers the text with more words of the question, and keeps the rules."""

    breaks: ClassVar[str] = ""
    margin: float = Field(default=0.05, ge=0, le=1, description="A smaller difference is a tie.")

    def open(self, context: JudgeContext) -> AbstractContextManager[Any]:
        return nullcontext(_Session(self, context))

    def verdict(self, asked: Comparison) -> Verdict:
        lead = self.share(asked, asked.a) - self.share(asked, asked.b)
        winner = "tie" if abs(lead) <= self.margin else "A" if lead > 0 else "B"
        return Verdict(asked.id, winner, preference=(1 + lead) / 2)  # type: ignore[arg-type]

    def share(self, asked: Comparison, text: str) -> float:
        words = {*asked.prompt[-1]["content"].split()}
        return len(words & {*text.split()}) / len(words)

    def verdicts(
        self, asked: list[Comparison], context: JudgeContext, before: int
    ) -> Iterator[Verdict]:
        yield from map(self.verdict, asked)


class _Session:
    def __init__(self, judge: RepeatsTheQuestion, context: JudgeContext) -> None:
        self.judge, self.context, self.count = judge, context, 0

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        self.count += len(comparisons)
        before = self.count - len(comparisons)
        yield from self.judge.verdicts(comparisons, self.context, before)  # type: ignore[arg-type]


class LeansWidely(RepeatsTheQuestion):
    """Calls a tie although its preference is far from one half, and turns with the texts."""

    margin: float = Field(default=0.7, ge=0, le=1, description="A smaller difference is a tie.")
    breaks = ""


class AnswersSixtyFour(RepeatsTheQuestion):
    """Answers nothing after 64 comparisons."""

    breaks = "batches"

    def verdicts(self, asked: list[Comparison], *given: Any) -> Iterator[Verdict]:
        yield from map(self.verdict, asked[: max(0, 64 - given[1])])


class ComparesWithTheMean(RepeatsTheQuestion):
    """Calls a tie if a text is much longer than those of the others."""

    breaks = "batches"

    def verdicts(self, asked: list[Comparison], *_: Any) -> Iterator[Verdict]:
        mean = sum(len(each.a) for each in asked) / max(1, len(asked))
        for each in asked:
            tie = Verdict(each.id, "tie")
            yield tie if len(each.a) > 3 * mean else self.verdict(each)


class SmallLettersInThePrompt(RepeatsTheQuestion):
    """Changes the messages that the stage writes later."""

    breaks = "batches"

    def verdict(self, asked: Comparison) -> Verdict:
        for message in asked.prompt:
            message["content"] = message["content"].lower()
        return super().verdict(asked)


class SortsTheList(RepeatsTheQuestion):
    """Sorts the list of the stage."""

    breaks = "batches"

    def verdicts(self, asked: list[Comparison], *given: Any) -> Iterator[Verdict]:
        if isinstance(asked, list):
            asked.sort(key=lambda each: -len(each.a))
        return super().verdicts(asked, *given)


class FailsForAWholeBook(RepeatsTheQuestion):
    """Raises for texts of more than 50,000 characters."""

    breaks = "batches"

    def verdict(self, asked: Comparison) -> Verdict:
        if len(asked.a) > 50_000:
            raise ValueError("too long")
        return super().verdict(asked)


class CutsIdsAtTheColon(RepeatsTheQuestion):
    """Gives a part of the id."""

    breaks = "batches"

    def verdict(self, asked: Comparison) -> Verdict:
        return Verdict(asked.id.partition(":")[0], super().verdict(asked).winner)


class NoPreferenceForAWinner(RepeatsTheQuestion):
    """Gives the preference of a tie to each winner."""

    breaks = "batches"

    def verdict(self, asked: Comparison) -> Verdict:
        return Verdict(asked.id, super().verdict(asked).winner, preference=0.5)


class OneReplyPerPrompt(RepeatsTheQuestion):
    """Stores its replies by the prompt, in the folder that all runs share."""

    breaks = "batches"

    def verdicts(self, asked: list[Comparison], context: Any, _: int) -> Iterator[Verdict]:
        context.shared.mkdir(parents=True, exist_ok=True)
        for each in asked:
            file = context.shared / hashlib.sha256(repr(each.prompt).encode()).hexdigest()
            if not file.exists():
                file.write_text(str(super().verdict(each).winner))
            yield Verdict(each.id, file.read_text())  # type: ignore[arg-type]


class TheSecondOfLongTexts(RepeatsTheQuestion):
    """Prefers what comes second if both texts are long."""

    breaks = "by-the-texts"

    def verdict(self, asked: Comparison) -> Verdict:
        is_long = min(len(asked.a), len(asked.b)) > 200
        return Verdict(asked.id, "B" if is_long else super().verdict(asked).winner)


class TheFirstOfCloseTexts(RepeatsTheQuestion):
    """Never calls a tie."""

    breaks = "by-the-texts"

    def verdict(self, asked: Comparison) -> Verdict:
        winner = super().verdict(asked).winner
        return Verdict(asked.id, "A" if winner == "tie" else winner)


class TiesLeanToTheFirst(RepeatsTheQuestion):
    """Gives the preference of a winner to each tie."""

    breaks = "by-the-texts"

    def verdict(self, asked: Comparison) -> Verdict:
        found = super().verdict(asked)
        return found if found.winner != "tie" else Verdict(asked.id, "tie", preference=0.9)


class SeedsAllChance(RepeatsTheQuestion):
    """Seeds the generator of all code."""

    breaks = "same-again"

    def open(self, context: JudgeContext) -> AbstractContextManager[Any]:
        random.seed(0)
        return super().open(context)


class NeverDecides(RepeatsTheQuestion):
    """Calls a tie if its service cannot be reached, which is always."""

    advised: ClassVar[str] = "other-options"

    def verdict(self, asked: Comparison) -> Verdict:
        return Verdict(asked.id, "tie")


class CountsDifferentWords(ScoringJudge):
    """Scores a text by the number of its words, and keeps the rules."""

    breaks: ClassVar[str] = ""

    def open_scoring(self, context: JudgeContext) -> AbstractContextManager[Any]:
        return nullcontext(_Scores(self))

    def scores(self, answers: Sequence[Answer]) -> Iterator[Score]:
        for each in answers:
            yield self.score_of(each, float(len({*each.completion.split()})))

    def score_of(self, answer: Answer, value: float) -> Score:
        return Score(answer.id, value, cut=len(answer.completion) > 50_000)


class _Scores:
    def __init__(self, judge: CountsDifferentWords) -> None:
        self.judge = judge

    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        yield from self.judge.scores(answers)


class ShareOfTheLongest(CountsDifferentWords):
    """Divides by the longest text of the batch."""

    breaks = "batches"

    def scores(self, answers: Sequence[Answer]) -> Iterator[Score]:
        most = max((len(each.completion) for each in answers), default=0) or 1
        for each in super().scores(answers):
            yield Score(each.id, (each.value or 0.0) / most)


class TwoToTheWords(CountsDifferentWords):
    """Overflows for long texts."""

    breaks = "batches"

    def score_of(self, answer: Answer, value: float) -> Score:
        return Score(answer.id, 2.0**value)


class CutsEverything(CountsDifferentWords):
    """Reports each text as cut."""

    breaks = "scores"

    def score_of(self, answer: Answer, value: float) -> Score:
        return Score(answer.id, value, cut=True)


class LargeOffset(CountsDifferentWords):
    """Adds so much that the differences are lost."""

    breaks = "scores"

    def score_of(self, answer: Answer, value: float) -> Score:
        return Score(answer.id, value + 1e17)
