"""Sequence likelihood calibration: a margin between two completions, and a likelihood to keep."""

from __future__ import annotations

from torch import Tensor

from halo_methods.shapes import check_pairs


def slic_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    regulariser_logps: Tensor,
    *,
    beta: float,
    regulariser_weight: float,
) -> Tensor:
    """Returns how far each pair is from its margin, plus a negative log-likelihood.

    With S the sum over the tokens of a completion::

        loss = max(0, beta - S(log pi(y_w)) + S(log pi(y_l))) + lambda_reg (-log pi(y_reg))

    Both terms are one number per pair. No reference model is computed: what keeps the policy near
    it is the second term, whose completion is a sample of the reference. The report takes the
    reference for the distribution of the demonstrations and puts the chosen completion in its place
    (end of its section 3.2).

    Args:
        policy_chosen_logps: Summed log-probability of each chosen completion, nats [P].
        policy_rejected_logps: The same of each rejected completion [P].
        regulariser_logps: Log-probability of the completion to keep likely, summed over its tokens
            as in the report's equation, or their mean, nats [P].
        beta: The margin, in nats, above 0.
        regulariser_weight: lambda_reg, at least 0.

    Returns:
        One loss per pair, at least 0 [P].

    Raises:
        ValueError: When the shapes are not all [P].

    References:
        Human-Aware Loss Functions (2024), eq. 5 and the one after it; Zhao et al. (2023),
        SLiC-HF: Sequence Likelihood Calibration with Human Feedback, eq. 1.

    The first pair is half a nat short of its margin of 1; the second has it:

    >>> from torch import tensor
    >>> chosen, rejected = tensor([-2.0, -2.0]), tensor([-2.5, -4.0])
    >>> slic_loss(chosen, rejected, chosen, beta=1.0, regulariser_weight=0.1)
    tensor([0.7000, 0.2000])
    """
    check_pairs(
        "slic_loss",
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        regulariser_logps=regulariser_logps,
    )
    margins = policy_chosen_logps - policy_rejected_logps
    calibration = (beta - margins).clamp(min=0)  # report eq. 5
    return calibration - regulariser_weight * regulariser_logps
