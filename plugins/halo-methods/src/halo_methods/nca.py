"""Noise contrastive alignment: two losses on scored groups, InfoNCA and NCA.

Both move the policy towards ``reference * exp(score / alpha)``, from the scores of several
completions of a prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_methods.shared.groups import group_log_softmax, group_sums

if TYPE_CHECKING:
    from torch import Tensor

PAPER = (
    "Chen, He, Yuan, Cui, Su & Zhu (2024), Noise Contrastive Alignment of Language Models with "
    "Explicit Rewards, arXiv 2402.05369"
)
Beta = Annotated[
    float,
    Field(
        gt=0,
        description="Reward per nat of log-ratio to the reference (the authors trained with 0.01).",
    ),
]
"""Scale from nats of log-ratio to reward."""

Alpha = Annotated[
    float,
    Field(
        gt=0,
        description="Temperature of the scores, in units of a score: the targets are softmax(score "
        "/ alpha) within each group. Small values learn only from the best completion, large ones "
        "from all alike.",
    ),
]
"""Temperature of the scores."""


class InfoNCA(Loss):
    """InfoNCA: the implied rewards of a group classify its completions as the scores do."""

    feedback: ClassVar[Feedback] = "scored"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps", "scores")
    citation: ClassVar[str | None] = PAPER

    beta: Beta = 0.01
    alpha: Alpha = 1.0

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per group."""
        rewards = self.beta * batch.logratios
        losses = info_nca_loss(rewards, *_groups_of(batch), alpha=self.alpha)
        return LossOutput(losses, rewards=rewards)


class NCA(Loss):
    """NCA: as InfoNCA, but on the absolute likelihood of each completion."""

    feedback: ClassVar[Feedback] = "scored"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps", "reference_logps", "scores")
    citation: ClassVar[str | None] = PAPER

    beta: Beta = 0.01
    alpha: Alpha = 1.0

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per group."""
        rewards = self.beta * batch.logratios
        losses = nca_loss(rewards, *_groups_of(batch), alpha=self.alpha)
        return LossOutput(losses, rewards=rewards)


def _groups_of(batch: LossBatch) -> tuple[Tensor, Tensor, int]:
    if batch.scores is None:
        raise ValueError("the loss needs scores, and the batch has none")
    return batch.scores, batch.example_index, batch.examples


def info_nca_loss(
    rewards: Tensor, scores: Tensor, groups: Tensor, count: int, *, alpha: float
) -> Tensor:
    """Returns the cross-entropy from the scores' softmax to the rewards' softmax of each group.

    With the score s_i and the implied reward ``R_i = beta log(pi / pi_ref)`` of the K completions::

        loss = -sum_i softmax(s / alpha)_i log softmax(R)_i

    For two completions and a small alpha, this is the loss of DPO.

    Args:
        rewards: The implied reward R of each completion, without a unit [B].
        scores: The score of each completion, higher is better [B].
        groups: The group of each completion, 0..E-1 [B].
        count: E.
        alpha: Temperature of the scores, above 0.

    Returns:
        One loss per group, at least 0 [E].

    Raises:
        ValueError: When the shapes are not all [B].

    References:
        Chen et al. (2024), Noise Contrastive Alignment, the loss of InfoNCA.

    >>> import torch
    >>> scores, groups = torch.tensor([1.0, 0.0, 0.5]), torch.tensor([0, 0, 0])
    >>> info_nca_loss(torch.zeros(3), scores, groups, 1, alpha=0.5)  # log 3 at the start
    tensor([1.0986])
    """
    _check("info_nca_loss", rewards, scores, groups)
    targets = _targets(scores, groups, count, alpha).to(rewards.dtype)
    return -group_sums(targets * group_log_softmax(rewards, groups, count), groups, count)


def nca_loss(
    rewards: Tensor, scores: Tensor, groups: Tensor, count: int, *, alpha: float
) -> Tensor:
    """Returns how well the policy tells each group's completions from those of the reference.

    With the score s_i and the implied reward ``R_i = beta log(pi / pi_ref)`` of the K completions::

        loss = -sum_i [softmax(s / alpha)_i log sigma(R_i) + 1/K log sigma(-R_i)]

    A completion's R is drawn to ``log(K softmax(s / alpha)_i)``. It does not depend on the other
    completions, so the likelihood of the best one does not fall along with the others'.

    Args:
        rewards: The implied reward R of each completion, without a unit [B].
        scores: The score of each completion, higher is better [B].
        groups: The group of each completion, 0..E-1 [B].
        count: E.
        alpha: Temperature of the scores, above 0.

    Returns:
        One loss per group, above 0 [E].

    Raises:
        ValueError: When the shapes are not all [B].

    References:
        Chen et al. (2024), Noise Contrastive Alignment, the loss of NCA.

    >>> import torch
    >>> scores, groups = torch.tensor([1.0, 0.0, 0.5]), torch.tensor([0, 0, 0])
    >>> nca_loss(torch.zeros(3), scores, groups, 1, alpha=0.5)  # 2 log 2 at the start
    tensor([1.3863])
    """
    import torch.nn.functional as F

    _check("nca_loss", rewards, scores, groups)
    targets = _targets(scores, groups, count, alpha).to(rewards.dtype)
    sizes = group_sums(rewards.detach().new_ones(rewards.shape), groups, count)
    drawn, pushed = F.logsigmoid(rewards), F.logsigmoid(-rewards)
    return -group_sums(targets * drawn + pushed / sizes[groups], groups, count)


def _targets(scores: Tensor, groups: Tensor, count: int, alpha: float) -> Tensor:
    return group_log_softmax(scores.detach() / alpha, groups, count).exp()


def _check(function: str, rewards: Tensor, scores: Tensor, groups: Tensor) -> None:
    shapes = [tuple(values.shape) for values in (rewards, scores, groups)]
    if rewards.ndim != 1 or len(set(shapes)) > 1:
        raise ValueError(
            f"{function}: rewards {shapes[0]}, scores {shapes[1]} and groups {shapes[2]} must all "
            "have the shape [B], one value per completion"
        )
