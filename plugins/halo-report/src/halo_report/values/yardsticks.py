"""What figures compare value functions with: people's, and those of the report's Figure 4.

A gain is a reward less the reference point, in reward units (beta times nats of log-ratio). The
functions of losses are asked of the losses, which plugins register; only people's stands here.

References:
    Human-Aware Loss Functions (2024), eq. 6, section 4 and Figure 4.
    Tversky and Kahneman 1992, "Advances in prospect theory".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from halo_report.values.declared import ImpliedValue, loss_value

ALPHA, LOSS_AVERSION = 0.88, 2.25
"""The medians over individuals that Tversky and Kahneman (1992) found."""
PEOPLE = "Kahneman-Tversky"


def kahneman_tversky(
    gain: float, *, alpha: float = ALPHA, loss_aversion: float = LOSS_AVERSION
) -> float:
    """Returns the value that people give to a gain or loss of money; report, eq. 6.

    ``gain ** alpha`` for a gain, ``-loss_aversion * (-gain) ** alpha`` for a loss. The slope at 0
    is infinite for alpha below 1; the loss `prospect` has a straight line there instead, whose
    gradient is finite.

    Args:
        gain: Any number.
        alpha: Diminishing sensitivity, in (0, 1].
        loss_aversion: lambda of the report, at least 0: how much more a loss weighs.

    >>> kahneman_tversky(1.0), kahneman_tversky(-1.0)
    (1.0, -2.25)
    """
    if gain >= 0:
        return float(gain**alpha)
    return float(-loss_aversion * (-gain) ** alpha)


def yardsticks(values: Sequence[ImpliedValue]) -> list[ImpliedValue]:
    """Returns what every figure shows too: people's value function, and KTO's where installed.

    Args:
        values: What the figure shows; KTO's is not added where the loss ``kto`` is among them.
    """
    options = {"alpha": ALPHA, "loss_aversion": LOSS_AVERSION}
    people = ImpliedValue(PEOPLE, PEOPLE, options, partial(kahneman_tversky, **options))
    if any(value.name == "kto" for value in values):
        return [people]
    kto = loss_value("KTO's sigmoid", {"use": "kto"})
    return [people, kto] if kto else [people]


def figure_4() -> list[ImpliedValue]:
    """Returns the value functions of the report's Figure 4; none where halo-methods is missing.

    They are the logistic function, its logarithm, and a hinge with a margin of 1: those that the
    loss `prospect` offers.
    """
    forms = {"RLHF": "logistic", "DPO": "log-logistic", "SLiC": "hinge"}
    values = (
        loss_value(name, {"use": "prospect", "value_function": form})
        for name, form in forms.items()
    )
    return [value for value in values if value is not None]
