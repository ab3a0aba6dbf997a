"""A loss around another loss, which passes everything on except what it changes."""

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
    """A loss that wraps another one, in the option `loss`, and behaves like it.

    Subclass it and override `change_batch`, `change_output` or both. The subclass is then final. It
    takes everything else from the wrapped loss: the kind of feedback, the needs, the reference
    point, heads, control tokens, statistics, the value function and the change of log-ratios. If
    you override another method of `Loss` too, call the same method of `self.loss` in it::

        class Halved(LossWrapper):
            def change_output(self, batch: LossBatch, output: LossOutput) -> LossOutput:
                return replace(output, losses=0.5 * output.losses)

    In a spec: ``{use: mine/halved, loss: {use: kto, beta: 0.1}}``. A wrapper may wrap a wrapper.

    Raises:
        PluginError: At class definition, when it has its own `__call__`.
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
                "a LossWrapper must not have its own __call__, which would skip the wrapped loss: "
                "write change_batch(batch) or change_output(batch, output)",
                location=f"{cls.__module__}.{cls.__qualname__}",
            )

    def change_batch(self, batch: LossBatch) -> LossBatch:
        """Returns the batch that the wrapped loss sees. By default it is unchanged."""
        return batch

    def change_output(self, batch: LossBatch, output: LossOutput) -> LossOutput:
        """Returns the output that replaces the wrapped loss's output. By default it is unchanged.

        Args:
            batch: The batch of this loss, before `change_batch`.
            output: The wrapped loss's output for the changed batch.
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

    def unchecked_rules(self) -> Mapping[str, str]:
        """Returns the rules that do not hold for the wrapped loss."""
        return self.loss.unchecked_rules()

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
        """Returns what is wrong with the wrapped loss's options if it sees only chosen ones."""
        return self.loss.mistakes_within_pairs()

    def heads(self) -> Sequence[Head]:
        """Returns the heads of the wrapped loss."""
        return self.loss.heads()

    def control_tokens(self) -> tuple[str, str] | None:
        """Returns the control tokens of the wrapped loss."""
        return self.loss.control_tokens()

    def settle(self, counts: ClassCounts) -> Settled:
        """Returns this loss around the settled wrapped loss, with its remark and caution."""
        made = settled(self.loss, counts)
        return made._replace(loss=self.model_copy(update={"loss": made.loss}))

    def statistics(self, batch: LossBatch) -> Mapping[str, Tensor]:
        """Returns the wrapped loss's sums over the changed batch."""
        return statistics_of(self.loss, self._changed(batch))

    def value(self, gain: float) -> float | None:
        """Returns the value that the wrapped loss gives to a gain."""
        return self.loss.value(gain)

    def change_logratios(self, token_logratios: Tensor) -> Tensor:
        """Returns the log-ratios that the wrapped loss has changed, nats [N].

        Args:
            token_logratios: Policy minus reference log-probability of each token, nats [N].
        """
        return changed_logratios(self.loss, token_logratios)


def changes_logratios(loss: Loss) -> bool:
    """Returns whether a loss, or a loss that it wraps, changes the log-ratios."""
    method = type(loss).change_logratios
    if isinstance(loss, LossWrapper) and method is LossWrapper.change_logratios:
        return changes_logratios(loss.loss)
    return method is not Loss.change_logratios


def _wrong_sizes(batch: LossBatch) -> str | None:
    """Returns which parts of a batch have shapes that do not match."""
    tokens, completions = len(batch.sequence_index), len(batch.example_index)
    expected = {
        "policy_token_logps": (batch.policy_token_logps, tokens, "tokens"),
        "reference_token_logps": (batch.reference_token_logps, tokens, "tokens"),
        "desirable": (batch.desirable, completions, "completions"),
        "sampled": (batch.sampled, completions, "completions"),
        "scores": (batch.scores, completions, "completions"),
        "sampler_token_logps": (batch.sampler_token_logps, tokens, "tokens"),
    }
    for name, (values, size, what) in expected.items():
        if values is not None and tuple(values.shape) != (size,):
            return f"whose {name} has the shape {tuple(values.shape)} for {size} {what}"
    return None


def _lacks(batch: LossBatch, loss: Loss) -> str | None:
    """Returns what a loss needs but the batch lacks."""
    needs = {
        "reference_logps": batch.reference_token_logps,
        "reference_point": batch.reference_point,
        "reference_samples": batch.sampled,
        "scores": batch.scores,
        "sampler_logps": batch.sampler_token_logps,
    }
    for need in loss.needed():
        if need in needs and needs[need] is None:
            return (
                f"without {need}, which the wrapped loss needs; name it in needed(), as "
                "self.loss.needed() does"
            )
    return None
