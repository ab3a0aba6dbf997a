"""Measures how often the intervals of `halo_statistics` contain the truth. `docs` has the tables.

    python benchmarks/interval_coverage.py TABLE...

    ties      the exact interval with half points, all outcomes added up            (seconds)
    single    exact, Wilson and bootstrap, all outcomes added up                    (seconds)
    clusters  several verdicts on one prompt, simulated                             (minutes)
    paired    the difference of two models, all outcomes added up                   (minutes)
    length    the length-controlled win rate, simulated                             (minutes)
    prompts   the number of prompts that are needed                                 (seconds)

All intervals are at 90 %. Each line of a table is one line of output, with `|` between cells.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from math import comb, tanh
from statistics import fmean

import numpy as np
from scipy.special import expit
from scipy.stats import binom

from halo_statistics import (
    bootstrap_rate,
    clustered_rate,
    length_controlled_rate,
    paired_difference,
    paired_sample_size,
    proportion,
    sample_size,
)

SIMULATIONS = 1500
BOOTSTRAPS = 500
"""Number of simulations of intervals that resample prompts, which take longer."""


def holds(low: float, truth: float, high: float) -> bool:
    """Returns whether an interval contains the truth, up to rounding."""
    return low - 1e-12 <= truth <= high + 1e-12


def ties() -> Iterator[Sequence[object]]:
    """Yields the lowest coverage over a grid of chances of a win and of a tie, in steps of 0.05."""
    yield "comparisons", "lowest coverage"
    for count in (5, 10, 20, 50, 100):
        shares = [proportion(points / 2, count) for points in range(2 * count + 1)]
        found = []
        for win, tie in ((a / 20, b / 20) for a in range(21) for b in range(21 - a)):
            truth = win + tie / 2
            held = [holds(s.low, truth, s.high) for s in shares]
            among_rest = tie / (1 - win) if win < 1 else 0.0
            total = 0.0
            for wins in range(count + 1):
                chances = binom.pmf(range(count - wins + 1), count - wins, min(1.0, among_rest))
                kept = [held[2 * wins + ties] for ties in range(count - wins + 1)]
                total += binom.pmf(wins, count, win) * float(chances @ np.array(kept, float))
            found.append(total)
        yield count, f"{100 * min(found):.1f} %"


def single() -> Iterator[Sequence[object]]:
    """Yields lowest and mean coverage at true rates from 0.01 to 0.99, and widths at 0.5."""
    truths = np.linspace(0.01, 0.99, 981)
    yield "comparisons", "exact", "Wilson", "bootstrap", "widths at 0.5"
    for count in (20, 50, 100, 200):
        every = range(count + 1)
        intervals = {
            "exact": [proportion(k, count) for k in every],
            "wilson": [proportion(k, count, method="wilson") for k in every],
            "bootstrap": [bootstrap_rate([1.0] * k + [0.0] * (count - k)) for k in every],
        }
        chances = binom.pmf(np.arange(count + 1)[:, None], count, truths)
        cells = []
        for found in intervals.values():
            low, high = (np.array([getattr(s, end) for s in found]) for end in ("low", "high"))
            held = (low[:, None] - 1e-12 <= truths) & (truths <= high[:, None] + 1e-12)
            coverage = (chances * held).sum(axis=0)
            cells.append(f"{100 * coverage.min():.1f}, {100 * coverage.mean():.1f} %")
        half = [found[count // 2] for found in intervals.values()]
        yield count, *cells, ", ".join(f"{share.high - share.low:.2f}" for share in half)


def clusters() -> Iterator[Sequence[object]]:
    """Yields coverage if a prompt's chance of a win is Beta(1.5, 1), so 0.6 on average."""
    yield "prompts x verdicts", "plain", "clustered", "bootstrap of prompts"
    for prompts in (20, 60, 200):
        for verdicts in (2, 5):
            draw = random.Random(prompts + verdicts)
            hits = {"plain": 0, "clustered": 0, "bootstrap": 0}
            for number in range(SIMULATIONS):
                points, names = [], []
                for prompt in range(prompts):
                    chance = draw.betavariate(1.5, 1)
                    points += [float(draw.random() < chance) for _ in range(verdicts)]
                    names += [prompt] * verdicts
                found = {
                    "plain": proportion(sum(points), len(points)),
                    "clustered": clustered_rate(points, names),
                }
                if number < BOOTSTRAPS:
                    found["bootstrap"] = bootstrap_rate(points, clusters=names, resamples=999)
                for name, share in found.items():
                    hits[name] += holds(share.low, 0.6, share.high)
            tries = {"plain": SIMULATIONS, "clustered": SIMULATIONS, "bootstrap": BOOTSTRAPS}
            shares = [f"{100 * hits[name] / tries[name]:.0f} %" for name in hits]
            yield f"{prompts} x {verdicts}", *shares


