"""The stage `judge` and the judge `longest`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import ClassVar, Literal

from pydantic import Field

from halo_core.component import RivalRef, SamplesRef
from halo_core.judge import Judge, JudgeContext
from halo_core.scoring_judge import ScoringJudge, ScoringSession
from halo_core.stage import (
    Forecast,
    Known,
    ModelInput,
    Product,
    Stage,
    StageContext,
    StageResult,
)


class JudgeStage(Stage):
    """Compares samples with the targets of their prompts, or with another stage's samples."""

    produces: ClassVar[Product] = "verdicts"

    judge: Judge = Field(description="Who compares.")
    of: SamplesRef = Field(description="The sampling stage whose completions are judged.")
    against: RivalRef = Field(
        default="target",
        description="The sampling stage they are compared with, or 'target': the completion "
        "that the data holds for the prompt.",
    )
    orders: Literal["both", "counterbalanced"] = Field(
        default="both",
        description="'both' asks twice, each text first once, and counts a win only when both "
        "agree; 'counterbalanced' asks once, with half of the prompts in each order.",
    )
    confidence: float = Field(
        default=0.9, gt=0, lt=1, description="Of the win rate's interval, as a probability."
    )
    interval: Literal["exact", "wilson", "bootstrap"] = Field(
        default="exact",
        description="Of the win rate: 'exact' (Clopper-Pearson) covers at least as often as it "
        "claims; 'wilson' and 'bootstrap' are shorter and do so on average.",
    )

    def forecast(self, known: Known) -> Forecast:
        """Returns the requests, tokens and dollars that a paid judge would take."""
        from halo_judge.outlook import judge_forecast, waits_for
        from halo_judge.samples import pair_samples

        return judge_forecast(
            self.judge,
            known,
            waits_for(known, {"of": self.of, "against": self.against}),
            lambda: pair_samples(known.inputs["of"], known.inputs.get("against"))[0],
            both=self.orders == "both",
        )

    def preflight(self, models: Mapping[str, ModelInput]) -> None:
        """Checks that the judge has what it needs, such as a key.

        Raises:
            UserError: When it has not.
        """
        from halo_judge.opening import check_ready

        check_ready(self.judge)

    def run(self, context: StageContext) -> StageResult:
        """Judges what is not judged yet and returns the win rate.

        Raises:
            DataError: When no prompt has two completions to compare.
            PluginError: When the judge breaks its interface.
            Interrupted: When asked to stop; verdicts are kept.
        """
        from halo_judge.judging import judge_samples

        return judge_samples(self, context)


class Longest(ScoringJudge):
    """Prefers the longer text, in characters: the baseline that every judge must beat.

    It agrees with people on 62.2 % of the pairs of AlpacaEval; GPT-4 does on 69.2 %, and people
    among themselves on 65.7 %.
    """

    citation: ClassVar[str | None] = (
        "Dubois et al. 2023, AlpacaFarm: A simulation framework for methods that learn from "
        "human feedback"
    )

    def open_scoring(self, context: JudgeContext) -> AbstractContextManager[ScoringSession]:
        """Returns a session whose scores are lengths in characters."""
        from contextlib import nullcontext

        from halo_judge.longest import LengthSession

        return nullcontext(LengthSession())
