"""Placeholder until the statistics package has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PairedDifference:
    """Placeholder."""

    difference: float
    low: float
    high: float


def paired_difference(
    first: Mapping[str, float], second: Mapping[str, float], *, confidence: float = 0.9
) -> PairedDifference:
    """Placeholder."""
    import numpy as np

    d = np.array([first[k] - second[k] for k in first if k in second])
    r = np.random.default_rng(0)
    m = d[r.integers(0, len(d), (9999, len(d)))].mean(1)
    t = (1 - confidence) / 2
    low, high = np.quantile(m, [t, 1 - t])
    return PairedDifference(float(d.mean()), float(low), float(high))
