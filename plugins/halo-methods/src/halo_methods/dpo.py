"""Direct preference optimisation, with label smoothing for noisy preferences."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from halo_methods.logratios import pair_logratios


def dpo_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    *,
    beta: float,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Returns how unlikely the policy's implied reward makes each preference.

    With ``r = policy logp - reference logp`` and eps the label smoothing::

        loss(w, l) = -log sigmoid(beta r_w - beta r_l)
        smoothed   = (1 - eps) loss(w, l) + eps loss(l, w)

    The smoothed loss takes a label for wrong with probability eps (conservative DPO): it is least
    at a finite margin, where ``sigmoid(beta r_w - beta r_l) = 1 - eps``. The report has no
    smoothing; eps = 0 is its equation 4.

    Args:
        policy_chosen_logps: Summed log-probability of each chosen completion, nats [P].
        policy_rejected_logps: The same of each rejected completion [P].
        ref_chosen_logps: As `policy_chosen_logps` under the reference, no gradient [P].
        ref_rejected_logps: As `policy_rejected_logps` under the reference, no gradient [P].
        beta: Scale from nats of log-ratio to reward, above 0.
        label_smoothing: Assumed share of wrong labels, from 0 to below 0.5.

    Returns:
        One loss per pair, above 0 [P].

    Raises:
        ValueError: When the shapes are not all [P].

    References:
        Rafailov et al. (2023), Direct Preference Optimization, eq. 7; in Human-Aware Loss
        Functions (2024) eq. 4. Smoothing: Mitchell (2023), A note on DPO with noisy preferences
        and relationship to IPO, eq. 3.

    A policy that equals its reference knows nothing: log 2 (first pair). One that has moved
    towards the chosen completion loses less, with smoothing a little more:

    >>> from torch import tensor
    >>> chosen, rejected = tensor([-0.5, -10.0]), tensor([-0.1, -30.0])
    >>> ref_chosen, ref_rejected = tensor([-0.5, -10.1]), tensor([-0.1, -20.1])
    >>> dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0)
    tensor([0.6931, 0.3133])
    >>> dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.1)
    tensor([0.6931, 0.4133])
    """
    chosen_logratios, rejected_logratios = pair_logratios(
        "dpo_loss",
        policy_chosen_logps,
        policy_rejected_logps,
        ref_chosen_logps,
        ref_rejected_logps,
    )
    margins = beta * (chosen_logratios - rejected_logratios)
    as_labelled = -F.logsigmoid(margins)  # report eq. 4
    swapped = -F.logsigmoid(-margins)
    return (1 - label_smoothing) * as_labelled + label_smoothing * swapped  # Mitchell eq. 3
