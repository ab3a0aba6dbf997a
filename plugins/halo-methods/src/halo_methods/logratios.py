"""The log-ratios of pairs: how far the policy has moved from the reference on each completion."""

from __future__ import annotations

from torch import Tensor

from halo_methods.shapes import check_pairs


def pair_logratios(
    function: str,
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
) -> tuple[Tensor, Tensor]:
    """Returns policy minus reference log-probability of the chosen and of the rejected completions.

    Args:
        function: Who asks, for the message.
        policy_chosen_logps: Log-probability of each chosen completion, nats [P].
        policy_rejected_logps: The same of each rejected completion [P].
        ref_chosen_logps: As `policy_chosen_logps` under the reference [P].
        ref_rejected_logps: As `policy_rejected_logps` under the reference [P].

    Returns:
        Two log-ratios per pair, nats [P] and [P].

    Raises:
        ValueError: When the shapes are not all [P].
    """
    check_pairs(
        function,
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        ref_chosen_logps=ref_chosen_logps,
        ref_rejected_logps=ref_rejected_logps,
    )
    return policy_chosen_logps - ref_chosen_logps, policy_rejected_logps - ref_rejected_logps
