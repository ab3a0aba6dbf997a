"""Checks the rows of a plan's stages: what is learned from, and what is tested on.

Which is which is said by the markers of the stages' options: `LearnRef` and `TestRef`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from halo_core.both_labels import warn_of_both_labels
from halo_core.class_balance import warn_of_class_balance
from halo_core.feedback import Feedback
from halo_core.materialise import Rows
from halo_core.overlap import check_overlap
from halo_core.plan import Plan, PlannedStage
from halo_core.rows import DataSet

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
    learned: dict[str, DataSet] = {}
    tested: dict[str, DataSet] = {}
    compared: set[str] = set()
    both_labels: set[tuple[str, Feedback]] = set()
    for stage, data, learns in _sets(plan, rows):
        (learned if learns else tested)[data.name] = data
        if stage.id not in fresh:
            compared.add(data.name)
        if not learns or stage.id not in new:
            continue
        if (data.name, data.feedback) not in both_labels:
            both_labels.add((data.name, data.feedback))
            warn_of_both_labels(data, warn)
        warn_of_class_balance(stage.spec, data, warn)
    late = [data for name, data in learned.items() if name not in compared]
    early = [data for name, data in learned.items() if name in compared]
    check_overlap(late, list(tested.values()), warn)
    check_overlap(early, [d for name, d in tested.items() if name not in compared], warn)


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
