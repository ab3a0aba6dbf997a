"""Identity preference optimisation: each preference aims at a finite margin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_methods.shared.logratios import pair_logratios

if TYPE_CHECKING:
    from torch import Tensor


class IPO(Loss):
    """Identity preference optimisation: each preference aims at a finite margin."""

    feedback: ClassVar[Feedback] = "paired"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps")
    citation: ClassVar[str | None] = (
        "Azar et al. (2023), A General Theoretical Paradigm to Understand Learning from Human "
        "Preferences, eq. 17"
    )

    tau: float = Field(
        default=0.1,
        gt=0,
        description="Strength of the regularisation, per nat. The target margin of the log-ratios "
        "is 1 / (2 tau).",
    )
    per: Literal["sequence", "token"] = Field(
        default="sequence",
        description="Whether log-ratios are sums over a completion's tokens (sequence; Azar et "
        "al.) or means (token). Means are small, so they need a larger tau.",
    )

    def value(self, gain: float) -> float:
        """Returns ``-((g - 1/2) / tau)^2``, the negative loss, where rewards are tau times r."""
        return -(((gain - 0.5) / self.tau) ** 2)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        policy, reference = batch.policy_logps, batch.reference_logps
        if self.per == "token":
            policy, reference = policy / batch.lengths, reference / batch.lengths
        losses = ipo_loss(*batch.of_pairs(policy), *batch.of_pairs(reference), tau=self.tau)
        return LossOutput(losses, rewards=self.tau * (policy - reference))


def ipo_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    *,
    tau: float,
) -> Tensor:
    """Returns the squared distance of each pair's log-ratio margin from ``1 / (2 tau)``.

    With ``r = policy logp - reference logp``::

        loss = (r_w - r_l - 1 / (2 tau))^2

    It is a polynomial, so it and all its derivatives are finite where the policy equals its
    reference. There the loss is ``1 / (4 tau^2)``.

    Args:
        policy_chosen_logps: Log-probability of each chosen completion, summed over its tokens as in
            the cited equation, or their mean, nats [P].
        policy_rejected_logps: Log-probability of each rejected completion, summed or the mean in
            the same way, nats [P].
        ref_chosen_logps: `policy_chosen_logps` under the reference, no gradient [P].
        ref_rejected_logps: `policy_rejected_logps` under the reference, no gradient [P].
        tau: Strength of the regularisation, per nat, above 0. The target margin is ``1/(2 tau)``.

    Returns:
        One loss per pair, in squared nats [P].

    Raises:
        ValueError: When the shapes are not all [P].

    References:
        Azar et al. (2023), A General Theoretical Paradigm to Understand Learning from Human
        Preferences, eq. 17.

    >>> from torch import tensor
    >>> at_reference = tensor([-3.0])
    >>> ipo_loss(at_reference, at_reference, at_reference, at_reference, tau=0.1)
    tensor([25.])
    >>> ipo_loss(at_reference + 5.0, at_reference, at_reference, at_reference, tau=0.1)
    tensor([0.])
    """
    chosen_logratios, rejected_logratios = pair_logratios(
        "ipo_loss",
        policy_chosen_logps,
        policy_rejected_logps,
        ref_chosen_logps,
        ref_rejected_logps,
    )
    margins = chosen_logratios - rejected_logratios
    return (margins - 1 / (2 * tau)) ** 2  # Azar et al. eq. 17
