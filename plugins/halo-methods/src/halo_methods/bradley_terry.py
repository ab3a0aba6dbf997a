"""A reward model: a score whose differences explain which completion people prefer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from halo_core.feedback import Feedback
from halo_core.loss import Head, Loss, LossBatch, LossOutput, Need
from halo_methods import HALOS
from halo_methods.shared.shapes import check_pairs

if TYPE_CHECKING:
    from torch import Tensor

SCORE = "score"


class BradleyTerry(Loss):
    """A reward model: a score whose differences explain which completion people prefer."""

    feedback: ClassVar[Feedback] = "paired"
    # Scores come from the head, so log-probabilities are not needed.
    needs: ClassVar[tuple[Need, ...]] = ()
    citation: ClassVar[str | None] = (
        "Bradley & Terry (1952), Rank Analysis of Incomplete Block Designs; " + HALOS + ", eq. 1"
    )

    def heads(self) -> tuple[Head, ...]:
        """Returns a linear head at the end of each completion."""
        return (Head(SCORE, at="end"),)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair; rewards are the scores."""
        scores = batch.heads[SCORE]
        losses = bradley_terry_loss(*batch.of_pairs(scores))
        return LossOutput(losses, rewards=scores)


def bradley_terry_loss(chosen_scores: Tensor, rejected_scores: Tensor) -> Tensor:
    """Returns the negative log-likelihood of each preference under the scores.

    ``loss = -log sigmoid(s_w - s_l)``

    Only differences matter: scores are known up to a constant per prompt.

    Args:
        chosen_scores: Score of each chosen completion, without a unit [P].
        rejected_scores: Score of each rejected completion, without a unit [P].

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
    import torch.nn.functional as F

    check_pairs("bradley_terry_loss", chosen_scores=chosen_scores, rejected_scores=rejected_scores)
    return -F.logsigmoid(chosen_scores - rejected_scores)  # report eq. 1
