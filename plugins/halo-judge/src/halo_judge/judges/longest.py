"""The judge `longest`: the baseline that every other judge must beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar

from halo_core.judge import JudgeContext
from halo_core.scoring_judge import Answer, Score, ScoringJudge, ScoringSession


class Longest(ScoringJudge):
    """Prefers the text with more characters. It is the baseline that every judge must beat.

    On the pairs of AlpacaEval it agrees with people on 62.2 %. GPT-4 agrees with people on 69.2 %,
    and people with each other on 65.7 %.
    """

    citation: ClassVar[str | None] = (
        "Dubois et al. 2023, AlpacaFarm: A simulation framework for methods that learn from "
        "human feedback"
    )

    def open_scoring(self, context: JudgeContext) -> AbstractContextManager[ScoringSession]:
        """Returns a session whose scores are lengths in characters."""
        from contextlib import nullcontext

        return nullcontext(LengthSession())


class LengthSession:
    """Scores completions by their length."""

    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        """Yields the length of each completion in characters."""
        for answer in answers:
            length = len(answer.completion)
            yield Score(answer.id, float(length), f"{length} characters")
