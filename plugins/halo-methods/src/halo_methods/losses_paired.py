"""Losses on pairs that compare the policy with the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_methods import values

if TYPE_CHECKING:
    from torch import Tensor

_WITH_REFERENCE: tuple[Need, ...] = ("policy_logps", "reference_logps")
_BETA = "Reward per nat of log-ratio; larger keeps the policy nearer to the reference"
_APO = (
    "D'Oosterlinck et al. (2024), Anchored Preference Optimization and Contrastive Revisions: "
    "Addressing Underspecification in Alignment"
)


class DPO(Loss):
    """Direct preference optimisation: prefer the chosen completion, relative to the reference."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = _WITH_REFERENCE
    citation: ClassVar[str | None] = (
        "Rafailov, Sharma, Mitchell, Ermon, Manning & Finn (2023), Direct Preference Optimization"
    )

    beta: float = Field(
        default=0.1,
        gt=0,
        description=_BETA + " (HALOs report eq. 4; Archangel used 0.1).",
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=0.5,
        description="Assumed share of pairs labelled the wrong way round; above 0 this is "
        "conservative DPO (Mitchell 2023, eq. 3).",
    )

    def value(self, gain: float) -> float:
        """Returns ``log sigmoid(g)``, smoothed: the loss is its negative."""
        return _smoothed_log_logistic(gain, self.label_smoothing)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        return _dpo(batch, self.beta, self.label_smoothing)


class CDPO(Loss):
    """Conservative DPO: as `dpo`, when some of the labels are assumed to be wrong."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = _WITH_REFERENCE
    citation: ClassVar[str | None] = (
        "Mitchell (2023), A note on DPO with noisy preferences and relationship to IPO"
    )

    beta: float = Field(default=0.1, gt=0, description=_BETA + ", as in DPO.")
    label_smoothing: float = Field(
        default=0.1,
        gt=0,
        lt=0.5,
        description="Assumed share of pairs labelled the wrong way round (Mitchell 2023, eq. 3).",
    )

    def value(self, gain: float) -> float:
        """Returns ``log sigmoid(g)``, smoothed: the loss is its negative."""
        return _smoothed_log_logistic(gain, self.label_smoothing)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        return _dpo(batch, self.beta, self.label_smoothing)


class IPO(Loss):
    """Identity preference optimisation: a preference is worth a finite margin, and no more."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = _WITH_REFERENCE
    citation: ClassVar[str | None] = (
        "Azar et al. (2023), A General Theoretical Paradigm to Understand Learning from Human "
        "Preferences, eq. 17"
    )

    tau: float = Field(
        default=0.1,
        gt=0,
        description="Strength of the regularisation, per nat: the log-ratio margin aimed at is "
        "1 / (2 tau).",
    )
    per: Literal["sequence", "token"] = Field(
        default="sequence",
        description="Log-ratios are sums over a completion's tokens (Azar et al.), or their means, "
        "which are small: choose a larger tau then.",
    )

    def value(self, gain: float) -> float:
        """Returns ``-((g - 1/2) / tau)^2``, the loss's negative, where rewards are tau times r."""
        return -(((gain - 0.5) / self.tau) ** 2)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        from halo_methods.ipo import ipo_loss

        policy, reference = batch.policy_logps, batch.reference_logps
        if self.per == "token":
            policy, reference = policy / batch.lengths, reference / batch.lengths
        losses = ipo_loss(*_by_side(batch, policy), *_by_side(batch, reference), tau=self.tau)
        return LossOutput(losses, rewards=self.tau * (policy - reference))


class APOZero(Loss):
    """Anchored preference optimisation: chosen up, rejected down, for good chosen completions."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = _WITH_REFERENCE
    citation: ClassVar[str | None] = _APO

    beta: float = Field(default=0.1, gt=0, description="Reward per nat of log-ratio.")

    def value(self, gain: float) -> float:
        """Returns ``sigmoid(g)``, where each completion's gain is its own reward."""
        return values.logistic(gain)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        from halo_methods.apo import apo_zero_loss

        losses = apo_zero_loss(*_logps(batch), beta=self.beta)
        return LossOutput(losses, rewards=self.beta * batch.logratios)


class APODown(Loss):
    """Anchored preference optimisation: both down, for pairs that the policy already surpasses."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = _WITH_REFERENCE
    citation: ClassVar[str | None] = _APO

    beta: float = Field(default=0.1, gt=0, description="Reward per nat of log-ratio.")

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        from halo_methods.apo import apo_down_loss

        losses = apo_down_loss(*_logps(batch), beta=self.beta)
        return LossOutput(losses, rewards=self.beta * batch.logratios)


def _dpo(batch: LossBatch, beta: float, label_smoothing: float) -> LossOutput:
    from halo_methods.dpo import dpo_loss

    losses = dpo_loss(*_logps(batch), beta=beta, label_smoothing=label_smoothing)
    return LossOutput(losses, rewards=beta * batch.logratios)


def _smoothed_log_logistic(gain: float, label_smoothing: float) -> float:
    kept = (1 - label_smoothing) * values.log_logistic(gain)
    return kept + label_smoothing * values.log_logistic(-gain)


def _by_side(batch: LossBatch, of_each: Tensor) -> tuple[Tensor, Tensor]:
    """What belongs to the chosen completions, and to the rejected ones [P]."""
    return of_each[batch.desirable], of_each[~batch.desirable]


def _logps(batch: LossBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The policy's for chosen and rejected completions, then the reference's, nats [P]."""
    return *_by_side(batch, batch.policy_logps), *_by_side(batch, batch.reference_logps)
