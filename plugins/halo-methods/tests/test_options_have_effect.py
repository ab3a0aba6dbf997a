"""Every option changes the gradient, alone and combined with any value of any other option.

The test compares the gradient of the global batch, because a constant teaches nothing. A component
refuses a combination in which an option has no effect.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from halo_core.guarded.loss_calls import changed_logratios, with_changed_logratios
from halo_core.loss import ClassCounts, Loss, LossBatch
from halo_core.reference_point import Candidate, Observed, Pair, PairingPlan
from halo_core.testing import loss_batch
from halo_methods import components, plugin
from halo_methods.components import (
    CSFT,
    DPO,
    EMA,
    KTO,
    SFT,
    Copy,
    Dispreferred,
    Humanline,
    MismatchedKL,
    RunningMean,
    WeightedSum,
)

WEIGHT = [1.0, 0.5, 0.0, "auto"]
LOSSES: dict[str, dict[str, list[Any]]] = {
    "APODown": {"beta": [0.1, 0.3]},
    "APOZero": {"beta": [0.1, 0.3]},
    "BradleyTerry": {},
    "CDPO": {"beta": [0.1, 0.3], "label_smoothing": [0.1, 0.3]},
    "CSFT": {"per": ["token", "sequence"]},
    "DPO": {"beta": [0.1, 0.3], "label_smoothing": [0.0, 0.3]},
    "GRPO": {
        "aggregate": ["sequence", "token", "constant"],
        "max_completion_length": [None, 4, 9],
        "advantage": ["grpo", "no_std", "leave_one_out"],
        "ratio_to": ["sampler", "reference"],
        "ratio_level": ["token", "sequence"],
        "epsilon_low": [0.2, 0.5],
        "epsilon_high": [0.2, 0.5],
        "beta": [0.04, 0.0, 0.5],
    },
    "Humanline": {"log_epsilon_p": [-1.0, -0.25], "log_epsilon_r": [1.5, 0.25]},
    "InfoNCA": {"beta": [0.01, 0.3], "alpha": [1.0, 0.1, 100.0]},
    "IPO": {"tau": [0.1, 0.3], "per": ["sequence", "token"]},
    "KTO": {"beta": [0.1, 0.3], "desirable_weight": WEIGHT, "undesirable_weight": WEIGHT},
    "KTOLogSigmoid": {"beta": [0.1, 0.3], "desirable_weight": WEIGHT, "undesirable_weight": WEIGHT},
    "NCA": {"beta": [0.01, 0.3], "alpha": [1.0, 0.1, 100.0]},
    "ORPO": {"odds_ratio_weight": [0.1, 0.3]},
    "PPO": {
        "advantage": ["plain", "gae"],
        "clip": [(0.5, 2.0), 0.2, 1.0],
        "kl_coefficient": [0.1, 0.0, 0.7],
        "whiten": [False, True],
        "per": ["token", "sequence"],
        "gamma": [0.99, 0.0, 1.0],
        "gae_lambda": [0.95, 0.0, 1.0],
        "critic_coefficient": [0.01, 0.5],
    },
    "Prospect": {
        "value_function": ["logistic", "log-logistic", "hinge", "kahneman-tversky"],
        "beta": [0.1, 0.3],
        "desirable_weight": WEIGHT,
        "undesirable_weight": WEIGHT,
        "margin": [1.0, 0.0, 3.0],
        "alpha": [0.88, 0.5, 1.0],
        "loss_aversion": [2.25, 1.0],
    },
    "SFT": {"per": ["token", "sequence"]},
    "SLiC": {
        "beta": [1.0, 4.0],
        "regulariser_weight": [0.1, 0.0, 0.7],
        "regulariser": ["chosen", "samples"],
        "regulariser_per": ["sequence", "token"],
    },
    "SimPO": {"beta": [2.0, 3.0], "gamma": [1.0, 0.0]},
    "WeightedSum": {"weights": [[1.0, 1.0], [1.0, 3.0]]},
}
"""Values of each option: the default first, then others, including extreme values."""

CHOICES: dict[str, str] = {"GRPO": "aggregate", "PPO": "advantage", "Prospect": "value_function"}
"""The option that decides which other options a loss has."""

ELSEWHERE = {
    "CSFT": {"good_token", "bad_token"},  # end the prompts
    "Humanline": {"loss"},
    "WeightedSum": {"losses"},
}
"""Options without an effect on the batch."""
WITHIN: dict[str, dict[str, Any]] = {
    "Humanline": {"loss": DPO()},
    "WeightedSum": {"losses": [KTO(), KTO(beta=0.4)]},
}

RNG = random.Random(3)
COUNTS = (ClassCounts(desirable=9, undesirable=4), ClassCounts(desirable=4, undesirable=9))


def tokens(completions: int) -> list[list[float]]:
    return [[-RNG.uniform(0.1, 2.5) for _ in range(1 + k % 4)] for k in range(completions)]


def near(policy: list[list[float]], *, spread: float) -> list[list[float]]:
    return [[logp + RNG.uniform(-spread, spread) for logp in row] for row in policy]


def batches(loss: Loss) -> Iterator[LossBatch]:
    """Yields batches that a loss accepts."""
    paired = loss.resolved_feedback() == "paired"
    sampled = "reference_samples" in loss.needed()
    scored = loss.resolved_feedback() == "scored"
    group = 3 if scored else 2 * paired + sampled or 1
    for examples, spread in ((1, 1.2), (4, 1.2), (24, 20)):
        policy = tokens(group * examples)
        kinds = [True, False, False][:group] if paired else [True]
        desirable = kinds * examples if paired else [k % 3 > 0 for k in range(examples)]
        desirable = [True] * len(policy) if scored else desirable
        count = sum(map(len, policy))
        of_heads = {
            head.name: [RNG.uniform(-1, 1) for _ in range(count if head.at == "tokens" else 0)]
            or [RNG.uniform(-1, 1) for _ in policy]
            for head in loss.heads()
        }
        yield loss_batch(
            policy,
            reference=near(policy, spread=spread),
            desirable=desirable,
            examples=[k // group for k in range(len(policy))],
            reference_point=0.2,
            sampled=[k % group == group - 1 for k in range(len(policy))] if sampled else None,
            heads=of_heads,
            scores=[RNG.uniform(-1, 1) for _ in policy] if scored else None,
            sampler=near(policy, spread=spread) if scored else None,
        )


def gradient(loss: Loss, batch: LossBatch) -> torch.Tensor:
    """Returns the gradient of the mean over the batch, as in the trainer."""
    learned = [batch.policy_token_logps, *batch.heads.values()]
    learned = [values.detach().requires_grad_() for values in learned]
    batch = replace(
        batch,
        policy_token_logps=learned[0],
        heads=dict(zip(batch.heads, learned[1:], strict=True)),
    )
    batch = with_changed_logratios(loss, batch)
    if "statistics" in loss.needed():
        sums = loss.statistics(batch)
        batch = replace(batch, statistics={name: v.detach() for name, v in sums.items()})
    output = loss(batch)
    total = (output.losses * output.counts).sum() / output.counts.sum()
    found = torch.autograd.grad(total, learned, allow_unused=True, materialize_grads=True)
    return torch.cat([values.flatten() for values in found])


def built(name: str, options: dict[str, Any]) -> Loss | None:
    """Returns the loss; None if its options are refused."""
    try:
        loss: Loss = getattr(components, name)(**WITHIN.get(name, {}), **options)
    except ValidationError:
        return None
    return loss


def differ(first: Loss, second: Loss) -> bool:
    RNG.seed(3)
    if first.resolved_feedback() != second.resolved_feedback():
        return True
    if set(first.needed()) != set(second.needed()) or first.heads() != second.heads():
        return True
    # Settled by the data, as in the trainer.
    settled = [(first.settle(counts).loss, second.settle(counts).loss) for counts in COUNTS]
    return any(
        not torch.equal(*(gradient(loss, batch) for loss in losses))
        for batch in batches(first)
        for losses in settled
    )


def contexts(name: str) -> Iterator[dict[str, Any]]:
    """Yields each value of each option, combined with each choice if a loss has one."""
    chooser = CHOICES.get(name)
    for choice in LOSSES[name][chooser] if chooser else [None]:
        base = {chooser: choice} if chooser else {}
        yield base
        for option, values in LOSSES[name].items():
            if option != chooser:
                yield from (base | {option: value} for value in values)


def without_effect(name: str) -> list[str]:
    """Accepted combinations in which an option has no effect."""
    found = []
    for beside in [{}, *contexts(name)]:
        for option, values in LOSSES[name].items():
            if option in beside:
                continue
            accepted = [
                (value, loss)
                for value in values
                if (loss := built(name, beside | {option: value})) is not None
            ]
            found += [
                f"{option} {one} and {two} are the same with {beside}"
                for (one, first), (two, second) in combinations(accepted, 2)
                if not differ(first, second)
            ]
    return found


def test_the_table_has_every_option_of_every_loss() -> None:
    registered = {target.partition(":")[2] for target in plugin._LOSSES.values()}
    assert set(LOSSES) == registered
    for name, options in LOSSES.items():
        fields = set(getattr(components, name).model_fields)
        assert set(options) == fields - ELSEWHERE.get(name, set()), name


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_no_combination_is_accepted_in_which_an_option_has_no_effect(name: str) -> None:
    assert without_effect(name) == []


def test_control_tokens_are_those_of_the_options() -> None:
    assert CSFT(good_token="<g>").control_tokens() != CSFT().control_tokens()
    assert CSFT(bad_token="<b>").control_tokens() != CSFT().control_tokens()


@pytest.mark.parametrize("name", ["KTO", "KTOLogSigmoid", "Prospect"])
def test_options_have_an_effect_within_pairs_or_are_refused_there(name: str) -> None:
    policy = tokens(40)
    reference = near(policy, spread=20)
    batch = loss_batch(policy, reference=reference, reference_point=[0.2, -0.4, 1.0, 0.0] * 10)
    choosers = LOSSES[name].get("value_function", [None])
    for chooser in choosers:
        beside = {} if chooser is None else {"value_function": chooser}
        default = built(name, beside)
        assert default is not None
        assert default.mistakes_within_pairs() == ()
        for option in set(LOSSES[name]) - set(beside):
            for value in LOSSES[name][option][1:]:
                loss = getattr(components, name)
                try:
                    loss = loss(**beside, **{option: value})
                except ValidationError:
                    continue
                refused = any(option in text for text in loss.mistakes_within_pairs())
                assert refused == (option in ("desirable_weight", "undesirable_weight"))
                if not refused:
                    assert not torch.equal(gradient(loss, batch), gradient(default, batch))


def test_weights_of_classes_within_pairs_are_told_what_to_do() -> None:
    (mistake,) = KTO(undesirable_weight=1.5).mistakes_within_pairs()
    assert mistake == (
        "undesirable_weight has no effect on what is learned with a reference point from within "
        "pairs: all completions are chosen ones, so there is nothing to weigh them against; leave "
        "it out"
    )
    both = WeightedSum(losses=[KTO(), KTO(desirable_weight="auto")], weights=[1.0, 2.0])
    (mistake,) = Humanline(loss=both).mistakes_within_pairs()
    assert mistake.startswith("losses.1 (KTO): desirable_weight has no effect")


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        ("SLiC", {"regulariser_weight": 0, "regulariser_per": "token"}, "nothing to take the mean"),
        ("PPO", {"advantage": "gae", "gamma": 0.0, "gae_lambda": 0.5}, "gae_lambda has no effect"),
    ],
)
def test_an_option_that_another_one_makes_idle_is_refused(
    loss: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        getattr(components, loss)(**options)


def test_options_of_reference_points_have_an_effect() -> None:
    candidates = [Candidate(f"p{k}", f"c{k}") for k in range(6)]
    plan = PairingPlan(batch=candidates[:3], following=(), fixed=candidates[3:])
    drawn = [MismatchedKL(pairing=p).pairs(plan, random.Random(1)) for p in ("batch", "fixed")]
    assert drawn[0] != drawn[1]
    points = []
    for decay in (None, 0.5, 0.9):
        state: dict[str, float] = {}
        for step in range(5):
            observed = Observed([float(step), 2.0], [1, 1], [Pair(0, 0), Pair(1, 1)], 2)
            estimate = RunningMean(decay=decay).estimate(observed, state)
            state = dict(estimate.state)
        points.append(estimate.value)
    assert len(set(points)) == 3
    assert not set(Dispreferred.model_fields)


def test_options_of_reference_updates_have_an_effect() -> None:
    def shares(update: Copy | EMA) -> list[float]:
        return [update.mix(step) for step in range(1, 6)]

    assert shares(Copy(every=1)) != shares(Copy(every=2))
    assert shares(EMA(decay=0.9)) != shares(EMA(decay=0.5))


def test_bounds_of_humanline_change_the_points_too() -> None:
    logratios = torch.tensor([-2.0, -0.5, 0.5, 2.0])
    bounds = [Humanline(loss=KTO()), Humanline(loss=KTO(), log_epsilon_p=-0.25, log_epsilon_r=0.25)]
    assert not torch.equal(*(changed_logratios(loss, logratios) for loss in bounds))
    assert SFT().mistakes_within_pairs() == ()
