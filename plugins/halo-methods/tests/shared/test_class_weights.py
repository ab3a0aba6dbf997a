import json
import re

import pytest

from halo_core.loss import ClassCounts
from halo_core.testing import loss_batch
from halo_methods.components import KTO, KTOLogSigmoid, Prospect

LOSSES = [KTO, KTOLogSigmoid, Prospect]
BATCH = loss_batch([[-1.0], [-2.0]], reference=[[-2.0], [-1.0]], desirable=[True, False])
EVERY_LOSS = pytest.mark.parametrize("cls", LOSSES)


def settled(cls, counts, **weights):
    loss = cls(**weights).settle(ClassCounts(*counts)).loss
    return loss.desirable_weight, loss.undesirable_weight


@EVERY_LOSS
@pytest.mark.parametrize(
    ("weights", "counts", "expected"),
    [
        (("auto", "auto"), (50, 50), (1.0, 1.0)),
        (("auto", "auto"), (90, 10), (1.0, 9.0)),
        (("auto", "auto"), (10, 90), (9.0, 1.0)),
        (("auto", 1.0), (10, 100), (10.0, 1.0)),
        (("auto", 3.0), (10, 100), (30.0, 3.0)),
        ((1.0, "auto"), (100, 10), (1.0, 10.0)),
        ((0.5, "auto"), (10, 100), (0.5, 0.05)),
        ((1.33, 0.7), (10, 100), (1.33, 0.7)),
    ],
)
def test_auto_makes_the_effective_ratio_one(cls, weights, counts, expected):
    came = settled(cls, counts, desirable_weight=weights[0], undesirable_weight=weights[1])

    assert came == pytest.approx(expected)
    if "auto" in weights:
        assert came[0] * counts[0] / (came[1] * counts[1]) == pytest.approx(1.0)


@pytest.mark.parametrize("counts", [(20, 0), (0, 20), (0, 0)])
def test_auto_without_a_second_class_is_as_the_other_weight(counts):
    assert settled(KTO, counts, desirable_weight="auto", undesirable_weight="auto") == (1.0, 1.0)
    assert settled(KTO, counts, desirable_weight="auto", undesirable_weight=2.0) == (2.0, 2.0)
    assert settled(KTO, counts, desirable_weight=2.0, undesirable_weight="auto") == (2.0, 2.0)


def test_counting_changes_nothing_but_the_weights():
    loss = KTO(beta=0.3, desirable_weight="auto").settle(ClassCounts(10, 30)).loss

    assert loss == KTO(beta=0.3, desirable_weight=3.0)


@EVERY_LOSS
@pytest.mark.parametrize("name", ["desirable_weight", "undesirable_weight"])
def test_an_uncounted_auto_says_what_to_do(cls, name):
    expected = (
        f"{name} is 'auto', which becomes a number when the data are counted: call "
        "settle(ClassCounts(desirable=..., undesirable=...)).loss, or give a number"
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        cls(**{name: "auto"})(BATCH)


@EVERY_LOSS
def test_auto_and_numbers_survive_json(cls):
    loss = cls(desirable_weight="auto", undesirable_weight=2)

    assert cls.build(json.dumps(loss.model_dump(mode="json")), {}) == loss
    assert loss.desirable_weight == "auto"


@EVERY_LOSS
def test_the_remark_shows_counts_weights_and_ratio(cls):
    remark = cls(undesirable_weight="auto").settle(ClassCounts(120, 10)).remark

    assert remark == (
        "120 desirable and 10 undesirable completions; desirable_weight 1 and undesirable_weight "
        "12 make lambda_D n_D / (lambda_U n_U) = 1"
    )


def test_the_remark_without_a_ratio_shows_the_rest():
    assert KTO().settle(ClassCounts(12, 0)).remark == (
        "12 desirable and 0 undesirable completions; desirable_weight 1 and undesirable_weight 1"
    )


@EVERY_LOSS
@pytest.mark.parametrize(
    ("weights", "counts"),
    [
        ((1.0, 1.0), (50, 50)),
        ((1.0, 1.0), (133, 100)),
        ((1.0, 1.0), (4, 3)),
        ((1.33, 1.0), (100, 100)),
        ((10.0, 1.0), (10, 100)),
        ((13.33, 1.0), (10, 100)),
        ((1.0, 1.0), (995, 1000)),
        (("auto", 1.0), (3, 1000)),
        (("auto", "auto"), (1000, 3)),
    ],
)
def test_weights_within_the_advised_interval_raise_no_caution(cls, weights, counts):
    loss = cls(desirable_weight=weights[0], undesirable_weight=weights[1])

    assert loss.settle(ClassCounts(*counts)).caution is None


@EVERY_LOSS
@pytest.mark.parametrize(
    ("weights", "counts", "ratio"),
    [((1.0, 1.0), (10, 100), "0.1"), ((1.0, 1.0), (98, 100), "0.98"), ((1.5, 1), (50, 50), "1.5")],
)
def test_weights_outside_of_it_do(cls, weights, counts, ratio):
    loss = cls(desirable_weight=weights[0], undesirable_weight=weights[1])

    assert loss.settle(ClassCounts(*counts)).caution == (
        f"{counts[0]} desirable and {counts[1]} undesirable completions: lambda_D n_D / (lambda_U "
        f"n_U) is {ratio}; the report advises [1, 4/3]. Set desirable_weight or undesirable_weight "
        "to auto"
    )


@pytest.mark.parametrize(
    ("weights", "counts", "text"),
    [
        ((1.0, 1.0), (1000, 5), "the desirable ones count 200 times as much as the undesirable"),
        ((0.001, 1.0), (50, 50), "the undesirable ones count 1e+03 times as much as the desirable"),
    ],
)
def test_absurd_ratios_are_worded_more_strongly(weights, counts, text):
    loss = KTO(desirable_weight=weights[0], undesirable_weight=weights[1])

    caution = loss.settle(ClassCounts(*counts)).caution

    assert text in caution
    assert "will have almost no effect" in caution


@pytest.mark.parametrize(
    ("weights", "counts", "text"),
    [
        ((1.0, 1.0), (9, 0), "9 desirable and 0 undesirable completions: there is nothing undesi"),
        ((1.0, 1.0), (0, 9), "0 desirable and 9 undesirable completions: there is nothing desirab"),
        ((1.0, 0.0), (9, 7), "undesirable_weight is 0: nothing is learned from the 7 undesirable"),
        ((0.0, 1.0), (9, 7), "desirable_weight is 0: nothing is learned from the 9 desirable com"),
    ],
)
def test_a_class_that_teaches_nothing_is_named(weights, counts, text):
    loss = KTO(desirable_weight=weights[0], undesirable_weight=weights[1])

    assert loss.settle(ClassCounts(*counts)).caution.startswith(text)


def test_the_reports_example_of_a_tenth_of_the_desirable_data_lies_between_ten_and_four_thirds():
    for weight, fits in ((9.0, False), (10.0, True), (13.33, True), (14.0, False)):
        caution = KTO(desirable_weight=weight).settle(ClassCounts(100, 1000)).caution

        assert (caution is None) == fits
