"""Warns, before anything is trained, of a loss whose weights do not suit its data."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from halo_core.blame import blaming
from halo_core.loss import ClassCounts, Loss
from halo_core.loss_calls import settled
from halo_core.rows import DataSet
from halo_core.spec.components import Resolved
from halo_core.spec.stages import StageSpec


def class_counts(data: DataSet) -> ClassCounts | None:
    """Returns how many completions of each class a set has; None where it has no classes.

    A pair has one completion of each class.
    """
    if data.feedback == "paired":
        return ClassCounts(len(data), len(data))
    if data.feedback != "binary":
        return None
    desirable = sum(data.column("desirable"))
    return ClassCounts(desirable, len(data) - desirable)


def warn_of_class_balance(stage: StageSpec, data: DataSet, warn: Callable[[str], None]) -> None:
    """Warns of what a stage's loss says of the numbers of desirable and undesirable completions.

    Args:
        stage: A stage that is to learn from the data.
        data: The rows as they will be learned from.
        warn: Told of it.

    Raises:
        PluginError: When the loss's `settle` raises, or gives back something else.
    """
    counts = class_counts(data)
    if counts is None:
        return
    for loss in _losses(stage.resolved):
        with blaming(loss, "settle"):
            caution = settled(loss, counts).caution
        if caution:
            warn(f"{stage.id}: {caution}")


def _losses(resolved: Resolved) -> Iterator[Loss]:
    """Yields the losses within a component; one that is wrapped speaks through its wrapper."""
    for _, child in resolved.children():
        if isinstance(child.component, Loss):
            yield child.component
        else:
            yield from _losses(child)
