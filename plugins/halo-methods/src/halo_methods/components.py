"""The losses and reference points as components: options here, the mathematics in other files."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_core.reference_point import (
    Candidate,
    Estimate,
    Observed,
    Pair,
    PairingPlan,
    RefPointEstimator,
)
from halo_methods.mismatched_kl import make_pairs, mismatched_kl

if TYPE_CHECKING:
    from torch import Tensor

_HALOS = "Ethayarajh, Xu, Jurafsky & Kiela (2024), Human-Aware Loss Functions (HALOs)"


class SFT(Loss):
    """Supervised fine-tuning: the negative log-likelihood of the demonstrations."""

    feedback: ClassVar[Feedback] = "demonstration"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    citation: ClassVar[str | None] = _HALOS + ", section 2"

    per: Literal["token", "sequence"] = Field(
        default="token",
        description="What counts once in the mean over the global batch: each completion token "
        "(long completions count more), or each completion with its sum over tokens.",
    )

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per demonstration."""
        from halo_methods.sft import sft_sequence_loss, sft_token_loss

        if self.per == "token":
            return LossOutput(*sft_token_loss(batch.policy_logps, batch.lengths))
        return LossOutput(*sft_sequence_loss(batch.policy_logps))


class DPO(Loss):
    """Direct preference optimisation: prefer the chosen completion, relative to the reference."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps")
    citation: ClassVar[str | None] = (
        "Rafailov, Sharma, Mitchell, Ermon, Manning & Finn (2023), Direct Preference Optimization"
    )

    beta: float = Field(
        default=0.1,
        gt=0,
        description="Reward per nat of log-ratio; larger keeps the policy nearer to the reference "
        "(HALOs report eq. 4; Archangel used 0.1).",
    )
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=0.5,
        description="Assumed share of pairs labelled the wrong way round; above 0 this is "
        "conservative DPO (Mitchell 2023, eq. 3).",
    )

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        from halo_methods.dpo import dpo_loss

        chosen, rejected = batch.desirable, ~batch.desirable
        losses = dpo_loss(
            batch.policy_logps[chosen],
            batch.policy_logps[rejected],
            batch.reference_logps[chosen],
            batch.reference_logps[rejected],
            beta=self.beta,
            label_smoothing=self.label_smoothing,
        )
        return _equally_weighted(losses, rewards=self.beta * batch.logratios.detach())

    def value(self, gain: float) -> float:
        """Returns log sigmoid(gain), smoothed like the labels; report, section 4."""
        log_sigmoid = min(gain, 0.0) - math.log1p(math.exp(-abs(gain)))
        return log_sigmoid - self.label_smoothing * gain


class KTO(Loss):
    """Kahneman-Tversky optimisation: raise what is desirable above the reference point."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps", "reference_point")
    default_reference_point: ClassVar[str | None] = "mismatched-kl"
    citation: ClassVar[str | None] = _HALOS + ", eq. 7 and 8"

    beta: float = Field(
        default=0.1,
        gt=0,
        description="Reward per nat of log-ratio above the reference point; larger saturates "
        "sooner (HALOs report eq. 8; Archangel used 0.1).",
    )
    desirable_weight: float = Field(
        default=1.0,
        ge=0,
        description="Factor of the loss of desirable completions (lambda_D, HALOs report eq. 8). "
        "Choose it so that lambda_D n_D / (lambda_U n_U) lies in [1, 4/3].",
    )
    undesirable_weight: float = Field(
        default=1.0,
        ge=0,
        description="Factor of the loss of undesirable completions (lambda_U, HALOs report eq. 8).",
    )

    @model_validator(mode="after")
    def _something_is_learned(self) -> Self:
        if self.desirable_weight == 0 and self.undesirable_weight == 0:
            raise ValueError(
                "desirable_weight and undesirable_weight are both 0, so nothing would be learned; "
                "set at least one above 0"
            )
        return self

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per completion.

        Raises:
            ValueError: When the batch has no reference point.
        """
        from halo_methods.kto import kto_loss

        if batch.reference_point is None:
            raise ValueError("KTO needs a reference point, and the batch has none")
        losses = kto_loss(
            batch.policy_logps,
            batch.reference_logps,
            batch.desirable,
            batch.reference_point,
            beta=self.beta,
            desirable_weight=self.desirable_weight,
            undesirable_weight=self.undesirable_weight,
        )
        return _equally_weighted(losses, rewards=self.beta * batch.logratios.detach())

    def value(self, gain: float) -> float:
        """Returns sigmoid(gain), what the report's eq. 8 imputes to a desirable completion."""
        return 0.5 * (1.0 + math.tanh(0.5 * gain))


def _equally_weighted(losses: Tensor, rewards: Tensor) -> LossOutput:
    return LossOutput(losses, losses.new_ones(losses.shape), rewards)


class MismatchedKL(RefPointEstimator):
    """The KL divergence from the reference, estimated on mismatched pairs of the global batch."""

    citation: ClassVar[str | None] = _HALOS + ", estimate of the KL term below eq. 8"

    def pairs(self, plan: PairingPlan, rng: random.Random) -> Sequence[Pair]:
        """Returns one pair per completion of the batch, where a partner exists."""
        found = make_pairs(_ids(plan.batch), _ids(plan.following), rng)
        return [Pair(prompt, completion) for prompt, completion in found]

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        """Returns the mean log-ratio of the pairs, or 0 where it is negative or has no pairs."""
        return Estimate(mismatched_kl(observed.logratios), metrics=_pair_metrics(observed))


def _ids(candidates: Sequence[Candidate]) -> list[tuple[str, str]]:
    return [(candidate.prompt_id, candidate.completion_id) for candidate in candidates]


def _pair_metrics(observed: Observed) -> dict[str, tuple[float, float]]:
    count, size = len(observed.logratios), observed.batch_size
    borrowed = sum(pair.completion >= size for pair in observed.pairs)
    mean = {"policy/kl": (math.fsum(observed.logratios), float(count))} if count else {}
    return {
        **mean,
        "counts/pairs_missing": (float(size - count), 1.0),
        "counts/pairs_from_following": (float(borrowed), 1.0),
    }


class Zero(RefPointEstimator):
    """A reference point of 0: gains and losses are relative to the reference model itself."""

    def pairs(self, plan: PairingPlan, rng: random.Random) -> Sequence[Pair]:
        """Returns none: nothing has to be scored."""
        return ()

    def estimate(self, observed: Observed, state: Mapping[str, float]) -> Estimate:
        """Returns 0."""
        return Estimate(0.0)
