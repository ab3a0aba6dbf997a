"""A loss around another loss: it passes everything on, and changes what its author wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, final

from pydantic import Field

from halo_core.errors import PluginError
from halo_core.feedback import Feedback
from halo_core.guarded.blame import plugin_error
from halo_core.guarded.loss_calls import (
    changed_logratios,
    checked_output,
    output_of,
    settled,
    statistics_of,
)
from halo_core.loss import ClassCounts, Head, Loss, LossBatch, LossOutput, Need, Settled

if TYPE_CHECKING:
    from torch import Tensor

_THEIRS = "that of the wrapped loss"


class LossWrapper(Loss):
    """A loss that holds another one, in the option `loss`, and does what that one does.

    Subclass it and override `change_batch`, `change_output` or both; then the class is final. The
    kind of feedback, what is needed, the reference point, heads, control tokens, statistics, the
    value function and the change of log-ratios are those of the wrapped loss. A method of `Loss`
    that is overridden as well asks `self.loss` for its part::

        class Halved(LossWrapper):
            def change_output(self, batch: LossBatch, output: LossOutput) -> LossOutput:
                return replace(output, losses=0.5 * output.losses)

    In a spec: ``{use: mine/halved, loss: {use: kto, beta: 0.1}}``. A wrapper may wrap a wrapper.

    Raises:
        PluginError: At class definition, when it has a `__call__` of its own.
    """

    kind: ClassVar[str] = "loss"
    required: ClassVar[tuple[str, ...]] = ()
    described: ClassVar[Mapping[str, str]] = {
        "feedback": _THEIRS,
        "needs": _THEIRS,
        "default_reference_point": _THEIRS,
    }

    loss: Loss = Field(description="The loss that is wrapped.")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "__call__" in vars(cls):
            raise PluginError(
                "a LossWrapper has no __call__ of its own, which would leave out the wrapped loss: "
                "write change_batch(batch) or change_output(batch, output)",
                location=f"{cls.__module__}.{cls.__qualname__}",
            )

    def change_batch(self, batch: LossBatch) -> LossBatch:
        """Returns what the wrapped loss sees; the batch as it is, unless overridden."""
        return batch

    def change_output(self, batch: LossBatch, output: LossOutput) -> LossOutput:
        """Returns what comes back instead of the wrapped loss's output; that, unless overridden.

        Args:
            batch: What this loss sees, before `change_batch`.
            output: What the wrapped loss gave for the changed batch.
        """
        return output

    @final
    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns the changed output of the wrapped loss for the changed batch."""
        output = output_of(self.loss, self._changed(batch))
        changed = self.change_output(batch, output)
        return checked_output(self, "change_output", changed, batch, examples=len(output.losses))

    def _changed(self, batch: LossBatch) -> LossBatch:
        changed: object = self.change_batch(batch)
        if not isinstance(changed, LossBatch):
            what = f"returned {type(changed).__name__}; expected a LossBatch"
            raise plugin_error(self, "change_batch", what)
        if wrong := _wrong_sizes(changed) or _lacks(changed, self.loss):
            raise plugin_error(self, "change_batch", f"gave a batch {wrong}")
        return changed

    def resolved_feedback(self) -> Feedback:
        """Returns the kind of feedback that the wrapped loss learns from."""
        return self.loss.resolved_feedback()

    def needed(self) -> tuple[Need, ...]:
        """Returns what the wrapped loss needs."""
        return self.loss.needed()

    def resolved_reference_point(self) -> str | None:
        """Returns the wrapped loss's own reference point."""
        return self.loss.resolved_reference_point()

    def weighs_examples(self) -> bool:
        """Returns whether the wrapped loss weighs its examples."""
        return self.loss.weighs_examples()

    def mistakes_within_pairs(self) -> Sequence[str]:
        """Returns what is wrong with the wrapped loss's options among chosen completions alone."""
        return self.loss.mistakes_within_pairs()

    def heads(self) -> Sequence[Head]:
        """Returns the heads of the wrapped loss."""
        return self.loss.heads()

    def control_tokens(self) -> tuple[str, str] | None:
        """Returns the control tokens of the wrapped loss."""
        return self.loss.control_tokens()

    def settle(self, counts: ClassCounts) -> Settled:
        """Returns this loss around the settled one, with what that says of the counts."""
        made = settled(self.loss, counts)
        return made._replace(loss=self.model_copy(update={"loss": made.loss}))

    def statistics(self, batch: LossBatch) -> Mapping[str, Tensor]:
        """Returns the wrapped loss's sums over the changed batch."""
        return statistics_of(self.loss, self._changed(batch))

    def value(self, gain: float) -> float | None:
        """Returns the value that the wrapped loss gives to a gain."""
        return self.loss.value(gain)

    def change_logratios(self, token_logratios: Tensor) -> Tensor:
        """Returns the log-ratios as the wrapped loss changes them."""
        return changed_logratios(self.loss, token_logratios)


def changes_logratios(loss: Loss) -> bool:
    """Returns whether a loss, or one that it wraps, has a change of the log-ratios."""
    method = type(loss).change_logratios
    if isinstance(loss, LossWrapper) and method is LossWrapper.change_logratios:
        return changes_logratios(loss.loss)
    return method is not Loss.change_logratios


def _wrong_sizes(batch: LossBatch) -> str | None:
    """Which parts of a batch do not go together, by their shapes alone."""
    tokens, completions = len(batch.sequence_index), len(batch.example_index)
    expected = {
        "policy_token_logps": (batch.policy_token_logps, tokens, "tokens"),
        "reference_token_logps": (batch.reference_token_logps, tokens, "tokens"),
        "desirable": (batch.desirable, completions, "completions"),
        "sampled": (batch.sampled, completions, "completions"),
    }
    for name, (values, size, what) in expected.items():
        if values is not None and tuple(values.shape) != (size,):
            return f"whose {name} has the shape {tuple(values.shape)} for {size} {what}"
    return None


def _lacks(batch: LossBatch, loss: Loss) -> str | None:
    """What a loss needs of a batch and does not find there."""
    needs = {
        "reference_logps": batch.reference_token_logps,
        "reference_point": batch.reference_point,
        "reference_samples": batch.sampled,
    }
    for need in loss.needed():
        if need in needs and needs[need] is None:
            return (
                f"without {need}, which the wrapped loss needs; name it in needed(), as "
                "self.loss.needed() does"
            )
    return None
