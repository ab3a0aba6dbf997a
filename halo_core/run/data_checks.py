"""What is checked of rows before anything is trained: overlap, labels, balance of the classes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from halo_core.completion import completion_in
from halo_core.feedback import Feedback
from halo_core.guarded.blame import blaming
from halo_core.guarded.loss_calls import settled
from halo_core.loss import ClassCounts, Loss
from halo_core.rows import DataSet
from halo_core.run.materialise import Rows
from halo_core.run.overlap import check_overlap
from halo_core.run.plan import Plan, PlannedStage
from halo_core.spec.resolved import Resolved
from halo_core.spec.stages import StageSpec


def completions_with_both_labels(rows: Iterable[Mapping[str, Any]]) -> int:
    """Returns how many completions of a prompt have both labels.

    Args:
        rows: Rows of binary feedback with their `prompt_id`.
    """
    labels: dict[tuple[str, int], set[bool]] = {}
    for row in rows:
        key = row["prompt_id"], hash(completion_in(row, "completion").key)
        labels.setdefault(key, set()).add(row["desirable"])
    return sum(len(given_labels) == 2 for given_labels in labels.values())


def warn_of_both_labels(data: DataSet, warn: Callable[[str], None]) -> None:
    """Warns where a set that a model learns from has completions with both labels.

    People may disagree, so it is no error; a data set that was unpaired carelessly looks the same.

    Args:
        data: The set; only binary feedback is looked at.
        warn: Told of their number.
    """
    if data.feedback != "binary":
        return
    if both := completions_with_both_labels(data):
        warn(
            f"data set {data.name!r}: completions with both labels: {both}. They are learned from "
            "as they are; {use: settle-labels, source: ..., conflicts: drop} leaves none"
        )


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


StageRows = Mapping[str, Mapping[str, list[Rows]]]
"""Stage id to data option to rows, of all stages whose rows are known."""
Warn = Callable[[str], None]


def check_data(
    plan: Plan, rows: StageRows, *, new: Collection[str], fresh: Collection[str], warn: Warn
) -> None:
    """Checks the rows that are new, and compares what is learned from with what is tested on.

    Args:
        plan: The plan.
        rows: The rows of its stages.
        new: Ids of the stages that are to be computed.
        fresh: Ids of the stages whose rows were not compared yet.
        warn: Told of what the user should know.

    Raises:
        DataError: When what is tested on is learned from too.
        PluginError: When a loss raises.
    """
    learned: dict[tuple[str, Feedback], DataSet] = {}
    tested: dict[tuple[str, Feedback], DataSet] = {}
    compared: set[tuple[str, Feedback]] = set()
    both_labels: set[tuple[str, Feedback]] = set()
    for stage, data, learns in _sets(plan, rows):
        # A set has another form for each kind of feedback that a stage wants.
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
    # Each two sets are compared once, though stages whose rows come late make this run again.
    late = [data for form, data in learned.items() if form not in compared]
    early = [data for form, data in learned.items() if form in compared]
    check_overlap(late, list(tested.values()), warn)
    check_overlap(early, [data for form, data in tested.items() if form not in compared], warn)


def _sets(plan: Plan, rows: StageRows) -> Iterator[tuple[PlannedStage, DataSet, bool]]:
    """Yields the stages with each set that they learn from (True) or are tested on (False)."""
    for stage in plan.stages:
        for option, sources in rows.get(stage.id, {}).items():
            role, name = stage.spec.role(option), stage.spec.data[option].name
            # What is only learned from may be of the training prompts.
            if role == "learn" or (role == "test" and not is_only_learned_from(plan, stage)):
                data = DataSet(name, sources[0].feedback, [source.file for source in sources])
                yield stage, data, role == "learn"


def is_only_learned_from(plan: Plan, stage: PlannedStage) -> bool:
    """Returns whether what a stage makes is only taken to learn from, as it is or labelled."""
    takers = [s.spec.component for s in plan.stages if stage.id in s.spec.inputs.values()]
    return bool(takers) and all(taker.produces in ("model", "feedback") for taker in takers)
