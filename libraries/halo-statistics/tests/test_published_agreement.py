"""Agreement and bias on real verdicts: PandaLM's annotators, GPT-4 and ChatGPT on LLMBar."""

import csv
import gzip
import json
import os
import re
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import pytest

from halo_statistics import (
    accuracy,
    calibration,
    cohen_kappa,
    krippendorff_alpha,
    position_bias,
)

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("HALO_TEST_DATA", ROOT.parent / "shared" / "data")) / "judge"


def read(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no {path}: set HALO_TEST_DATA to the folder of the test data")
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8")
    with opened as file:
        return [json.loads(line) for line in file] if "jsonl" in name else [*csv.DictReader(file)]


@pytest.fixture(scope="module")
def annotators():
    rows = read("pandalm_human3_labels.csv")
    assert len(rows) == 999
    return [[row[f"annotator{number}"] for row in rows] for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("first", "second", "kappa"), [(0, 1, 0.852), (0, 2, 0.879), (1, 2, 0.862)]
)
def test_kappas_of_pandalm_s_annotators_are_the_published_ones(annotators, first, second, kappa):
    found = cohen_kappa(annotators[first], annotators[second])
    assert found == pytest.approx(kappa, abs=5e-4)


def test_alpha_of_the_three_is_near_the_mean_of_their_kappas(annotators):
    assert krippendorff_alpha(annotators) == pytest.approx((0.852 + 0.879 + 0.862) / 3, abs=1e-3)


@pytest.fixture(scope="module")
def llmbar():
    """Rows of (winning position in order 12, in order 21, label), by judge and data set."""
    found = defaultdict(list)
    for row in read("llmbar_judged.jsonl.gz"):
        for judge in ("gpt4", "chatgpt"):
            assert [said["order"] for said in row[judge]] == ["12", "21"]
            replies = [re.findall(r"Output \(([ab])\)", said["completion"]) for said in row[judge]]
            ab, ba = (reply[0].upper() for reply in replies)
            found[judge, row["set"].rpartition("/")[2]].append((ab, ba, str(row["label"])))
    return found


PUBLISHED = {
    "Natural": (93.5, 97.0),
    "Neighbor": (64.2, 89.6),
    "GPTInst": (76.6, 90.2),
    "GPTOut": (76.6, 87.2),
    "Manual": (75.0, 89.1),
}
CHOICES = ({"A": "1", "B": "2"}, {"A": "2", "B": "1"})
"""The output at a position, in order 12 and in order 21."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_gpt_4_s_accuracy_and_agreement_on_llmbar_are_the_published_ones(llmbar, name):
    rows = llmbar["gpt4", name]
    labels = [label for _, _, label in rows]
    shares = [
        accuracy([CHOICES[order][row[order]] for row in rows], labels).rate for order in (0, 1)
    ]
    agreement = position_bias([row[:2] for row in rows]).agreement
    expected = pytest.approx(PUBLISHED[name], abs=0.051)
    assert (100 * fmean(shares), 100 * agreement) == expected


def of(llmbar, judge):
    return [row for (who, _), rows in llmbar.items() if who == judge for row in rows]


def test_chatgpt_goes_by_the_place_and_gpt_4_hardly(llmbar):
    steady, biased = (
        position_bias([row[:2] for row in of(llmbar, judge)]) for judge in ("gpt4", "chatgpt")
    )
    assert steady.n == biased.n == 419
    assert (steady.first_favoured, steady.second_favoured) == (19, 18)
    assert steady.p == 1.0
    assert steady.first_shown.low < 0.5 < steady.first_shown.high
    assert (biased.first_favoured, biased.second_favoured) == (159, 4)
    assert biased.p < 1e-40
    assert biased.first_shown.low > 0.64


def test_two_orders_that_agree_are_right_as_often_as_the_docs_say(llmbar):
    """The mean verdict of both orders as a preference: 0, 1/2 or 1."""
    rows = of(llmbar, "gpt4")
    preferences = [((ab == "A") + (ba == "B")) / 2 for ab, ba, _ in rows]
    found = calibration(preferences, [float(label == "1") for _, _, label in rows], bins=3)
    assert [b.n for b in found.bins] == [193, 37, 189]
    assert [round(b.observed.rate, 2) for b in found.bins] == [0.2, 0.51, 0.78]
    assert round(found.expected_error, 2) == 0.19
    assert round(found.brier, 2) == 0.21
