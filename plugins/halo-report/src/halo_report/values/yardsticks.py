"""Value functions for comparison in figures: people's, and those of the report's Figure 4.

A gain is a reward minus the reference point, in reward units (beta times nats of log-ratio). Losses
come from plugins and declare their own functions. Only people's value function is defined here.

References:
    Human-Aware Loss Functions (2024), eq. 6, section 4 and Figure 4.
    Tversky and Kahneman 1992, "Advances in prospect theory".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from halo_report.values.declared import ImpliedValue, loss_value

ALPHA, LOSS_AVERSION = 0.88, 2.25
"""Medians over individuals that Tversky and Kahneman (1992) found."""
PEOPLE = "Kahneman-Tversky"


def kahneman_tversky(
    gain: float, *, alpha: float = ALPHA, loss_aversion: float = LOSS_AVERSION
) -> float:
    """Returns the value of a gain or loss of money for people; report, eq. 6.

    ``gain ** alpha`` for a gain, ``-loss_aversion * (-gain) ** alpha`` for a loss. The slope at 0
    is infinite for alpha below 1. The loss `prospect` uses a straight line there instead, whose
    gradient is finite.

    Args:
        gain: The gain; any number.
        alpha: Diminishing sensitivity, in (0, 1].
        loss_aversion: The report's lambda, at least 0: the weight of a loss relative to a gain.

    >>> kahneman_tversky(1.0), kahneman_tversky(-1.0)
    (1.0, -2.25)
    """
    if gain >= 0:
        return float(gain**alpha)
    return float(-loss_aversion * (-gain) ** alpha)


def yardsticks(values: Sequence[ImpliedValue]) -> list[ImpliedValue]:
    """Returns the functions that every figure adds: people's, and KTO's if it is installed.

    Args:
        values: The functions in the figure. KTO's is not added if they include the loss ``kto``.
    """
    options = {"alpha": ALPHA, "loss_aversion": LOSS_AVERSION}
    people = ImpliedValue(PEOPLE, PEOPLE, options, partial(kahneman_tversky, **options))
    if any(value.name == "kto" for value in values):
        return [people]
    kto = loss_value("KTO's sigmoid", {"use": "kto"})
    return [people, kto] if kto else [people]


def figure_4() -> list[ImpliedValue]:
    """Returns the value functions of the report's Figure 4; none without halo-methods.

    They are the logistic function, its logarithm, and a hinge with a margin of 1, which are the
    functions of the loss `prospect`.
    """
    forms = {"RLHF": "logistic", "DPO": "log-logistic", "SLiC": "hinge"}
    values = (
        loss_value(name, {"use": "prospect", "value_function": form})
        for name, form in forms.items()
    )
    return [value for value in values if value is not None]
