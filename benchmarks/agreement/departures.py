"""Losses that TRL computes differently from the paper that halo cites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from agreement import paper_side, trl_side
from agreement.halo_side import Ours, token_logps
from agreement.paper_side import PairOfTokens, ScoredTokens
from agreement.tolerances import near
from agreement.trl_side import Theirs, pairs_of, sequences_of
from halo_core.loss import Loss
from halo_methods.components import CDPO, GRPO, IPO, ORPO, SimPO, SLiC

BETA = 0.1
EPS = 0.1
LAMBDA = 0.1
TAU = 1.0


@dataclass(frozen=True)
class Departure:
    """A loss that TRL computes differently from the paper.

    Attributes:
        name: The names in halo and TRL, and the difference.
        ours: The value in halo.
        trl: The value in TRL.
        paper: The value of the equation in plain Python.
    """

    name: str
    ours: float
    trl: float
    paper: float

    @property
    def holds(self) -> bool:
        """Whether halo follows the paper, and TRL still does not."""
        return near(self.ours, self.paper) and not near(self.trl, self.paper)


def find_departures(models: Ours) -> Iterator[Departure]:
    """Yields the losses that TRL computes differently from the paper that halo cites."""
    cdpo = CDPO(beta=BETA, label_smoothing=EPS)
    yield depart(
        models,
        "cdpo, DPO sigmoid: label_smoothing is ignored",
        cdpo,
        trl_side.dpo(models, "sigmoid", label_smoothing=EPS),
        lambda pairs: paper_side.conservative_dpo(pairs, BETA, EPS),
    )
    yield depart(
        models,
        "cdpo, DPO robust: another loss (rDPO)",
        cdpo,
        trl_side.dpo(models, "robust", label_smoothing=EPS),
        lambda pairs: paper_side.conservative_dpo(pairs, BETA, EPS),
    )
    yield depart(
        models,
        "ipo, DPO ipo: means over tokens for sums",
        IPO(tau=TAU),
        trl_side.dpo(models, "ipo", beta=TAU),
        lambda pairs: paper_side.ipo(pairs, TAU),
    )
    slic = SLiC(beta=1.0, regulariser_weight=LAMBDA)
    yield depart(
        models,
        "slic, DPO hinge: a reference, and no regulariser",
        slic,
        trl_side.dpo(models, "hinge", beta=1.0),
        lambda pairs: paper_side.slic(pairs, 1.0, LAMBDA),
    )
    yield depart(
        models,
        "slic, CPO hinge: likelihood as a mean over tokens",
        slic,
        trl_side.cpo(models.policy, loss_type="hinge", beta=1.0, cpo_alpha=LAMBDA),
        lambda pairs: paper_side.slic(pairs, 1.0, LAMBDA),
    )
    yield depart(
        models,
        "simpo, CPO simpo: a likelihood with weight 1",
        SimPO(beta=2.0, gamma=1.0),
        trl_side.cpo(models.policy, loss_type="simpo", beta=2.0, simpo_gamma=1.0),
        lambda pairs: paper_side.simpo(pairs, 2.0, 1.0),
    )
    yield depart(
        models,
        "orpo, ORPO: likelihood of prompts, mean over tokens",
        ORPO(odds_ratio_weight=LAMBDA),
        trl_side.orpo(models.policy, beta=LAMBDA),
        lambda pairs: paper_side.orpo(pairs, LAMBDA),
    )
    yield grpo_departure(models)


def grpo_departure(models: Ours) -> Departure:
    """Returns GRPO, whose penalty TRL multiplies with the ratio by default."""
    texts = sequences_of(trl_side.kto(models).batch)
    scores = torch.arange(len(texts), dtype=torch.float64) % 3
    size, beta, eps = len(texts) // 2, 0.3, 0.2
    advantages = trl_side.group_advantages(scores, size, scaled=True)
    theirs = trl_side.grpo(models, texts, advantages, beta=beta, epsilon=eps, loss_type="grpo")
    loss = GRPO(ratio_to="reference", beta=beta, epsilon_low=eps, epsilon_high=eps)
    ours = models.loss_of_groups(loss, texts, scores, size)
    with torch.no_grad():
        scored = [
            ScoredTokens(
                float(score),
                token_logps(models.policy, text).tolist(),
                token_logps(models.reference, text).tolist(),
            )
            for score, text in zip(scores, texts, strict=True)
        ]
    paper = paper_side.grpo([scored[:size], scored[size:]], eps, beta)
    name = "grpo, GRPO grpo: the divergence times the ratio"
    return Departure(name, ours.item(), theirs.loss().item(), paper)


def depart(
    models: Ours,
    name: str,
    loss: Loss,
    theirs: Theirs,
    paper: Callable[[Sequence[PairOfTokens]], float],
) -> Departure:
    texts = pairs_of(theirs.batch)
    with torch.no_grad():
        of_each = [
            [token_logps(model, text).tolist() for text in texts]
            for model in (models.policy, models.reference)
        ]
        ours = models.loss(loss, texts)
    policy, reference = of_each
    pairs = [
        PairOfTokens(policy[i], policy[i + 1], reference[i], reference[i + 1])
        for i in range(0, len(texts), 2)
    ]
    return Departure(name, ours.item(), theirs.loss().item(), paper(pairs))
