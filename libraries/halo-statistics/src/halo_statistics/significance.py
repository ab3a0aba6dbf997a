"""Exact tests of two win rates, and the correction for multiple tests.

Two models judged on different prompts are compared by Fisher's test. If both are judged on the same
prompts, McNemar's test compares them, and uses only the prompts on which they differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from halo_statistics.win_rate import Result

POINTS: Mapping[Result, float] = {"win": 1.0, "tie": 0.5, "loss": 0.0, "unscored": 0.0}
"""Points of each result. An unscored comparison is left out or counts as lost."""


def fisher_exact(wins: tuple[int, int], trials: tuple[int, int]) -> float:
    """Returns the two-sided p-value of Fisher's exact test for two counts of wins.

    Args:
        wins: Numbers of wins of the two models.
        trials: Numbers of comparisons of the two models, on different prompts.

    Raises:
        ValueError: When a model has more wins than trials.

    References:
        Fisher (1935), The logic of inductive inference.

    >>> round(fisher_exact((210, 158), (512, 512)), 3)
    0.001
    """
    from scipy.stats import fisher_exact as exact

    if any(not 0 <= won <= tried for won, tried in zip(wins, trials, strict=True)):
        raise ValueError(f"expected 0 <= wins <= trials: {wins} of {trials}")
    table = [[won, tried - won] for won, tried in zip(wins, trials, strict=True)]
    return float(exact(table, alternative="two-sided").pvalue)


def mcnemar_exact(first_better: int, second_better: int) -> float:
    """Returns the two-sided p-value of McNemar's exact test.

    It is the binomial test that both models are better equally often. With ties, which give half
    points, it is the sign test: it counts only which of the two scored more on a prompt.

    Args:
        first_better: Number of prompts on which the first model scored more.
        second_better: Number of prompts on which the second model scored more. Equal scores do
            not count.

    References:
        McNemar 1947, "Note on the sampling error of the difference between correlated proportions
        or percentages", in its exact form.

    >>> mcnemar_exact(8, 1)
    0.0390625
    """
    from scipy.stats import binomtest

    differ = first_better + second_better
    return float(binomtest(first_better, differ).pvalue) if differ else 1.0


def paired_counts(
    first: Mapping[str, Result], second: Mapping[str, Result], *, failures_lost: bool
) -> tuple[int, int, int]:
    """Returns on how many prompts each model scored more, and the number of prompts compared.

    Args:
        first: Results by prompt id.
        second: Results of the other model by prompt id. Only shared prompts count.
        failures_lost: Whether an unscored comparison counts as a loss. Otherwise its prompt is left
            out.
    """
    shared = [
        (first[id_], second[id_])
        for id_ in first
        if id_ in second and (failures_lost or "unscored" not in (first[id_], second[id_]))
    ]
    points = [(POINTS[a], POINTS[b]) for a, b in shared]
    return sum(a > b for a, b in points), sum(b > a for a, b in points), len(shared)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values corrected for multiple tests, which keeps the family-wise error rate.

    References:
        Holm 1979, "A simple sequentially rejective multiple test procedure".

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for others, place in zip(range(len(order), 0, -1), order, strict=True):
        # Never below an earlier one: a larger p-value must not become the smaller one.
        largest = max(largest, others * p_values[place])
        corrected[place] = float(min(largest, 1.0))
    return corrected


def p_text(p: float) -> str:
    """Returns a p-value as text for people.

    >>> p_text(0.0004), p_text(0.0412), p_text(1.0)
    ('<0.001', '0.041', '1.000')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"