def paired() -> Iterator[Sequence[object]]:
    """Yields coverage of the paired difference, on average and if two models differ least."""
    yield "prompts", "mean coverage", "lowest, where the models differ on one prompt in ten"
    grid = [(a / 40, b / 40 + 0.0003) for a in range(1, 20, 3) for b in range(1, 20, 3)]
    # Slightly away from the fractions of the counts, where the end of an interval would decide.
    rare = [(a / 100 + shift, 0.1 - a / 100) for a in range(11) for shift in (-3e-4, 3e-4) if a]
    for count in (24, 50, 100):
        intervals = {
            (more, less): paired_difference(
                {str(k): float(k < more) for k in range(count)},
                {str(k): float(more <= k < more + less) for k in range(count)},
                resamples=999,
            )
            for more in range(count + 1)
            for less in range(count + 1 - more)
        }

        def coverage(first: float, second: float, count: int = count) -> float:
            total = 0.0
            for (more, less), found in intervals.items():  # noqa: B023
                if holds(found.low, first - second, found.high):
                    ways = comb(count, more) * comb(count - more, less)
                    rest = (1 - first - second) ** (count - more - less)
                    total += ways * first**more * second**less * rest
            return total

        mean = fmean(coverage(*truth) for truth in grid)
        least = min(coverage(*truth) for truth in rare)
        yield count, f"{100 * mean:.1f} %", f"{100 * least:.0f} %"


def length() -> Iterator[Sequence[object]]:
    """Yields coverage of a quality of 0.60 by the length-controlled win rate."""
    quality = float(expit(0.4))
    cases = {
        "no preference": (0.0, 0.0),
        "equally long on average": (0.0, 1.0),
        "half an sd longer": (0.5, 1.0),
        "half an sd shorter": (-0.5, 1.0),
        "one sd shorter": (-1.0, 1.0),
    }
    yield "comparisons", *cases
    for count in (30, 100, 200, 800):
        cells = []
        for offset, preference in cases.values():
            hits = 0
            for seed in range(SIMULATIONS):
                draw = random.Random(seed)
                gaps = [draw.gauss(offset, 1) for _ in range(count)]
                chances = (expit(0.4 + preference * tanh(gap)) for gap in gaps)
                points = [float(draw.random() < chance) for chance in chances]
                lengths = [5000 + 200 * gap for gap in gaps]
                found = length_controlled_rate(points, lengths, [5000.0] * count)
                hits += holds(found.low, quality, found.high)
            cells.append(f"{100 * hits / SIMULATIONS:.0f} %")
        yield count, *cells


def prompts() -> Iterator[Sequence[object]]:
    """Yields the number of comparisons for an interval, and of prompts for a difference."""
    widths = (0.10, 0.05, 0.03, 0.02, 0.01)
    yield "half-width", *widths
    for rate in (0.5, 0.8):
        yield f"at a rate of {rate}", *(sample_size(width, rate=rate) for width in widths)
    differences = (0.15, 0.10, 0.05, 0.03)
    yield "difference", *differences
    for share in (0.2, 0.4):
        yield f"where {share:.0%} differ", *(paired_sample_size(d, share) for d in differences)


TABLES: dict[str, Callable[[], Iterator[Sequence[object]]]] = {
    "ties": ties,
    "single": single,
    "clusters": clusters,
    "paired": paired,
    "length": length,
    "prompts": prompts,
}

if __name__ == "__main__":
    if not sys.argv[1:] or set(sys.argv[1:]) - set(TABLES):
        sys.exit(__doc__)
    for name in sys.argv[1:]:
        for cells in TABLES[name]():
            print(" | ".join(map(str, cells)), flush=True)
