"""Checks of rows before anything is trained: overlap, labels, class balance."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from halo_core.completion import completion_in
from halo_core.feedback import BESIDE, Feedback
from halo_core.guarded.blame import blaming
from halo_core.guarded.loss_calls import settled
from halo_core.loss import ClassCounts, Loss
from halo_core.rows import DataSet
from halo_core.run.key_sets import Keys
from halo_core.run.materialise import Rows
from halo_core.run.overlap import check_overlap
from halo_core.run.plan import Plan, PlannedStage
from halo_core.spec.resolved import Resolved
from halo_core.spec.stages import StageSpec


def completions_with_both_labels(rows: Iterable[Mapping[str, Any]]) -> int:
    """Returns how many completions have both labels for the same prompt.

    Args:
        rows: Rows of binary feedback with their `prompt_id`.
    """
    keys = {True: Keys(), False: Keys()}
    for row in rows:
        keys[row["desirable"]].add((row["prompt_id"], completion_in(row, "completion").key))
    return keys[True].distinct(keys[True].are_in(keys[False]))


def warn_of_both_labels(data: DataSet, warn: Callable[[str], None]) -> None:
    """Warns if a set that a model learns from has completions with both labels.

    This is not an error, because people may disagree. But pairs that were unpaired carelessly look
    the same.

    Args:
        data: The set. Only binary feedback is checked.
        warn: Receives the warning.
    """
    if data.feedback != "binary":
        return
    needed = ("prompt_id", "desirable", "completion", BESIDE["completion"].fields)
    if both := completions_with_both_labels(data.select(needed)):
        warn(
            f"data set {data.name!r}: completions with both labels: {both}. Training uses them as "
            "they are; {use: settle-labels, source: ..., conflicts: drop} removes them"
        )


def class_counts(data: DataSet) -> ClassCounts | None:
    """Returns how many completions of each class a set has; None if it has no classes.

    A pair has one completion of each class.
    """
    if data.feedback == "paired":
        return ClassCounts(len(data), len(data))
    if data.feedback != "binary":
        return None
    # Not `column`: a list of all labels would take 8 bytes per row.
    desirable = sum(row["desirable"] for row in data.select(("desirable",)))
    return ClassCounts(desirable, len(data) - desirable)


def warn_of_class_balance(stage: StageSpec, data: DataSet, warn: Callable[[str], None]) -> None:
    """Warns if a stage's loss cautions about the numbers of desirable and undesirable completions.

    Args:
        stage: A stage that will learn from the data.
        data: The rows that it will learn from.
        warn: Receives the warning.

    Raises:
        PluginError: When the loss's `settle` raises, or returns something else.
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
    """Yields the losses in a component. A wrapper speaks for the loss that it wraps."""
    for _, child in resolved.children():
        if isinstance(child.component, Loss):
            yield child.component
        else:
            yield from _losses(child)


StageRows = Mapping[str, Mapping[str, list[Rows]]]
"""Rows by stage id and data option, for all stages whose rows are known."""
Warn = Callable[[str], None]


def check_data(
    plan: Plan, rows: StageRows, *, new: Collection[str], fresh: Collection[str], warn: Warn
) -> None:
    """Checks new rows, and compares training data with test data.

    Args:
        plan: The plan.
        rows: The rows of its stages.
        new: Ids of the stages that will be computed.
        fresh: Ids of the stages whose rows were not compared yet.
        warn: Receives warnings for the user.

    Raises:
        DataError: When test data are also training data, and the spec has no ``overlap: warn``.
        PluginError: When a loss raises.
    """
    learned: dict[tuple[str, Feedback], DataSet] = {}
    tested: dict[tuple[str, Feedback], DataSet] = {}
    compared: set[tuple[str, Feedback]] = set()
    both_labels: set[tuple[str, Feedback]] = set()
    for stage, data, learns in _sets(plan, rows):
        # A set has one form for each kind of feedback that stages need.
        form = (data.name, data.feedback)
        (learned if learns else tested)[form] = data
        if stage.id not in fresh:
            compared.add(form)
        if not learns or stage.id not in new:
            continue
        if form not in both_labels:
            both_labels.add(form)
            warn_of_both_labels(data, warn)
        warn_of_class_balance(stage.spec, data, warn)
    # Each pair of sets is compared once, although this runs again when later rows arrive.
    late = [data for form, data in learned.items() if form not in compared]
    early = [data for form, data in learned.items() if form in compared]
    same = plan.spec.overlap
    check_overlap(late, list(tested.values()), warn, same=same)
    new_tests = [data for form, data in tested.items() if form not in compared]
    check_overlap(early, new_tests, warn, same=same)


def _sets(plan: Plan, rows: StageRows) -> Iterator[tuple[PlannedStage, DataSet, bool]]:
    """Yields the stages with each set that they learn from (True) or are tested on (False)."""
    for stage in plan.stages:
        for option, sources in rows.get(stage.id, {}).items():
            role, name = stage.spec.role(option), stage.spec.data[option].name
            # Prompts whose samples are only learned from may be training prompts.
            if role == "learn" or (role == "test" and not is_only_learned_from(plan, stage)):
                data = DataSet(name, sources[0].feedback, [source.file for source in sources])
                yield stage, data, role == "learn"


def is_only_learned_from(plan: Plan, stage: PlannedStage) -> bool:
    """Returns whether a stage's output is only used for training, directly or after labelling."""
    takers = [s.spec.component for s in plan.stages if stage.id in s.spec.inputs.values()]
    return bool(takers) and all(taker.produces in ("model", "feedback") for taker in takers)
