"""Agreement of a judge with people, and of people with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import nan

from halo_statistics.intervals import Proportion, proportion


def accuracy(
    given: Sequence[Hashable], truth: Sequence[Hashable], *, confidence: float = 0.9
) -> Proportion:
    """Returns the share of labels that are right, with its exact interval.

    Args:
        given: The labels of a judge.
        truth: What they should be.
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
    """Returns Cohen's kappa: the agreement of two raters beyond what chance would give.

    With the share of agreement ``p`` and ``e`` the agreement of two raters who use each label as
    often as these do, but independently: ``(p - e) / (1 - e)``. 1 is full agreement, 0 that of
    chance.

    Args:
        first: The labels of one rater.
        second: Those of the other, on the same items.

    Returns:
        In [-1, 1]; not a number where both use one and the same label only: then chance alone
        agrees always.

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

    It is agreement beyond chance for any number of raters who need not all rate everything. With
    ``m`` labels on an item, each ordered pair of them counts ``1 / (m - 1)``; of the ``n`` labels
    on items with at least two, ``n_c`` are c::

        alpha = 1 - (n - 1) * (counts of pairs that differ) / (n^2 - sum over c of n_c^2)

    Args:
        ratings: One row per rater, with one label per item; None where the item was not rated.

    Returns:
        At most 1, which is full agreement; 0 is that of chance. Not a number where all labels
        that can be paired are the same.

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
