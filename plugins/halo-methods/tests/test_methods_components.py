import json
import random
import re

import pytest
import torch
from pydantic import ValidationError

from halo_core.discovery import discover
from halo_core.loss import ValueFunction
from halo_core.reference_point import Candidate, Observed, Pair, PairingPlan
from halo_core.registry import import_target
from halo_core.testing import (
    LOSS_CHECKS,
    check_component,
    check_reference_point,
    loss_batch,
    paired_batch,
)
from halo_methods.components import DPO, KTO, SFT, MismatchedKL, Zero
from halo_methods.dpo import dpo_loss
from halo_methods.kto import kto_loss

ROUNDING = {"rtol": 1e-12, "atol": 1e-12}
LOSSES = [
    SFT(),
    SFT(per="sequence"),
    DPO(),
    DPO(beta=2.0, label_smoothing=0.1),
    KTO(),
    KTO(beta=2.0, desirable_weight=1.33, undesirable_weight=0.5),
    KTO(undesirable_weight=0.0),
]
POLICY = [[-1.0, -2.0], [-4.0, -0.5, -0.5], [-3.0]]
REFERENCE = [[-1.5, -2.5], [-3.0, -0.5, -0.5], [-1.0]]
BINARY = loss_batch(
    POLICY, reference=REFERENCE, desirable=[True, False, True], reference_point=0.25
)
PAIRED = paired_batch(
    [POLICY[0]], [POLICY[1]], ref_chosen=REFERENCE[:1], ref_rejected=REFERENCE[1:2]
)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("check", LOSS_CHECKS)
def test_the_built_in_losses_keep_the_rules(loss, check):
    check(loss)


@pytest.mark.parametrize("component", [SFT(), DPO(), KTO(), MismatchedKL(), Zero()])
def test_the_built_in_components_are_frozen_light_and_plain(component):
    check_component(component)


@pytest.mark.parametrize("estimator", [MismatchedKL(), Zero()])
def test_the_built_in_reference_points_keep_the_rules(estimator):
    check_reference_point(estimator)


@pytest.mark.parametrize(
    ("kind", "name", "cls"),
    [
        ("loss", "sft", SFT),
        ("loss", "dpo", DPO),
        ("loss", "kto", KTO),
        ("reference_point", "mismatched-kl", MismatchedKL),
        ("reference_point", "zero", Zero),
    ],
)
def test_the_built_in_names_mean_the_built_in_components(kind, name, cls):
    assert import_target(discover().find(kind, name)) is cls


@pytest.mark.parametrize("cls", [SFT, DPO, KTO, MismatchedKL])
def test_published_methods_are_cited(cls):
    assert re.search(r"\(20\d\d\)", cls.citation)


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (KTO, {"beta": -0.1}, "beta\n  Input should be greater than 0"),
        (KTO, {"beta": 0}, "beta\n  Input should be greater than 0"),
        (DPO, {"beta": -0.1}, "beta\n  Input should be greater than 0"),
        (KTO, {"beta": "0.1"}, "beta\n  Input should be a valid number"),
        (KTO, {"desirable_weight": -1}, "desirable_weight\n  Input should be greater than or"),
        (KTO, {"undesirable_weight": -1}, "undesirable_weight\n  Input should be greater than or"),
        (DPO, {"label_smoothing": 0.5}, "label_smoothing\n  Input should be less than 0.5"),
        (DPO, {"label_smoothing": -0.1}, "label_smoothing\n  Input should be greater than or"),
        (SFT, {"per": "batch"}, "per\n  Input should be 'token' or 'sequence'"),
        (KTO, {"bta": 0.1}, "bta\n  Extra inputs are not permitted"),
        (
            KTO,
            {"desirable_weight": 0, "undesirable_weight": 0},
            "are both 0, so nothing would be learned; set at least one above 0",
        ),
    ],
)
def test_options_out_of_range_are_refused(cls, options, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        cls.build(json.dumps(options), {})


def test_a_weight_of_zero_stays_zero():
    assert KTO(desirable_weight=0).desirable_weight == 0.0
    assert KTO(undesirable_weight=0)(BINARY).losses[1].item() == 0.0


def test_kto_is_its_pure_function_counted_once_per_example():
    kto = KTO(beta=0.7, desirable_weight=1.33, undesirable_weight=0.5)

    output = kto(BINARY)

    expected = kto_loss(
        torch.tensor([-3.0, -5.0, -3.0], dtype=torch.float64),
        torch.tensor([-4.0, -4.0, -1.0], dtype=torch.float64),
        torch.tensor([True, False, True]),
        torch.tensor(0.25, dtype=torch.float64),
        beta=0.7,
        desirable_weight=1.33,
        undesirable_weight=0.5,
    )
    torch.testing.assert_close(output.losses, expected, **ROUNDING)
    assert output.weights.tolist() == [1.0, 1.0, 1.0]


def test_dpo_is_its_pure_function_counted_once_per_pair():
    output = DPO(beta=0.7, label_smoothing=0.2)(PAIRED)

    logps = torch.tensor([[-3.0], [-5.0], [-4.0], [-4.0]], dtype=torch.float64)
    expected = dpo_loss(*logps, beta=0.7, label_smoothing=0.2)
    torch.testing.assert_close(output.losses, expected, **ROUNDING)
    assert output.weights.tolist() == [1.0]


def test_sft_counts_tokens_or_sequences():
    per_token, per_sequence = SFT()(BINARY), SFT(per="sequence")(BINARY)

    assert per_token.losses.tolist() == [1.5, 5 / 3, 3.0]
    assert per_token.weights.tolist() == [2.0, 3.0, 1.0]
    assert per_sequence.losses.tolist() == [3.0, 5.0, 3.0]
    assert per_sequence.weights.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("loss", "batch", "rewards"),
    [(KTO(beta=0.5), BINARY, [0.5, -0.5, -1.0]), (DPO(beta=2.0), PAIRED, [2.0, -2.0])],
)
def test_rewards_are_beta_times_the_logratio(loss, batch, rewards):
    assert loss(batch).rewards.tolist() == rewards


