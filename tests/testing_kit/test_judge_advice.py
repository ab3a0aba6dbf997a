"""Options of judges without an effect."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from halo_core import Answer, JudgeContext, Score, ScoringJudge
from halo_core.testing.advice import advised
from halo_core.testing.judges.judge_options import check_judge_options
from halo_core.testing.judges.rules import HARD_COMPARISONS


class Words(ScoringJudge):
    """Counts some words, and texts of too few words have no score."""

    words: tuple[str, ...] = Field(default=("please",), description="The words.")
    least: int = Field(default=1, ge=1, description="Fewest words of a text.")
    uses: ClassVar[Sequence[str]] = ("words", "least")

    def open_scoring(self, context: JudgeContext) -> Any:
        return nullcontext(_Session(self))


class _Session:
    def __init__(self, judge: Words) -> None:
        self.judge = judge

    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        judge = self.judge
        words = judge.words if "words" in judge.uses else ("please",)
        for answer in answers:
            text = answer.completion
            if "least" in judge.uses and len(text.split()) < judge.least:
                yield Score(answer.id, None, "too few words")
            else:
                yield Score(answer.id, float(len(text.split()) + 9 * sum(map(text.count, words))))


class ForgetsTheWords(Words):
    uses = ("least",)


class ForgetsTheLeast(Words):
    uses = ("words",)


class ScoresNothing(Words):
    def open_scoring(self, context: JudgeContext) -> Any:
        return nullcontext(_Nothing())


class _Nothing:
    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        return (Score(answer.id, None, "unknown") for answer in answers)


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (Words(), ""),
        (ForgetsTheWords(), "no other value of 'words' changes a verdict"),
        (ForgetsTheLeast(), "no other value of 'least' changes a verdict"),
        (ScoresNothing(), ""),  # The kit knows no text that it scores.
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_judge_gets_advice(judge: Words, said: str, tmp_path: Path) -> None:
    with advised() as advice:
        check_judge_options(judge, tmp_path, comparisons=HARD_COMPARISONS)
    assert len(advice) == bool(said), advice
    assert said in "".join(advice)
