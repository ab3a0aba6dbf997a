"""Warns, before anything is trained, of a loss whose weights do not suit its data."""

from __future__ import annotations

from collections.abc import Callable

from halo_core.errors import PluginError
from halo_core.loss import ClassCounts, Counted
from halo_core.registry import raised_at
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
        PluginError: When the loss's `caution` raises.
    """
    counts = class_counts(data)
    if counts is None:
        return
    for resolved in stage.resolved.all():
        if caution := _caution(resolved, counts):
            warn(f"{stage.id}: {caution}")


def _caution(resolved: Resolved, counts: ClassCounts) -> str | None:
    loss = resolved.component
    if not isinstance(loss, Counted):
        return None
    try:
        return loss.caution(counts)
    except Exception as error:
        where = raised_at(error.__traceback__, resolved.registration.origin)
        message = f"{resolved.name}.caution() raised {type(error).__name__}: {error}"
        raise PluginError(message, location=where) from error
