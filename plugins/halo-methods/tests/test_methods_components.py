import json
import pkgutil
import re
import subprocess
import sys

import pytest
from pydantic import ValidationError

import halo_methods
from halo_core.plugins.builtin_names import RESERVED
from halo_core.plugins.discovery import discover
from halo_core.plugins.registry import import_target
from halo_core.testing import (
    LOSS_CHECKS,
    check_component,
    check_reference_point,
)
from halo_core.testing.component import check_rules, rule_name
from halo_methods import components
from halo_methods.components import (
    CDPO,
    CSFT,
    DPO,
    EMA,
    GRPO,
    IPO,
    KTO,
    NCA,
    ORPO,
    PPO,
    SFT,
    APODown,
    APOZero,
    BradleyTerry,
    Copy,
    Dispreferred,
    Humanline,
    InfoNCA,
    KTOLogSigmoid,
    MatchedKL,
    MismatchedKL,
    Prospect,
    RunningMean,
    SimPO,
    SLiC,
    WeightedSum,
    Zero,
)

LOSSES = [
    SFT(),
    SFT(per="sequence"),
    DPO(),
    DPO(beta=2.0, label_smoothing=0.1),
    KTO(),
    KTO(beta=2.0, desirable_weight=1.33, undesirable_weight=0.5),
    KTO(undesirable_weight=0.0),
    KTO(desirable_weight="auto", undesirable_weight=2.0),
    KTOLogSigmoid(),
    KTOLogSigmoid(beta=2.0, desirable_weight="auto", undesirable_weight="auto"),
    Prospect(),
    Prospect(value_function="log-logistic", undesirable_weight="auto"),
    Prospect(value_function="hinge", beta=0.7, margin=0.5),
    Prospect(value_function="kahneman-tversky", beta=0.7, alpha=0.6, loss_aversion=1.5),
    CSFT(),
    CSFT(per="sequence", good_token="<good>", bad_token="<bad>"),
    CDPO(),
    IPO(),
    IPO(tau=0.5, per="token"),
    APOZero(beta=0.5),
    APODown(beta=0.5),
    SLiC(),
    SLiC(beta=2.5, regulariser="samples", regulariser_per="token"),
    SimPO(),
    ORPO(),
    BradleyTerry(),
    GRPO(),
    GRPO(ratio_to="reference", beta=0.0, advantage="leave_one_out", aggregate="token"),
    GRPO(ratio_level="sequence", aggregate="constant", max_completion_length=3, beta=0.5),
    GRPO(advantage="no_std", beta=0.0, epsilon_high=0.9),
    Humanline(loss=GRPO(ratio_to="reference")),
    WeightedSum(losses=[GRPO(), GRPO(aggregate="token", beta=0.5)], weights=[1.0, 0.5]),
    InfoNCA(),
    InfoNCA(beta=0.5, alpha=0.3),
    NCA(),
    NCA(beta=0.5, alpha=0.3),
    Humanline(loss=NCA(beta=0.5)),
    WeightedSum(losses=[NCA(beta=0.5), InfoNCA(beta=0.5)], weights=[1.0, 0.5]),
    PPO(kl_coefficient=0.0),
    PPO(kl_coefficient=0.0, per="sequence", clip=0.2),
    PPO(),
    PPO(whiten=True, kl_coefficient=0.0),
    PPO(advantage="gae"),
    PPO(advantage="gae", whiten=True, per="sequence", gamma=1.0, gae_lambda=0.5),
    Humanline(loss=KTO(desirable_weight="auto")),
    Humanline(loss=DPO(), log_epsilon_p=-0.2, log_epsilon_r=0.3),
    WeightedSum(losses=[DPO(), SimPO()], weights=[1.0, 0.5]),
    WeightedSum(losses=[CSFT(), CSFT(per="sequence")], weights=[0.5, 2.0]),
]
POINTS = [
    MismatchedKL(),
    MismatchedKL(pairing="fixed"),
    MatchedKL(),
    RunningMean(),
    RunningMean(decay=0.9),
    Dispreferred(),
    Zero(),
]


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_built_in_losses_keep_the_rules(loss):
    check_rules(loss, LOSS_CHECKS)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_rule_that_does_not_hold_is_broken(loss):
    checks = {rule_name(check): check for check in LOSS_CHECKS}
    for name in loss.unchecked_rules():
        with pytest.raises(AssertionError):
            checks[name](loss)


@pytest.mark.parametrize("component", [*LOSSES, *POINTS], ids=repr)
def test_the_built_in_components_are_frozen_light_and_plain(component):
    check_component(component)


