"""The judge `oracle`: scores completions of the toy world by their known utility."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from pydantic import Field

from halo_core.judge import JudgeContext
from halo_core.scoring_judge import Answer, Score, ScoringJudge, ScoringSession
from halo_data.toy.utility import Utility, utility


class Oracle(ScoringJudge):
    """Prefers the completion with higher utility. It only works for prompts of the toy world."""

    epsilon: float = Field(
        default=1e-6, gt=0, description="Difference of utility below which a comparison is a tie."
    )

    def unchecked_rules(self) -> Mapping[str, str]:
        """Returns the rule of options without an effect."""
        return {"other-options": "the utilities of the kit's texts differ by far more than epsilon"}

    def tie_below(self) -> float:
        """Returns `epsilon`."""
        return self.epsilon

    def open_scoring(self, context: JudgeContext) -> AbstractContextManager[ScoringSession]:
        """Returns a session whose scores are utilities. It stores nothing."""
        return nullcontext(OracleSession())


class OracleSession:
    """Scores by utility."""

    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        """Yields the utility of each completion in order, or no score outside the toy world."""
        for answer in answers:
            try:
                known = utility(answer.prompt, answer.completion)
            except ValueError as error:
                yield Score(answer.id, None, str(error))
            else:
                yield Score(answer.id, known.value, _described(known))


def _described(known: Utility) -> str:
    right = "right" if known.right else "wrong"
    rude = "rude" if known.rude else "polite"
    return f"{right}, {rude}, {known.words} words ({known.value:+.2f})"
