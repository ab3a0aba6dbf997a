"""The options of the stage `label`. `label_samples` does the work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from halo_core.feedback import Feedback
from halo_core.judge import Judge
from halo_core.option_markers import Added, DataRef, RivalRef, SamplesRef
from halo_core.scoring_judge import ScoringJudge
from halo_core.stage import (
    Forecast,
    Inputs,
    Known,
    ModelInput,
    Product,
    Stage,
    StageContext,
    StageResult,
)


class Label(Stage):
    """Turns completions into feedback with a judge."""

    produces: ClassVar[Product] = "feedback"

    judge: Judge = Field(
        description="The judge that scores the completions or, for pairs, compares them."
    )
    feedback: Literal["binary", "paired", "scored"] = Field(
        description="Kind of feedback. 'binary': each completion is desirable or not, by a "
        "threshold. 'paired': the best completion of each prompt against the worst. 'scored': the "
        "completions of each prompt with their scores."
    )
    of: SamplesRef | None = Field(
        default=None,
        description="The sampling stage whose completions are labelled. Either `of` or `data` is "
        "required.",
    )
    against: RivalRef | None = Field(
        default=None,
        description="A second source of completions, only together with `of`: another sampling "
        "stage, or 'target', the completion that the data have for the prompt. The judge labels "
        "both completions of each prompt. `feedback: paired` requires it.",
    )
    data: DataRef | None = Field(
        default=None,
        description="The data set whose completions are labelled. Either `of` or `data` is "
        "required.",
    )
    threshold: float | Literal["median"] | None = Field(
        default=None,
        description="For binary feedback, the score at which a completion is desirable, in the "
        "judge's unit; 'median' is the median of all scores, so that about half are desirable.",
    )
    desirable: Literal["above", "below"] = Field(
        default="above",
        description="Side of the threshold with the good scores; 'below' for a detector of "
        "unwanted texts.",
    )
    margin: float = Field(
        default=0.0,
        ge=0,
        description="Minimum distance of a score from the threshold, and of the scores in a pair, "
        "in the judge's unit; others are left out and counted.",
    )

    unfinished: Annotated[Literal["keep", "drop", "undesirable"], Added()] = Field(
        default="keep",
        description="How to treat a completion that was cut at max_new_tokens: 'keep' labels it "
        "like any other, 'drop' leaves it out, 'undesirable' (binary feedback only) sets its label "
        "to false without asking the judge.",
    )

    def unchecked_rules(self) -> dict[str, str]:
        """Returns the rule of bounds: scores have no range of their own."""
        return {"option-bounds": "a score, and so the threshold, can be any number"}

    def feedback_given(self) -> Feedback | None:
        """Returns the kind of feedback that the stage makes."""
        return self.feedback

    @property
    def scores(self) -> bool:
        """Whether the judge scores completions; else it compares them."""
        return isinstance(self.judge, ScoringJudge)

    def mistakes(self) -> Sequence[tuple[str, str]]:
        """Returns options that contradict each other or the judge."""
        return [*self._source_mistakes(), *self._judge_mistakes(), *self._option_mistakes()]

    def _source_mistakes(self) -> Iterator[tuple[str, str]]:
        if (self.of is None) == (self.data is None):
            what = "neither is" if self.of is None else "both are"
            yield "of", f"completions come from `of` (samples) or from `data`; {what} given"
        if self.against is not None and self.of is None:
            yield "against", "is compared with the samples of `of`; with `data` it has no meaning"
        if self.of is not None and self.against == self.of:
            yield (
                "against",
                f"{self.against} is what `of` gives too, so no prompt has two completions; give "
                "another, or 'target'",
            )
        if self.feedback == "paired" and self.of is not None and self.against is None:
            yield "against", "a pair needs a second completion: a sampling stage, or 'target'"

    def _judge_mistakes(self) -> Iterator[tuple[str, str]]:
        if self.scores:
            return
        if self.feedback != "paired":
            yield (
                "judge",
                f"compares texts and gives no scores, so it cannot make {self.feedback} feedback. "
                "Take feedback: paired, which a loss on binary feedback can learn from too, or a "
                "judge that scores: reward-model, python, http, longest, oracle",
            )
        for option in ("margin", "desirable"):
            if getattr(self, option) != type(self).model_fields[option].default:
                yield option, "is about scores, and this judge compares; leave it out"

    def _option_mistakes(self) -> Iterator[tuple[str, str]]:
        if self.feedback == "binary" and self.threshold is None:
            yield "threshold", "binary feedback needs one: a number, or median"
        if self.feedback != "binary" and self.threshold is not None:
            yield "threshold", f"{self.feedback} feedback has none; leave it out"
        if self.feedback != "binary" and self.unfinished == "undesirable":
            yield (
                "unfinished",
                f"undesirable makes a label false, and {self.feedback} feedback has none; take "
                "keep or drop",
            )
        if self.feedback == "scored" and self.margin:
            yield "margin", "scored feedback keeps all scores; leave it out"

    def forecast(self, known: Known) -> Forecast:
        """Returns the requests, tokens and dollars that a paid judge would need."""
        from halo_judge.judge_stage.cost import judge_forecast, waits_for
        from halo_judge.label_stage.ask_for_labels import duels_of_samples

        unknown = waits_for(known, {"of": self.of, "against": self.against})
        return judge_forecast(
            self.judge,
            known,
            "two for each prompt of the data" if self.of is None else unknown,
            lambda: duels_of_samples(
                self.judge,
                known.inputs["of"],
                known.inputs.get("against"),
                targets=self.against == "target",
                drop_cut=self.unfinished == "drop",
            ),
            both=True,
        )

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
        """Asks the judge for missing results and writes ``feedback.jsonl``.

        Raises:
            DataError: When no row is left.
            PluginError: When the judge breaks its interface.
            Interrupted: When asked to stop; what the judge said is kept.
        """
        return self.label(context, where=f"stages.{context.id}", again=f"--again {context.id}")

    def label(self, context: StageContext, *, where: str, again: str) -> StageResult:
        """Does what `run` does, also for the command `halo label`, which has no spec.

        Args:
            context: ``inputs["of"]`` has the samples, or ``data["data"]`` the rows.
            where: Name of the stage or command in messages.
            again: Instruction for asking unscored items again, in messages.

        Raises:
            DataError: When no row is left.
            PluginError: When the judge breaks its interface.
            Interrupted: When asked to stop; what the judge said is kept.
        """
        from halo_judge.label_stage.feedback_rows import Rules
        from halo_judge.label_stage.label_samples import label_samples

        above = self.desirable == "above"
        rules = Rules(self.feedback, self.threshold, above, self.margin, self.unfinished)
        targets = self.against == "target"
        return label_samples(self.judge, context, rules, targets=targets, where=where, again=again)