def test_importing_every_module_imports_no_torch():
    modules = [
        module.name for module in pkgutil.walk_packages(halo_methods.__path__, "halo_methods.")
    ]
    script = (
        "import importlib, sys\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        "print('torch' in sys.modules)"
    )

    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert {"halo_methods.kto", "halo_methods.advantages", "halo_methods.shared.values"} <= {
        *modules
    }
    assert (printed.stdout, printed.stderr) == ("False\n", "")


@pytest.mark.parametrize("estimator", POINTS, ids=repr)
def test_the_built_in_reference_points_keep_the_rules(estimator):
    check_reference_point(estimator)


@pytest.mark.parametrize(
    ("kind", "name", "cls"),
    [
        ("loss", "apo-down", APODown),
        ("loss", "apo-zero", APOZero),
        ("loss", "bradley-terry", BradleyTerry),
        ("loss", "cdpo", CDPO),
        ("loss", "csft", CSFT),
        ("loss", "dpo", DPO),
        ("loss", "humanline", Humanline),
        ("loss", "ipo", IPO),
        ("loss", "kto", KTO),
        ("loss", "kto-log-sigmoid", KTOLogSigmoid),
        ("loss", "orpo", ORPO),
        ("loss", "ppo", PPO),
        ("loss", "prospect", Prospect),
        ("loss", "sft", SFT),
        ("loss", "simpo", SimPO),
        ("loss", "slic", SLiC),
        ("loss", "weighted-sum", WeightedSum),
        ("reference_point", "dispreferred", Dispreferred),
        ("reference_point", "matched-kl", MatchedKL),
        ("reference_point", "mismatched-kl", MismatchedKL),
        ("reference_point", "running-mean", RunningMean),
        ("reference_point", "zero", Zero),
        ("reference_update", "copy", Copy),
        ("reference_update", "ema", EMA),
    ],
)
def test_the_built_in_names_mean_the_built_in_components(kind, name, cls):
    assert import_target(discover().find(kind, name)) is cls


def test_every_component_of_the_distribution_is_registered_and_reserved():
    registered = {
        (r.kind, r.name): import_target(r)
        for r in discover().registrations
        if r.distribution == "halo-methods"
    }
    reserved = {
        (kind, name)
        for kind in ("loss", "reference_point", "reference_update")
        for name, owner in RESERVED[kind].items()
        if owner == "halo-methods"
    }

    assert set(registered) == reserved
    assert set(registered.values()) == {getattr(components, name) for name in components.__all__}


