"""AlpacaEval 2's published rows from its raw preferences, and the distance of length control."""

import csv
import gzip
import os
import re
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import pytest

from halo_statistics import (
    bootstrap_rate,
    length_bias,
    length_controlled_rate,
    paired_difference,
    standard_error,
    win_rate,
)

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("HALO_TEST_DATA", ROOT.parent / "shared" / "data")) / "judge"
DRAW = 1.5
"""AlpacaEval's preferences run from 1 (the baseline) to 2 (the model)."""
PUBLISHED = 1e-6


@pytest.fixture(scope="module")
def rows():
    """Scored rows by model."""
    path = DATA / "alpaca_eval2_preferences.csv.gz"
    if not path.exists():
        pytest.skip(f"no {path}: set HALO_TEST_DATA to the folder of the test data")
    found = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["preference"]:
                found[row["model"]].append(row)
    return found


@pytest.fixture(scope="module")
def published(rows):
    with (DATA / "alpaca_eval2_published.csv").open(encoding="utf-8") as file:
        found = {row["Unnamed: 0"]: row for row in csv.DictReader(file)}
    assert len(found) == 19
    assert found.keys() == rows.keys()
    return found


@pytest.fixture(scope="module")
def controlled(rows):
    return {model: length_controlled_rate(*columns(rows[model])) for model in rows}


def columns(rows):
    """Returns points, lengths and the baseline's lengths, in characters."""
    names = ("len_model", "len_baseline")
    return points(rows), *([float(row[name]) for row in rows] for name in names)


def points(rows):
    return [float(row["preference"]) - 1 for row in rows]


def result(preference):
    if preference == DRAW:
        return "tie"
    return "win" if preference > DRAW else "loss"


def test_counts_and_rates_published_for_19_models_are_reproduced(rows, published):
    for model, row in published.items():
        rate = win_rate(result(float(each["preference"])) for each in rows[model])
        counts = (rate.wins, rate.losses, rate.ties, rate.scored)
        names = ("n_wins", "n_wins_base", "n_draws", "n_total")
        assert counts == tuple(int(float(row[name])) for name in names), model
        assert 100 * rate.main.rate == pytest.approx(float(row["discrete_win_rate"]), abs=PUBLISHED)


def test_weighted_win_rates_and_standard_errors_of_19_models_are_reproduced(rows, published):
    for model, row in published.items():
        share = bootstrap_rate(points(rows[model]), resamples=99)
        assert 100 * share.rate == pytest.approx(float(row["win_rate"]), abs=PUBLISHED), model
        error = 100 * standard_error(points(rows[model]))
        assert error == pytest.approx(float(row["standard_error"]), abs=PUBLISHED), model


def test_the_bootstrap_interval_of_a_published_rate_is_its_error_to_both_sides(rows, published):
    row = published["FuseChat-Gemma-2-9B-Instruct"]
    share = bootstrap_rate(points(rows["FuseChat-Gemma-2-9B-Instruct"]))
    reach = 1.6449 * float(row["standard_error"]) / 100
    assert share.high - share.low == pytest.approx(2 * reach, rel=0.03)


def test_length_control_is_as_far_from_the_published_one_as_the_docs_say(controlled, published):
    theirs = {m: float(row["length_controlled_winrate"]) for m, row in published.items()}
    gaps = {model: abs(100 * found.rate - theirs[model]) for model, found in controlled.items()}
    raw = [abs(100 * found.raw - theirs[model]) for model, found in controlled.items()]
    assert round(fmean(gaps.values()), 1) == 1.5
    assert round(max(gaps.values()), 1) == 3.6
    assert (round(fmean(raw), 1), round(max(raw), 1)) == (4.8, 12.2)

    from scipy.stats import spearmanr

    models = sorted(theirs)
    order = spearmanr([controlled[m].rate for m in models], [theirs[m] for m in models])
    assert order.statistic > 0.95


def test_the_docs_say_what_length_control_gives_for_single_models(controlled, published):
    page = (ROOT / "docs" / "explanation" / "statistics.md").read_text(encoding="utf-8")
    table = re.findall(
        r"^\| ([\w.-]+)[^|]* \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \[([\d.]+), ([\d.]+)\] \|$",
        page,
        re.MULTILINE,
    )
    assert len(table) == 7
    for model, *said in table:
        found = controlled[model]
        theirs = float(published[model]["length_controlled_winrate"]) / 100
        shares = (found.raw, theirs, found.rate, found.low, found.high)
        numbers = [100 * share for share in shares]
        assert said == [f"{number:.1f}" for number in numbers], model


def test_length_control_moves_every_model_the_way_the_published_one_does(controlled, published):
    for model, found in controlled.items():
        moved = float(published[model]["length_controlled_winrate"]) - 100 * found.raw
        if abs(moved) > 0.5:
            assert (100 * found.rate - 100 * found.raw) * moved > 0, model


def test_models_told_to_be_concise_are_lifted_most(controlled):
    lift = {model: found.rate - found.raw for model, found in controlled.items()}
    concise = {"gpt4_0613_concise", "gpt-3.5-turbo-1106_concise"}
    assert concise <= set(sorted(lift, key=lift.get)[-3:])
    assert min(lift[model] for model in concise) > 0.11


def test_a_constant_text_still_wins_after_length_control(controlled):
    """The attack chooses the length of its text, so length control does not help against it."""
    assert controlled["NullModel"].rate > controlled["NullModel"].raw > 0.76


def test_the_longer_text_wins_more_often_in_every_model_s_comparisons(rows):
    for model in rows:
        assert length_bias(*columns(rows[model])).correlation > 0.1, model


def test_models_on_the_same_prompts_are_paired_with_a_shorter_interval(rows):
    first, second = (
        {row["index"]: float(row["preference"]) - 1 for row in rows[model]}
        for model in ("FuseChat-Gemma-2-9B-Instruct", "FuseChat-Llama-3.2-3B-Instruct")
    )
    found = paired_difference(first, second, resamples=999)
    errors = [standard_error(list(model.values())) for model in (first, second)]
    alone = 2 * 1.6449 * (errors[0] ** 2 + errors[1] ** 2) ** 0.5
    assert found.n == 805
    assert found.difference == pytest.approx(0.7049713535 - 0.5129667710, abs=1e-9)
    assert 0 < found.low < found.difference < found.high
    assert found.high - found.low < 0.9 * alone
