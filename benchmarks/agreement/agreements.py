"""Losses of halo that are the same as losses of TRL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agreement import trl_side
from agreement.halo_side import Ours, Text, scores, token_logps
from agreement.tiny_world import ROWS, make_model, make_reward_model
from agreement.tolerances import GRADIENT_TOLERANCE, near
from agreement.trl_side import Theirs, pairs_of, sequences_of
from halo_methods.bradley_terry import bradley_terry_loss
from halo_methods.components import (
    CDPO,
    DPO,
    GRPO,
    IPO,
    KTO,
    NCA,
    ORPO,
    PPO,
    SFT,
    APODown,
    APOZero,
    Dispreferred,
    InfoNCA,
    KTOLogSigmoid,
    Prospect,
    SimPO,
    SLiC,
)
from halo_methods.reference_points import mismatched_kl

BETA = 0.1
EPS = 0.1
LAMBDA = 0.1
TAU = 1.0
WEIGHTS = {"desirable_weight": 0.8, "undesirable_weight": 1.25}


@dataclass(frozen=True)
class Agreement:
    """The difference between two computations of the same loss.

    Attributes:
        name: The names in halo and in TRL.
        ours: The value in halo.
        trl: The value in TRL.
        gradient: The largest difference of a gradient, as a share of its tensor's largest entry.
    """

    name: str
    ours: float
    trl: float
    gradient: float

    @property
    def holds(self) -> bool:
        """Whether loss and gradient agree within the tolerances."""
        return near(self.ours, self.trl) and self.gradient <= GRADIENT_TOLERANCE


def sft_agreements(models: Ours) -> Iterator[Agreement]:
    theirs = trl_side.sft(models.policy)
    ours = models.loss(SFT(), sequences_of(theirs.batch))
    yield compare("sft = SFT nll", models.policy, ours, theirs)


def dpo_agreements(models: Ours) -> Iterator[Agreement]:
    """Yields losses of TRL's DPO trainer that are losses of halo, on the whole batch."""
    for name, loss in {
        "dpo = DPO sigmoid": DPO(beta=BETA),
        "apo-zero = DPO apo_zero": APOZero(beta=BETA),
        "apo-down = DPO apo_down": APODown(beta=BETA),
    }.items():
        theirs = trl_side.dpo(models, name.split()[-1])
        yield compare(name, models.policy, models.loss(loss, pairs_of(theirs.batch)), theirs)
    theirs = trl_side.dpo(models, "ipo", beta=TAU)
    ours = models.loss(IPO(tau=TAU, per="token"), pairs_of(theirs.batch))
    yield compare("ipo, per: token = DPO ipo", models.policy, ours, theirs)


def dpo_agreements_in_parts(models: Ours) -> Iterator[Agreement]:
    """Yields label smoothing, which TRL's default loss ignores, and single pairs."""
    theirs = trl_side.dpo(models, "sigmoid")
    swapped = theirs.rows([*range(ROWS, 2 * ROWS), *range(ROWS)])
    both = (1 - EPS) * theirs.loss() + EPS * theirs.loss(swapped)
    ours = models.loss(CDPO(beta=BETA, label_smoothing=EPS), pairs_of(theirs.batch))
    yield compare("cdpo = DPO sigmoid, both directions", models.policy, ours, theirs, both)
    for name, loss, loss_type in (
        ("dpo = DPO sigmoid", DPO(beta=BETA), "sigmoid"),
        ("cdpo = DPO aot_unpaired", CDPO(beta=BETA, label_smoothing=EPS), "aot_unpaired"),
    ):
        theirs = trl_side.dpo(models, loss_type, label_smoothing=EPS)
        for row in range(ROWS):
            pair = theirs.rows([row, row + ROWS])
            ours = models.loss(loss, pairs_of(pair))
            yield compare(f"{name}, one pair", models.policy, ours, theirs, theirs.loss(pair))


def general_agreements(models: Ours) -> Iterator[Agreement]:
    """Yields the general human-aware loss as three losses of TRL's DPO trainer."""
    for name, loss, loss_type in (
        ("DPO sigmoid + 1", Prospect(value_function="log-logistic", beta=BETA), "sigmoid"),
        ("DPO hinge + 1", Prospect(value_function="hinge", margin=1.0, beta=BETA), "hinge"),
    ):
        theirs = trl_side.dpo(models, loss_type)
        ours = models.loss(loss, pairs_of(theirs.batch), point=Dispreferred())
        title = f"prospect {loss.value_function}, dispreferred = {name}"
        yield compare(title, models.policy, ours, theirs, theirs.loss() + 1)
    theirs = trl_side.dpo(models, "bco_pair")
    texts = pairs_of(theirs.batch)
    chosen = torch.arange(len(texts)) % 2 == 0
    ours = models.loss(KTOLogSigmoid(beta=BETA), texts, chosen, point=0.0)
    title = "kto-log-sigmoid, zero = DPO bco_pair / 2"
    yield compare(title, models.policy, ours, theirs, theirs.loss() / 2)


