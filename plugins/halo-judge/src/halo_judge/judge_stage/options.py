"""The options of the stage `judge`. `judge_samples` does the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from halo_core.judge import Judge
from halo_core.option_markers import RivalRef, SamplesRef
from halo_core.stage import (
    Forecast,
    Inputs,
    Known,
    ModelInput,
    Product,
    Stage,
    StageContext,
    StageResult,
    Work,
)


class JudgeStage(Stage):
    """Compares samples with the targets of their prompts, or with another stage's samples."""

    produces: ClassVar[Product] = "verdicts"

    judge: Judge = Field(description="The judge that compares the completions.")
    of: SamplesRef = Field(description="The sampling stage whose completions are judged.")
    against: RivalRef = Field(
        default="target",
        description="The other side of the comparison: another sampling stage, or 'target', the "
        "completion that the data have for the prompt.",
    )
    orders: Literal["both", "counterbalanced"] = Field(
        default="both",
        description="'both' asks twice, with each text first once, and counts a win only if both "
        "verdicts agree; 'counterbalanced' asks once, with half of the prompts in each order.",
    )
    confidence: float = Field(
        default=0.9,
        gt=0,
        lt=1,
        description="Confidence level of the win rate's interval, between 0 and 1.",
    )
    interval: Literal["exact", "wilson", "bootstrap"] = Field(
        default="exact",
        description="Method of the win rate's interval: 'exact' (Clopper-Pearson) covers at least "
        "as often as its confidence level; 'wilson' and 'bootstrap' are shorter and do so on "
        "average.",
    )

    def forecast(self, known: Known) -> Forecast:
        """Returns the requests, tokens and dollars that a paid judge would need."""
        from halo_judge.judge_stage.cost import judge_forecast, waits_for
        from halo_judge.judge_stage.sample_duels import pair_samples

        return judge_forecast(
            self.judge,
            known,
            waits_for(known, {"of": self.of, "against": self.against}),
            lambda: pair_samples(known.inputs["of"], known.inputs.get("against")).duels,
            both=self.orders == "both",
        )

    def work(self, known: Known) -> Work | None:
        """Returns the number of samples to judge, for stages with the same judge."""
        from halo_judge.judge_stage.planned_work import judging_work

        return judging_work(self.judge, known, both=self.orders == "both")

    def check_inputs(self, inputs: Inputs) -> Sequence[tuple[str, str]]:
        """Returns options of the judge that do not fit the model that it scores with."""
        from halo_judge.judge_stage.ask import judge_mistakes

        return judge_mistakes(self.judge, inputs)

    def preflight(self, models: Mapping[str, ModelInput]) -> None:
        """Checks that the judge has everything it needs, such as a key.

        Raises:
            UserError: When something is missing.
        """
        from halo_judge.judge_stage.ask import check_ready

        check_ready(self.judge)

    def run(self, context: StageContext) -> StageResult:
        """Judges the duels without a verdict and returns the win rate.

        Raises:
            DataError: When no prompt has two completions to compare.
            PluginError: When the judge breaks its interface.
            Interrupted: When asked to stop. Verdicts are kept.
        """
        from halo_judge.judge_stage.judge_samples import judge_samples

        return judge_samples(
            self.judge,
            context,
            of=self.of,
            against=self.against,
            both_orders=self.orders == "both",
            confidence=self.confidence,
            interval=self.interval,
        )
