"""A reward model: a score whose differences explain which completion people prefer."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from halo_methods.shapes import check_pairs


def bradley_terry_loss(chosen_scores: Tensor, rejected_scores: Tensor) -> Tensor:
    """Returns how unlikely the scores make each preference.

    ``loss = -log sigmoid(s_w - s_l)``

    Only differences count: scores are known up to a constant per prompt.

    Args:
        chosen_scores: Score of each chosen completion, no unit [P].
        rejected_scores: The same of each rejected completion [P].

    Returns:
        One loss per pair, above 0 [P].

    Raises:
        ValueError: When the shapes are not all [P].

    References:
        Human-Aware Loss Functions (2024), eq. 1 and the one after it; Bradley & Terry (1952), Rank
        Analysis of Incomplete Block Designs.

    >>> from torch import tensor
    >>> bradley_terry_loss(tensor([0.0, 1.0]), tensor([0.0, -1.0]))
    tensor([0.6931, 0.1269])
    """
    check_pairs("bradley_terry_loss", chosen_scores=chosen_scores, rejected_scores=rejected_scores)
    return -F.logsigmoid(chosen_scores - rejected_scores)  # report eq. 1