def reference_free_agreements(models: Ours) -> Iterator[Agreement]:
    """Yields SimPO, SLiC and ORPO, whose TRL trainers add other terms by default."""
    theirs = trl_side.cpo(
        models.policy, loss_type="simpo", beta=2.0, simpo_gamma=1.0, cpo_alpha=0.0
    )
    ours = models.loss(SimPO(beta=2.0, gamma=1.0), pairs_of(theirs.batch))
    yield compare("simpo = CPO simpo, cpo_alpha 0", models.policy, ours, theirs)
    theirs = trl_side.cpo(models.policy, loss_type="hinge", beta=1.0, cpo_alpha=0.0)
    ours = models.loss(SLiC(beta=1.0, regulariser_weight=0.0), pairs_of(theirs.batch))
    yield compare("slic, weight 0 = CPO hinge, cpo_alpha 0", models.policy, ours, theirs)
    theirs = trl_side.cpo(models.policy, loss_type="hinge", beta=1.0, cpo_alpha=LAMBDA)
    slic = SLiC(beta=1.0, regulariser_weight=LAMBDA, regulariser_per="token")
    for row in range(ROWS):
        pair = theirs.rows([row])
        ours = models.loss(slic, pairs_of(pair))
        name = "slic, per: token = CPO hinge, one pair"
        yield compare(name, models.policy, ours, theirs, theirs.loss(pair))
    theirs = trl_side.orpo(models.policy, beta=LAMBDA)
    name = "orpo, likelihood of prompts too = ORPO"
    yield compare(name, models.policy, orpo_with_prompts(models, pairs_of(theirs.batch)), theirs)


def orpo_with_prompts(models: Ours, texts: Sequence[Text]) -> Tensor:
    """Returns the loss of ORPO with its likelihood replaced by TRL's."""
    chosen = texts[::2]
    likelihood = torch.stack([token_logps(models.policy, text).mean() for text in chosen]).mean()
    of_all_tokens = models.loss(SFT(), [text.whole for text in chosen])
    return models.loss(ORPO(odds_ratio_weight=LAMBDA), texts) + likelihood + of_all_tokens


def kto_agreements(models: Ours) -> Iterator[Agreement]:
    """Yields KTO on the batch, on each class alone, and on each completion with its pair as z0."""
    for beta in (BETA, 0.5):
        theirs = trl_side.kto(models, beta=beta, **WEIGHTS)
        label = theirs.batch["label"].bool()
        parts = {
            "the batch": torch.arange(ROWS),
            "desirable only": label.nonzero().flatten(),
            "undesirable only": (~label).nonzero().flatten(),
        }
        for name, which in parts.items():
            yield compare_kto(models, theirs, beta, name, which.tolist())
        for row in range(ROWS):
            yield compare_kto(models, theirs, beta, "one completion", [row])
    loss_type = "apo_zero_unpaired"
    theirs = trl_side.kto(models, loss_type=loss_type, beta=BETA)
    texts, label = sequences_of(theirs.batch), theirs.batch["label"].bool()
    ours = models.loss(KTO(beta=BETA), texts, label, point=0.0)
    yield compare(f"kto, zero = KTO {loss_type}", models.policy, ours, theirs)


def compare_kto(
    models: Ours, theirs: Theirs, beta: float, name: str, which: Sequence[int]
) -> Agreement:
    part = theirs.rows(which)
    point = mismatched_kl(models.logratios(sequences_of(part, "KL_")))
    loss = KTO(beta=beta, **WEIGHTS)
    ours = models.loss(loss, sequences_of(part), part["label"].bool(), point=point)
    return compare(
        f"kto = KTO, beta {beta}, {name}", models.policy, ours, theirs, theirs.loss(part)
    )


def ppo_agreements(models: Ours) -> Iterator[Agreement]:
    """Yields offline PPO as one step of TRL's GRPO with ratios to the reference."""
    batch = trl_side.kto(models).batch
    texts, label = sequences_of(batch), batch["label"].bool()
    theirs = trl_side.grpo(
        models,
        texts,
        torch.where(label, 1.0, -1.0),
        loss_type="bnpo",
        epsilon=0.5,
        epsilon_high=1.0,
    )
    ours = models.loss(PPO(clip=(0.5, 2.0), kl_coefficient=0.0), texts, label)
    yield compare("ppo, kl_coefficient 0 = GRPO bnpo", models.policy, ours, theirs)


