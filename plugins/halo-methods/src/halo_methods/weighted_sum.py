"""A weighted sum of losses. Each loss is computed as it would be alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, get_args

from pydantic import Field, ValidationInfo, field_validator

from halo_core.feedback import Feedback
from halo_core.guarded.blame import plugin_error
from halo_core.guarded.loss_calls import (
    heads_of,
    mistakes_within_pairs_of,
    output_of,
    settled,
    statistics_of,
)
from halo_core.loss import ClassCounts, Head, Loss, LossBatch, LossOutput, Need, Settled
from halo_core.loss_wrapper import changes_logratios

if TYPE_CHECKING:
    from torch import Tensor

EXAMPLES = "examples"
WEIGHTS = "weights"


class WeightedSum(Loss):
    """A weighted sum of losses on the same feedback, each with its own mean over the batch.

    With factors ``c_k``, and ``l_ki`` and ``w_ki`` the losses and weights that the k-th loss gives
    to the examples of the global batch::

        total = sum_k c_k (sum_i l_ki w_ki) / (sum_i w_ki)

    The sums over i run over the global batch. The sums of a loss that weights its examples are
    computed before any gradient, as statistics, and without dropout.
    """

    required: ClassVar[tuple[str, ...]] = ()
    described: ClassVar[Mapping[str, str]] = {
        "feedback": "that of its losses, which must be the same",
        "needs": "what one of the losses needs",
        "default_reference_point": "that of its losses, which must be the same",
    }

    losses: list[Loss] = Field(
        min_length=2,
        description="The losses to add up. All must learn from the same kind of feedback, and have "
        "the same reference point and the same control tokens, if any.",
    )
    weights: list[Annotated[float, Field(gt=0)]] = Field(
        description="The factor of each loss, in the order of `losses`."
    )

    @field_validator("losses")
    @classmethod
    def _go_together(cls, losses: list[Loss]) -> list[Loss]:
        points = [loss for loss in losses if "reference_point" in loss.needed()]
        _check_same(losses, [loss.resolved_feedback() for loss in losses], "kind of feedback")
        _check_same(points, [p.resolved_reference_point() for p in points], "reference point")
        _check_same(losses, [loss.control_tokens() for loss in losses], "pair of control tokens")
        for k, loss in enumerate(losses):
            if changes_logratios(loss):
                raise ValueError(
                    f"{_named(k, loss)} changes log-ratios, which the other losses would not see; "
                    "put it around the sum: {use: "
                    f"{loss.spec_name}, loss: {{use: weighted-sum, ...}}}}"
                )
            if loss.weighs_examples() and "statistics" in loss.needed():
                raise ValueError(
                    f"{_named(k, loss)} weighs its examples and needs statistics, so the sum of "
                    "its weights would have to be known before it can be computed; choose options "
                    "with which it does one of the two"
                )
        return losses

    @field_validator("weights")
    @classmethod
    def _one_for_each(cls, weights: list[float], info: ValidationInfo) -> list[float]:
        losses = info.data.get("losses")
        if losses is not None and len(losses) != len(weights):
            raise ValueError(f"{len(weights)} weights for {len(losses)} losses; expected as many")
        return weights

    def resolved_feedback(self) -> Feedback:
        """Returns the kind of feedback of all the losses."""
        return self.losses[0].resolved_feedback()

    def unchecked_rules(self) -> dict[str, str]:
        """Returns the rules that do not hold for one of the losses."""
        return {name: why for loss in self.losses for name, why in loss.unchecked_rules().items()}

    def needed(self) -> tuple[Need, ...]:
        """Returns what any of the losses needs, and statistics if one weights its examples."""
        needed: set[Need] = {need for loss in self.losses for need in loss.needed()}
        if any(loss.weighs_examples() for loss in self.losses):
            needed.add("statistics")
        return tuple(need for need in get_args(Need) if need in needed)

    def resolved_reference_point(self) -> str | None:
        """Returns the reference point of the losses that have one."""
        points = (loss for loss in self.losses if "reference_point" in loss.needed())
        return next((loss.resolved_reference_point() for loss in points), None)

    def control_tokens(self) -> tuple[str, str] | None:
        """Returns the control tokens of all the losses."""
        return self.losses[0].control_tokens()

    def mistakes_within_pairs(self) -> list[str]:
        """Returns mistakes in the options of the losses if only chosen completions are seen."""
        return [
            f"{_named(k, loss)}: {mistake}"
            for k, loss in enumerate(self.losses)
            for mistake in mistakes_within_pairs_of(loss)
        ]

    def heads(self) -> Sequence[Head]:
        """Returns the heads of all the losses, named with the loss's position: ``0-value``."""
        return [
            replace(head, name=_own(k, head.name))
            for k, loss in enumerate(self.losses)
            for head in heads_of(loss)
        ]

    def settle(self, counts: ClassCounts) -> Settled:
        """Returns the sum of the settled losses, with the remark of each on the counts."""
        results = [settled(loss, counts) for loss in self.losses]
        remarks, cautions = [], []
        for loss, result in zip(self.losses, results, strict=True):
            # A loss without class weights need not say so next to the others.
            if result.remark and (result.caution or result.loss != loss):
                remarks.append(f"{loss.spec_name}: {result.remark}")
            if result.caution:
                cautions.append(f"{loss.spec_name}: {result.caution}")
        return Settled(
            self.model_copy(update={"losses": [result.loss for result in results]}),
            "; ".join(remarks),
            "; ".join(cautions) or None,
        )

    def statistics(self, batch: LossBatch) -> Mapping[str, Tensor]:
        """Returns the sums of the losses, and of the weights if a loss weights its examples."""
        sums: dict[str, Tensor] = {}
        for k, loss, part in self._parts(batch):
            if "statistics" in loss.needed():
                own = statistics_of(loss, part)
                sums |= {_own(k, name): value for name, value in own.items()}
            if loss.weighs_examples():
                counts = output_of(loss, part).counts.double()
                sums[_own(k, WEIGHTS)] = counts.sum()
                sums[EXAMPLES] = counts.new_tensor(float(len(counts)))
        return sums

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns the weighted sum of the losses of each example.

        The rewards are those of the first loss that has rewards. Each loss's own mean is logged as
        the metric ``loss-K/loss``, next to its other metrics.
        """
        total, rewards = None, None
        metrics: dict[str, tuple[Tensor | float, Tensor | float]] = {}
        for k, loss, part in self._parts(batch):
            output = output_of(loss, part)
            term = self.weights[k] * _counted_once(k, loss, output, batch)
            total = term if total is None else total + term
            if rewards is None and output.rewards is not None:
                rewards = _of_all(output.rewards, batch)
            mean = ((output.losses * output.counts).sum(), output.counts.sum())
            own = {"loss": mean, **output.metrics}
            metrics |= {f"loss-{k}/{name}": pair for name, pair in own.items()}
        assert total is not None
        return LossOutput(total, rewards=rewards, metrics=metrics)

    def _parts(self, batch: LossBatch) -> Iterator[tuple[int, Loss, LossBatch]]:
        """Yields each loss with its position and the batch that it would see alone."""
        for k, loss in enumerate(self.losses):
            needed = loss.needed()
            part = replace(
                batch,
                heads=_own_ones(k, batch.heads),
                statistics=_own_ones(k, batch.statistics) if "statistics" in needed else {},
                reference_token_logps=_if("reference_logps" in needed, batch.reference_token_logps),
                reference_point=_if("reference_point" in needed, batch.reference_point),
                scores=_if("scores" in needed, batch.scores),
                sampler_token_logps=_if("sampler_logps" in needed, batch.sampler_token_logps),
            )
            if part.sampled is not None and "reference_samples" not in needed:
                part = part.without_samples()
            yield k, loss, part


def _counted_once(k: int, loss: Loss, output: LossOutput, batch: LossBatch) -> Tensor:
    """Returns losses whose plain mean in the global batch is the loss's own weighted mean [E]."""
    if output.weights is None:
        return output.losses
    if not loss.weighs_examples():
        raise plugin_error(
            loss,
            "__call__",
            "gave weights, whose sum has to be known before in a sum of losses; return True from "
            "weighs_examples()",
        )
    examples, weights = batch.statistics[EXAMPLES], batch.statistics[_own(k, WEIGHTS)]
    # Weights that are all 0 give no gradient, as for a loss alone.
    scale = (examples / weights).where(weights > 0, examples.new_zeros(()))
    return output.losses * (output.weights * scale.to(output.weights.dtype))


