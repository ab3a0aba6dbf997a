"""Humanline: a loss on likelihood ratios, with the ratio of each token clipped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from halo_core.guarded.loss_calls import changed_logratios
from halo_core.loss import Loss
from halo_core.loss_wrapper import LossWrapper
from halo_methods.weighted_sum import WeightedSum

if TYPE_CHECKING:
    from torch import Tensor


class Humanline(LossWrapper):
    """The humanline variant of a loss: each token's log-ratio is clamped before it is summed.

    With ``r_t = log pi_theta - log pi_ref`` of a token, the loss and its reference point see
    ``min(max(r_t, log_epsilon_p), log_epsilon_r)``. A token outside the bounds passes no gradient.
    The authors also refresh the reference, so that it is the policy of some steps ago:
    ``reference_update: {use: copy, every: 1}``.
    """

    citation: ClassVar[str | None] = (
        "Liu, Muennighoff & Ethayarajh (2025), Humanline: Online Alignment as Perceptual Loss, "
        "arXiv 2509.24207"
    )

    log_epsilon_p: float = Field(
        default=-1.0,
        lt=0,
        description="Lower bound of a token's log-ratio in nats, below 0 (the authors' default).",
    )
    log_epsilon_r: float = Field(
        default=1.5,
        gt=0,
        description="Upper bound of a token's log-ratio in nats, above 0 (the authors' default).",
    )

    @field_validator("loss")
    @classmethod
    def _has_ratios(cls, loss: Loss) -> Loss:
        for part in _parts(loss):
            if "reference_logps" not in part.needed():
                raise ValueError(
                    f"{part.spec_name} does not compare the policy with a reference, so there are "
                    "no ratios to clip; wrap a loss that needs reference_logps, such as dpo or kto"
                )
        return loss

    def change_logratios(self, token_logratios: Tensor) -> Tensor:
        """Returns the log-ratios within the bounds, then changed by the wrapped loss [N].

        Args:
            token_logratios: Policy minus reference log-probability of each token, nats [N].
        """
        clamped = token_logratios.clamp(self.log_epsilon_p, self.log_epsilon_r)
        return changed_logratios(self.loss, clamped)


def _parts(loss: Loss) -> Iterator[Loss]:
    """Yields the losses that see the clamped log-ratios. For a sum, these are its terms."""
    if isinstance(loss, LossWrapper):
        yield from _parts(loss.loss)
    elif isinstance(loss, WeightedSum):
        for part in loss.losses:
            yield from _parts(part)
    else:
        yield loss
