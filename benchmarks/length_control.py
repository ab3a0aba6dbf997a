"""Compares halo's length-controlled win rates with the published ones of AlpacaEval 2.

    python benchmarks/length_control.py PREFERENCES PUBLISHED

PREFERENCES is a CSV file, perhaps gzipped, with the columns `model`, `preference` (from 1 for the
baseline to 2 for the model), `len_model` and `len_baseline` (characters). PUBLISHED is AlpacaEval's
table of results, with a row for each of these models. The script prints a row for each model, and
the differences of the raw and the controlled rates from the published ones, in percentage points.
"""

from __future__ import annotations

import csv
import gzip
import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean

from scipy.stats import spearmanr

from halo_statistics import length_controlled_rate
from halo_statistics.length import RIDGE, LengthControlled

Columns = tuple[list[float], list[float], list[float]]


def read_preferences(path: Path) -> dict[str, Columns]:
    """Returns points, lengths and lengths of the baseline for each model."""
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
    found: dict[str, Columns] = defaultdict(lambda: ([], [], []))
    with opened as file:
        for row in csv.DictReader(file):
            if row["preference"]:
                points, lengths, baselines = found[row["model"]]
                points.append(float(row["preference"]) - 1)
                lengths.append(float(row["len_model"]))
                baselines.append(float(row["len_baseline"]))
    return found


def read_published(path: Path) -> dict[str, float]:
    """Returns the published length-controlled win rate of each model, in percent."""
    with path.open() as file:
        reader = csv.DictReader(file)
        model = (reader.fieldnames or [""])[0]
        return {row[model]: float(row["length_controlled_winrate"]) for row in reader}


def compare(name: str, ours: dict[str, float], theirs: dict[str, float]) -> None:
    """Prints differences of rates from the published ones, and the agreement of the orders."""
    gaps = [abs(ours[model] - theirs[model]) for model in ours]
    order = spearmanr([ours[model] for model in ours], [theirs[model] for model in ours]).statistic
    print(f"{name:<28} mean {fmean(gaps):5.2f}   largest {max(gaps):5.2f}   Spearman {order:.4f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    rows, published = read_preferences(Path(sys.argv[1])), read_published(Path(sys.argv[2]))

    def controlled(ridge: float) -> dict[str, LengthControlled]:
        return {model: length_controlled_rate(*rows[model], ridge=ridge) for model in rows}

    halo = controlled(RIDGE)
    for model, found in sorted(halo.items()):
        ends = f"{100 * found.rate:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"
        print(
            f"{model:<50} raw {100 * found.raw:5.1f}   published {published[model]:5.1f}   {ends}"
        )
    print()
    compare("raw", {m: 100 * f.raw for m, f in halo.items()}, published)
    named = {"half the penalty": RIDGE / 2, "twice the penalty": 2 * RIDGE, "without one": 1e-12}
    for name, ridge in {"length-controlled (halo)": RIDGE, **named}.items():
        compare(name, {m: 100 * f.rate for m, f in controlled(ridge).items()}, published)