def test_sft_has_no_rewards():
    assert SFT()(BINARY).rewards is None


def test_kto_without_a_reference_point_says_so():
    with pytest.raises(ValueError, match="KTO needs a reference point, and the batch has none"):
        KTO()(loss_batch(POLICY, reference=REFERENCE))


def test_kto_defaults_to_the_reference_point_of_the_report():
    assert KTO.default_reference_point == "mismatched-kl"


def test_mismatched_kl_pairs_prompts_with_completions_of_other_prompts():
    plan = PairingPlan([Candidate("p", "a"), Candidate("q", "b")], [Candidate("r", "c")])

    assert MismatchedKL().pairs(plan, random.Random(0)) == [Pair(0, 1), Pair(1, 0)]


def test_mismatched_kl_reports_the_mean_before_it_is_clamped():
    observed = Observed([-3.0, 1.0], [4, 2], [Pair(0, 1), Pair(1, 0)], batch_size=2)

    estimate = MismatchedKL().estimate(observed, {})

    assert estimate.value == 0.0
    assert estimate.metrics["policy/kl"] == (-2.0, 2.0)


def test_mismatched_kl_counts_borrowed_and_missing_partners():
    pairs = [Pair(0, 1), Pair(1, 3)]

    estimate = MismatchedKL().estimate(Observed([1.0, 2.0], [4, 2], pairs, batch_size=3), {})

    assert estimate.value == 1.5
    assert estimate.metrics == {
        "policy/kl": (3.0, 2.0),
        "counts/pairs_missing": (1.0, 1.0),
        "counts/pairs_from_following": (1.0, 1.0),
    }


def test_mismatched_kl_without_pairs_is_zero_and_counted():
    estimate = MismatchedKL().estimate(Observed([], [], [], batch_size=2), {})

    assert estimate.value == 0.0
    assert estimate.metrics == {
        "counts/pairs_missing": (2.0, 1.0),
        "counts/pairs_from_following": (0.0, 1.0),
    }


def test_zero_scores_nothing_and_is_zero():
    plan = PairingPlan([Candidate("p", "a"), Candidate("q", "b")], [])

    assert list(Zero().pairs(plan, random.Random(0))) == []
    assert Zero().estimate(Observed([], [], [], batch_size=2), {}).value == 0.0


@pytest.mark.parametrize("gain", [-3.0, -0.5, 0.0, 0.7, 2.0])
@pytest.mark.parametrize("loss", [DPO(beta=0.5), DPO(beta=0.5, label_smoothing=0.2)])
def test_dpo_s_value_is_what_its_loss_lacks_of_nothing(loss, gain):
    logratio = gain / loss.beta
    pair = paired_batch([[logratio]], [[0.0]], ref_chosen=[[0.0]], ref_rejected=[[0.0]])
    assert loss.value(gain) == pytest.approx(-loss(pair).losses.item(), rel=1e-6)


@pytest.mark.parametrize("gain", [-3.0, -0.5, 0.0, 0.7, 2.0])
def test_kto_s_value_is_what_its_loss_lacks_of_one(gain):
    loss = KTO(beta=0.5)
    batch = loss_batch(
        [[gain / 0.5 + 0.25]], reference=[[0.0]], desirable=[True], reference_point=0.25
    )
    assert loss.value(gain) == pytest.approx(1 - loss(batch).losses.item(), rel=1e-6)


def test_values_are_finite_at_extreme_gains():
    assert DPO().value(-1e4) == -1e4
    assert (KTO().value(-1e4), KTO().value(1e4), DPO().value(1e4)) == (0.0, 1.0, 0.0)


def test_losses_with_a_value_declare_it_and_others_do_not():
    assert [isinstance(loss, ValueFunction) for loss in (SFT(), DPO(), KTO())] == [
        False,
        True,
        True,
    ]
