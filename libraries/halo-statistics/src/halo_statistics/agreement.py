"""Agreement of a judge with people, and of people with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import nan

from halo_statistics.intervals import Proportion, proportion


def accuracy(
    given: Sequence[Hashable], truth: Sequence[Hashable], *, confidence: float = 0.9
) -> Proportion:
    """Returns the share of correct labels, with its exact interval.

    Args:
        given: The labels of a judge.
        truth: The correct labels.
        confidence: Confidence of the interval, in (0, 1).

    Raises:
        ValueError: When the lists are empty or differ in length.

    >>> accuracy(["A", "B", "tie"], ["A", "B", "B"]).rate
    0.6666666666666666
    """
    _check_labels(given, truth)
    right = sum(a == b for a, b in zip(given, truth, strict=True))
    return proportion(right, len(truth), confidence=confidence)


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Returns Cohen's kappa: the agreement of two raters beyond chance.

    Kappa is ``(p - e) / (1 - e)``. ``p`` is the share of items on which the raters agree, and ``e``
    is the agreement expected by chance: that of two independent raters who use each label as often
    as these two. 1 is full agreement, 0 is agreement by chance.

    Args:
        first: The labels of one rater.
        second: The labels of the other rater, on the same items.

    Returns:
        A number in [-1, 1]. It is not a number (NaN) if both raters use only one and the same
        label, because agreement by chance is then 1.

    Raises:
        ValueError: When the lists are empty or differ in length.

    References:
        Cohen 1960, "A coefficient of agreement for nominal scales".

    >>> round(cohen_kappa(["A", "A", "B", "B"], ["A", "A", "B", "A"]), 3)
    0.5
    """
    import numpy as np

    _check_labels(first, second)
    pairs = Counter(zip(first, second, strict=True))
    labels = list(dict.fromkeys([*first, *second]))
    if len(labels) == 1:
        return nan
    agreement = sum(pairs[label, label] for label in labels) / len(first)
    counts, others = Counter(first), Counter(second)
    shares = np.array([counts[label] for label in labels]) / len(first)
    other_shares = np.array([others[label] for label in labels]) / len(second)
    by_chance = (other_shares * shares).sum()
    return float((agreement - by_chance) / (1 - by_chance))


def krippendorff_alpha(ratings: Sequence[Sequence[Hashable | None]]) -> float:
    """Returns Krippendorff's alpha for labels without an order.

    It measures agreement beyond chance for any number of raters. Not every rater has to rate every
    item. If an item has ``m`` labels, each ordered pair of them counts ``1 / (m - 1)``. Items with
    at least two labels have ``n`` labels in total, and ``n_c`` of these are c::

        alpha = 1 - (n - 1) * (counts of pairs that differ) / (n^2 - sum over c of n_c^2)

    Args:
        ratings: One row per rater, with one label per item. None marks an item without a rating.

    Returns:
        At most 1, which is full agreement. 0 is agreement by chance. It is not a number (NaN) if
        all labels that can be paired are the same.

    Raises:
        ValueError: When rows differ in length, or no item has two labels.

    References:
        Krippendorff 2011, "Computing Krippendorff's alpha-reliability", for nominal data.

    >>> round(krippendorff_alpha([["A", "B", "B", None], ["A", "B", "A", "B"]]), 3)
    0.444
    """
    lengths = {len(row) for row in ratings}
    if len(lengths) > 1:
        raise ValueError(
            f"expected a label or None for each item from every rater: rows of {sorted(lengths)}"
        )
    items = [
        Counter(label for label in item if label is not None) for item in zip(*ratings, strict=True)
    ]
    paired = [item for item in items if item.total() > 1]
    if not paired:
        raise ValueError("expected items with labels of at least two raters: got none")
    differ = sum(
        (item.total() ** 2 - sum(n * n for n in item.values())) / (item.total() - 1)
        for item in paired
    )
    labels = sum(paired, Counter())
    count = labels.total()
    by_chance = count**2 - sum(n * n for n in labels.values())
    return 1 - (count - 1) * differ / by_chance if by_chance else nan


def _check_labels(first: Sequence[Hashable], second: Sequence[Hashable]) -> None:
    if not len(first) == len(second) > 0:
        raise ValueError(
            "expected two labels for each of at least one item: "
            f"got {len(first)} and {len(second)} labels"
        )
