"""The methods of losses that weigh desirable and undesirable completions.

A loss that has the two options takes these functions into its body, where they are its methods::

    counted = class_weight_methods.counted
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self, TypeVar

from halo_core.loss import ClassCounts
from halo_methods import class_weights
from halo_methods.class_weights import Auto, Weights


class Weighing(Protocol):
    """A loss with both options."""

    @property
    def desirable_weight(self) -> float | Auto:
        """The factor of desirable completions."""
        ...

    @property
    def undesirable_weight(self) -> float | Auto:
        """The factor of undesirable ones."""
        ...

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Returns a copy with other options."""
        ...


LossT = TypeVar("LossT", bound=Weighing)


def checked(loss: LossT) -> LossT:
    """Returns the loss when it can be learned from.

    Raises:
        ValueError: When both weights are 0, or one is 0 and the other to be balanced against it.
    """
    class_weights.check_weights(loss.desirable_weight, loss.undesirable_weight)
    return loss


def counted(loss: LossT, counts: ClassCounts) -> LossT:
    """Returns a copy whose weights are numbers."""
    weights = class_weights.settled(loss.desirable_weight, loss.undesirable_weight, counts)
    return loss.model_copy(update=weights._asdict())


def remark(loss: Weighing, counts: ClassCounts) -> str:
    """Returns the counts, the weights and their ratio in a sentence."""
    return class_weights.remark(loss.desirable_weight, loss.undesirable_weight, counts)


def caution(loss: Weighing, counts: ClassCounts) -> str | None:
    """Returns what is wrong with the weights for these counts; None when all is well."""
    return class_weights.caution(loss.desirable_weight, loss.undesirable_weight, counts)


def numbers(loss: Weighing) -> Weights:
    """Returns both weights, when they are numbers.

    Raises:
        ValueError: When one is still `auto`.
    """
    return class_weights.numbers(loss.desirable_weight, loss.undesirable_weight)