@pytest.mark.parametrize("name", sorted(set(components.__all__) - {"WeightedSum", "Zero"}))
def test_published_methods_are_cited(name):
    assert re.search(r"\((19|20)\d\d\)", getattr(components, name).citation)


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (KTO, {"beta": -0.1}, "beta\n  Input should be greater than 0"),
        (KTO, {"beta": 0}, "beta\n  Input should be greater than 0"),
        (DPO, {"beta": -0.1}, "beta\n  Input should be greater than 0"),
        (KTO, {"beta": "0.1"}, "beta\n  Input should be a valid number"),
        (KTO, {"desirable_weight": -1}, "desirable_weight\n  Input should be a number of at"),
        (KTO, {"undesirable_weight": -1}, "undesirable_weight\n  Input should be a number of at"),
        (DPO, {"label_smoothing": 0.5}, "label_smoothing\n  Input should be less than 0.5"),
        (DPO, {"label_smoothing": -0.1}, "label_smoothing\n  Input should be greater than or"),
        (SFT, {"per": "batch"}, "per\n  Input should be 'token' or 'sequence'"),
        (KTO, {"bta": 0.1}, "bta\n  Extra inputs are not permitted"),
        (
            KTO,
            {"desirable_weight": 0, "undesirable_weight": 0},
            "are both 0, so nothing would be learned; set at least one above 0",
        ),
        (KTO, {"desirable_weight": "a lot"}, "a number of at least 0, or 'auto'"),
        (
            KTO,
            {"desirable_weight": "auto", "undesirable_weight": 0},
            "desirable_weight is auto and undesirable_weight is 0, so there is nothing to balance",
        ),
        (
            Prospect,
            {"desirable_weight": 0, "undesirable_weight": "auto"},
            "undesirable_weight is auto and desirable_weight is 0, so there is nothing to balance",
        ),
        (
            KTOLogSigmoid,
            {"desirable_weight": 0, "undesirable_weight": 0},
            "are both 0, so nothing would be learned; set at least one above 0",
        ),
        (
            Prospect,
            {"alpha": 0.5},
            "alpha has no effect with value_function: logistic; leave it out, or set "
            "value_function: kahneman-tversky",
        ),
        (
            Prospect,
            {"value_function": "kahneman-tversky", "margin": 0.5},
            "margin has no effect with value_function: kahneman-tversky; leave it out, or set "
            "value_function: hinge",
        ),
        (
            Prospect,
            {"value_function": "hinge", "loss_aversion": 2},
            "loss_aversion has no effect with value_function: hinge",
        ),
        (
            Prospect,
            {"value_function": "kahneman-tversky", "alpha": 1.1},
            "alpha\n  Input should be less than or equal to 1",
        ),
        (CDPO, {"label_smoothing": 0}, "label_smoothing\n  Input should be greater than 0"),
        (CDPO, {"label_smoothing": 0.5}, "label_smoothing\n  Input should be less than 0.5"),
        (IPO, {"tau": 0}, "tau\n  Input should be greater than 0"),
        (IPO, {"per": "word"}, "per\n  Input should be 'sequence' or 'token'"),
        (APOZero, {"beta": 0}, "beta\n  Input should be greater than 0"),
        (APODown, {"beta": 0}, "beta\n  Input should be greater than 0"),
        (SLiC, {"beta": 0}, "beta\n  Input should be greater than 0"),
        (SLiC, {"regulariser_weight": -1}, "regulariser_weight\n  Input should be greater than or"),
        (SLiC, {"regulariser": "none"}, "regulariser\n  Input should be 'chosen' or 'samples'"),
        (
            SLiC,
            {"regulariser": "samples", "regulariser_weight": 0},
            "regulariser_weight is 0, so samples would be drawn without use; leave regulariser out",
        ),
        (SimPO, {"beta": 0}, "beta\n  Input should be greater than 0"),
        (SimPO, {"gamma": -1}, "gamma\n  Input should be greater than or equal to 0"),
        (ORPO, {"odds_ratio_weight": 0}, "odds_ratio_weight\n  Input should be greater than 0"),
        (CSFT, {"good_token": ""}, "good_token is ''; a control token has at least one character"),
        (CSFT, {"bad_token": " "}, "bad_token is ' '; a control token has at least one character"),
        (CSFT, {"bad_token": "<a b>"}, "and no whitespace, as in <|good|>"),
        (
            CSFT,
            {"good_token": "<x>", "bad_token": "<x>"},
            "good_token and bad_token are both '<x>', so the model could not tell them apart",
        ),
        (
            PPO,
            {"gamma": 0.9},
            "gamma has no effect with advantage: plain; leave it out, or set advantage: gae",
        ),
        (PPO, {"critic_coefficient": 1}, "critic_coefficient has no effect with advantage: plain"),
        (PPO, {"gae_lambda": 1}, "gae_lambda has no effect with advantage: plain"),
        (PPO, {"advantage": "gae", "gamma": 1.1}, "gamma\n  Input should be less than or equal"),
        (PPO, {"clip": "wide"}, "clip\n  Input should be two numbers, [least, largest] ratio, or"),
        (PPO, {"clip": [0.5]}, "clip\n  Input should be two numbers, [least, largest] ratio, or"),
        (PPO, {"clip": 0}, "clip is 0; an epsilon must be above 0 and at most 1"),
        (PPO, {"clip": 1.5}, "clip is 1.5; an epsilon must be above 0 and at most 1"),
        (PPO, {"clip": [1.1, 2]}, "clip is [1.1, 2]; expected [least, largest] ratio with 1"),
        (PPO, {"clip": [0.5, 0.9]}, "clip is [0.5, 0.9]; expected [least, largest] ratio with 1"),
        (PPO, {"clip": [-0.5, 2]}, "clip is [-0.5, 2]; expected [least, largest] ratio with 1"),
        (PPO, {"clip": [1, 1]}, "clip is [1, 1]; expected [least, largest] ratio with 1"),
        (PPO, {"kl_coefficient": -1}, "kl_coefficient\n  Input should be greater than or equal"),
        (MismatchedKL, {"pairing": "own"}, "pairing\n  Input should be 'batch' or 'fixed'"),
        (RunningMean, {"decay": 1}, "decay\n  Input should be less than 1"),
        (RunningMean, {"decay": 0}, "decay\n  Input should be greater than 0"),
    ],
)
def test_options_out_of_range_are_refused(cls, options, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        cls.build(json.dumps(options), {})