def _of_all(rewards: Tensor, batch: LossBatch) -> Tensor:
    """Returns rewards of all completions, 0 for reference samples that a loss does not see [B]."""
    if len(rewards) == len(batch.desirable) or batch.sampled is None:
        return rewards
    whole = rewards.new_zeros(batch.desirable.shape)
    return whole.masked_scatter(~batch.sampled, rewards)


def _check_same(losses: Sequence[Loss], values: Sequence[object], what: str) -> None:
    for k, value in enumerate(values):
        if value != values[0]:
            raise ValueError(
                f"{losses[0].spec_name} has {_in_words(values[0])} and {losses[k].spec_name} "
                f"{_in_words(value)}; expected one {what}"
            )


def _in_words(value: object) -> str:
    return "none" if value is None else f"{value!r}"


def _named(k: int, loss: Loss) -> str:
    return f"losses.{k} ({loss.spec_name})"


def _own(k: int, name: str) -> str:
    """Returns the name in the sum for something of the k-th loss. A module's name has no dot."""
    return f"{k}-{name}"


def _own_ones(k: int, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the k-th loss's share of these values, under its own names."""
    prefix = _own(k, "")
    mine = {name: value for name, value in values.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): value for name, value in mine.items()}


def _if(wanted: bool, value: Tensor | None) -> Tensor | None:
    return value if wanted else None
