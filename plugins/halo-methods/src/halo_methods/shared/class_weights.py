"""The weights of desirable and undesirable completions, and advice from the class counts.

The report (after eq. 8) advises that ``lambda_D n_D / (lambda_U n_U)`` is in [1, 4/3]. `auto` makes
it 1. So balanced data keep the weights of 1 and 1 that the report trained with, and gains are not
assumed to count more. The report's experiment on imbalance (Figure 6) used the other end, 4/3; for
this, set a number instead of `auto`.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from halo_core.loss import ClassCounts, Loss, Settled
from halo_methods.shared.fields import one_message

Auto = Literal["auto"]
RATIO = "lambda_D n_D / (lambda_U n_U)"
ADVISED = (1.0, 4 / 3)
SLACK = 0.01
"""Share by which the ratio may leave the advised interval without a remark. Rows may be dropped."""
ABSURD = 100.0
"""Factor above which the smaller side has almost no effect."""


ClassWeight = Annotated[
    Annotated[float, Field(ge=0)] | Auto,
    one_message("a number of at least 0, or 'auto'"),
]
"""A factor of at least 0, or ``auto``."""


class Weights(NamedTuple):
    """Both weights as numbers, under the names of their options."""

    desirable_weight: float
    undesirable_weight: float


DESIRABLE = (
    "Factor of the loss of desirable completions (lambda_D, HALOs report eq. 8). Choose it so that "
    "lambda_D n_D / (lambda_U n_U) is in [1, 4/3]. auto counts the data and makes this ratio 1."
)
UNDESIRABLE = (
    "Factor of the loss of undesirable completions (lambda_U, HALOs report eq. 8). auto works as "
    "for desirable_weight. If both are auto, the class with more completions gets 1."
)


def check_weights(desirable: float | Auto, undesirable: float | Auto) -> None:
    """Checks that training with two weights is possible.

    Raises:
        ValueError: When both are 0, or when one is 0 and the other is to be balanced against it.
    """
    if desirable == 0 and undesirable == 0:
        raise ValueError(
            "desirable_weight and undesirable_weight are both 0, so nothing would be learned; "
            "set at least one above 0"
        )
    for name, weight, other, against in (
        ("desirable_weight", desirable, "undesirable_weight", undesirable),
        ("undesirable_weight", undesirable, "desirable_weight", desirable),
    ):
        if weight == "auto" and against == 0:
            raise ValueError(
                f"{name} is auto and {other} is 0, so there is nothing to balance against; give "
                f"{name} a number"
            )


def mistakes_within_pairs(desirable: float | Auto, undesirable: float | Auto) -> tuple[str, ...]:
    """Returns mistakes about weights if all completions of the batch are desirable.

    >>> mistakes_within_pairs(1.0, 1.0)
    ()
    """
    weights = {"desirable_weight": desirable, "undesirable_weight": undesirable}
    return tuple(
        f"{name} has no effect on what is learned with a reference point from within pairs: all "
        "completions are chosen ones, so there is nothing to weigh them against; leave it out"
        for name, weight in weights.items()
        if weight != 1
    )


def weights_for(desirable: float | Auto, undesirable: float | Auto, counts: ClassCounts) -> Weights:
    """Returns both weights as numbers.

    One `auto` makes ``lambda_D n_D / (lambda_U n_U) = 1``. If both are `auto`, the class with more
    completions gets 1. If a class is empty, there is no ratio, and an `auto` equals the other
    weight.

    >>> weights_for("auto", "auto", ClassCounts(90, 10))
    Weights(desirable_weight=1.0, undesirable_weight=9.0)
    >>> weights_for("auto", 2.0, ClassCounts(10, 90))
    Weights(desirable_weight=18.0, undesirable_weight=2.0)
    """
    one_sided = counts.desirable == 0 or counts.undesirable == 0
    balance = 1.0 if one_sided else counts.undesirable / counts.desirable
    if isinstance(desirable, str):
        if isinstance(undesirable, str):
            return Weights(max(1.0, balance), max(1.0, 1 / balance))
        return Weights(undesirable * balance, undesirable)
    if isinstance(undesirable, str):
        return Weights(desirable, desirable / balance)
    return Weights(desirable, undesirable)


def settle(
    loss: Loss, desirable: float | Auto, undesirable: float | Auto, counts: ClassCounts
) -> Settled:
    """Returns a copy of a loss with numbers as weights, and a remark on the counts.

    Args:
        loss: A loss with the options `desirable_weight` and `undesirable_weight`.
        desirable: Value of `desirable_weight`.
        undesirable: Value of `undesirable_weight`.
        counts: Number of completions of each class.
    """
    return Settled(
        loss.model_copy(update=weights_for(desirable, undesirable, counts)._asdict()),
        remark(desirable, undesirable, counts),
        caution(desirable, undesirable, counts),
    )


def as_numbers(desirable: float | Auto, undesirable: float | Auto) -> Weights:
    """Returns both weights if they are numbers.

    Raises:
        ValueError: When one is still `auto`.
    """
    if isinstance(desirable, str) or isinstance(undesirable, str):
        name = "desirable_weight" if desirable == "auto" else "undesirable_weight"
        raise ValueError(
            f"{name} is 'auto', which becomes a number when the data are counted: call "
            "settle(ClassCounts(desirable=..., undesirable=...)).loss, or give a number"
        )
    return Weights(desirable, undesirable)


def remark(desirable: float | Auto, undesirable: float | Auto, counts: ClassCounts) -> str:
    """Returns the counts, the weights and their ratio as a sentence.

    >>> for part in remark(1.0, "auto", ClassCounts(90, 10)).split("; "):
    ...     print(part)
    90 desirable and 10 undesirable completions
    desirable_weight 1 and undesirable_weight 9 make lambda_D n_D / (lambda_U n_U) = 1
    """
    weights = weights_for(desirable, undesirable, counts)
    ratio = _ratio(weights, counts)
    both = f"desirable_weight {weights[0]:.4g} and undesirable_weight {weights[1]:.4g}"
    if ratio is None:
        return f"{_counted(counts)}; {both}"
    return f"{_counted(counts)}; {both} make {RATIO} = {ratio:.3g}"


def caution(desirable: float | Auto, undesirable: float | Auto, counts: ClassCounts) -> str | None:
    """Returns the problem of these weights with these counts, with advice; None if there is none.

    >>> caution(1.0, 1.0, ClassCounts(50, 50))
    """
    for name, count in zip(("desirable", "undesirable"), counts, strict=True):
        if count == 0:
            return (
                f"{_counted(counts)}: there is nothing {name} to learn from. Add {name} "
                "completions, or make sure that this is meant"
            )
    ratio = _ratio(weights_for(desirable, undesirable, counts), counts)
    if ratio is None or ratio == 0:
        name = "undesirable" if ratio is None else "desirable"
        return (
            f"{name}_weight is 0: nothing is learned from the {getattr(counts, name)} {name} "
            "completions. Leave them out of the data, or make sure that this is meant"
        )
    low, high = ADVISED
    if low * (1 - SLACK) <= ratio <= high * (1 + SLACK):
        return None
    advice = (
        f"{RATIO} is {ratio:.3g}; the report advises [1, 4/3]. Set "
        "desirable_weight or undesirable_weight to auto"
    )
    if ratio > ABSURD or ratio < 1 / ABSURD:
        larger, smaller = "desirable", "undesirable"
        if ratio < 1:
            larger, smaller = smaller, larger
        return (
            f"{_counted(counts)}: the {larger} ones count {max(ratio, 1 / ratio):.3g} times as "
            f"much as the {smaller} ones, which will have almost no effect. {advice}"
        )
    return f"{_counted(counts)}: {advice}"


def _counted(counts: ClassCounts) -> str:
    return f"{counts.desirable} desirable and {counts.undesirable} undesirable completions"


def _ratio(weights: Weights, counts: ClassCounts) -> float | None:
    against = weights.undesirable_weight * counts.undesirable
    return weights.desirable_weight * counts.desirable / against if against else None
