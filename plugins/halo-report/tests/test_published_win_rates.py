import csv
import gzip
import os
from collections import defaultdict
from pathlib import Path

import pytest

from halo_report.statistics.win_rate import win_rate

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("HALO_TEST_DATA", ROOT.parent / "shared" / "data")) / "judge"
DRAW = 1.5
"""AlpacaEval's preferences run from 1 (the baseline) to 2 (the model)."""


@pytest.fixture(scope="module")
def preferences():
    path = DATA / "alpaca_eval2_preferences.csv.gz"
    if not path.exists():
        pytest.skip(f"no {path}: set HALO_TEST_DATA to the folder of the test data")
    found = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["preference"]:
                found[row["model"]].append(float(row["preference"]))
    return found


def result(preference):
    if preference == DRAW:
        return "tie"
    return "win" if preference > DRAW else "loss"


def test_counts_and_rates_published_for_19_models_are_reproduced(preferences):
    with (DATA / "alpaca_eval2_published.csv").open(encoding="utf-8") as file:
        published = {row["Unnamed: 0"]: row for row in csv.DictReader(file)}
    assert len(published) == 19
    for model, row in published.items():
        rate = win_rate(map(result, preferences[model]))
        counts = (rate.wins, rate.losses, rate.ties, rate.scored)
        names = ("n_wins", "n_wins_base", "n_draws", "n_total")
        assert counts == tuple(int(float(row[name])) for name in names), model
        assert 100 * rate.main.rate == pytest.approx(float(row["discrete_win_rate"]), abs=1e-6)