GROUP = 4
"""Number of completions of a group; TRL's groups all have the same size."""

GRPO_VARIANTS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "grpo = GRPO grpo": ({}, {"loss_type": "grpo"}),
    "grpo, aggregate: token = GRPO bnpo": ({"aggregate": "token"}, {"loss_type": "bnpo"}),
    "grpo, aggregate: token = GRPO dapo": ({"aggregate": "token"}, {"loss_type": "dapo"}),
    "grpo, aggregate: constant = GRPO dr_grpo": (
        {"aggregate": "constant", "max_completion_length": 256},
        {"loss_type": "dr_grpo", "max_completion_length": 256},
    ),
    "grpo, ratio_level: sequence = GRPO sequence": (
        {"ratio_level": "sequence"},
        {"loss_type": "grpo", "importance_sampling_level": "sequence"},
    ),
}
"""Options of halo and of TRL by the name of the comparison."""


def group_agreements(models: Ours) -> Iterator[Agreement]:
    """Yields losses on scored groups: variants of GRPO, and NCA and InfoNCA on pairs."""
    texts = sequences_of(trl_side.kto(models).batch)
    scores = torch.linspace(-1, 1, ROWS, dtype=torch.float64).cos() * 3
    sampler = make_model(seed=3)
    for kind in ("grpo", "no_std"):
        advantages = trl_side.group_advantages(scores, GROUP, scaled=kind == "grpo")
        for name, (ours, options) in GRPO_VARIANTS.items():
            loss = GRPO(advantage=kind, beta=0.3, epsilon_low=0.1, epsilon_high=0.3, **ours)
            theirs = trl_side.grpo(
                models,
                texts,
                advantages,
                beta=0.3,
                sampler=sampler,
                epsilon=0.1,
                epsilon_high=0.3,
                use_bias_correction_kl=False,
                **options,
            )
            found = models.loss_of_groups(loss, texts, scores, GROUP, sampler)
            yield compare(f"{name}, {kind}", models.policy, found, theirs)
    for name, loss, loss_type in (
        ("nca, two completions = DPO nca_pair", NCA(beta=BETA, alpha=1e-3), "nca_pair"),
        ("info-nca, two completions = DPO sigmoid", InfoNCA(beta=BETA, alpha=1e-3), "sigmoid"),
    ):
        theirs = trl_side.dpo(models, loss_type)
        pairs = pairs_of(theirs.batch)
        chosen = 1.0 - torch.arange(len(pairs)) % 2
        yield compare(name, models.policy, models.loss_of_groups(loss, pairs, chosen, 2), theirs)


def reward_agreements(models: Ours) -> Iterator[Agreement]:
    model = make_reward_model(seed=1)
    theirs = trl_side.reward(model)
    given = scores(model, pairs_of(theirs.batch))
    ours = bradley_terry_loss(given[::2], given[1::2]).mean()
    yield compare("bradley-terry = Reward", model, ours, theirs)


def compare(
    name: str,
    model: torch.nn.Module,
    ours: Tensor,
    theirs: Theirs,
    their_loss: Tensor | None = None,
) -> Agreement:
    """Compares the values and the gradients of all weights.

    Args:
        name: The name of the comparison.
        model: The model on whose weights our loss depends.
        ours: Our loss.
        theirs: The trainer, whose model has weights with the same names.
        their_loss: The trainer's loss. Default: its loss on the whole batch.
    """
    loss = theirs.loss() if their_loss is None else their_loss
    mine, other = dict(model.named_parameters()), dict(theirs.model.named_parameters())
    assert mine.keys() == other.keys()
    shares = [
        (a - b).abs().max() / b.abs().max()
        for a, b in zip(
            torch.autograd.grad(ours, list(mine.values())),
            torch.autograd.grad(loss, [other[key] for key in mine]),
            strict=True,
        )
    ]
    return Agreement(name, ours.item(), loss.item(), torch.stack(shares).max().item())


AGREEMENTS: Sequence[Callable[[Ours], Iterator[Agreement]]] = (
    sft_agreements,
    dpo_agreements,
    dpo_agreements_in_parts,
    general_agreements,
    reference_free_agreements,
    kto_agreements,
    ppo_agreements,
    group_agreements,
    reward_agreements,
)
