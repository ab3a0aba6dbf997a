"""Removes runs and suites with the stages and rows that no other run needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from halo_core.errors import DataError, PathError
from halo_core.overview.run_entry import STAGES, RunEntry, run_entry
from halo_core.overview.sizes import size_of
from halo_core.tidy.needs import DATA_FOLDER, Needs, folders_in, needs, rows_of
from halo_core.tidy.tracker_marks import mark_deleted
from halo_core.tidy.trash import Removal, finish_earlier, only_remover
from halo_core.workspace.layout import Target, targets
from halo_core.workspace.lock import held, idle, is_owned, locked, recorded_needs
from halo_core.workspace.records import EVENTS, SUITE, TrashRecord


@dataclass(frozen=True)
class RemovalPlan:
    """The folders that a removal of runs removes and keeps.

    Attributes:
        targets: The runs and suites, suites first. A suite's runs are among them.
        stages: Folders of stages that no other run needs.
        rows: Folders of rows that no other stage needs.
        kept: Folders of stages of these runs that other runs need.
        remarks: Why something is kept that could be expected to be removed.
    """

    targets: Sequence[Target]
    stages: Sequence[Path]
    rows: Sequence[Path]
    kept: Sequence[Path]
    remarks: Sequence[str] = ()

    @property
    def folders(self) -> list[Path]:
        """All folders to remove, the runs first."""
        return [*(target.folder for target in self.targets), *self.stages, *self.rows]

    def sizes(self) -> dict[Path, int]:
        """Returns the bytes of each folder to remove."""
        return {folder: size_of(folder) for folder in self.folders}


@dataclass
class Removed:
    """The result of a removal.

    Attributes:
        plan: The folders that were removed.
        marked: Number of runs and suites that were marked as deleted, by tracker.
        warnings: Failures that do not matter for the removal.
        problems: Files and folders that could not be removed, with the reasons.
    """

    plan: RemovalPlan
    marked: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def with_cells(chosen: Sequence[Target]) -> list[Target]:
    """Returns targets with the runs of their suites' cells, each once, suites first.

    Raises:
        PathError: When they are in several workspaces, or not in a workspace at all.
    """
    roots = {target.workspace for target in chosen}
    for target in chosen:
        if target.folder.parent.name != f"{target.kind}s":
            raise PathError(
                f"is not in a folder {target.kind}s of a workspace, so it is not removed",
                location=str(target.folder),
            )
    if len(roots) > 1:
        raise PathError(f"they are in {len(roots)} workspaces; remove those of one at a time")
    suites = {target.folder.name for target in chosen if target.kind == "suite"}
    found = dict.fromkeys(chosen)
    if suites:
        root = roots.pop()
        runs = (target for target in targets(root) if target.kind == "run")
        found |= dict.fromkeys(run for run in runs if run_entry(run.folder).suite in suites)
    return sorted(found, key=lambda target: (target.kind != "suite", target.folder.name))


def plan_removal(chosen: Sequence[Target]) -> RemovalPlan:
    """Returns what the removal of runs would remove now. Removes nothing.

    Args:
        chosen: Runs and suites of one workspace, from `with_cells`.

    Raises:
        DataError: When the record of another run is damaged.
    """
    root = chosen[0].workspace
    others = needs(root, without=[target.folder for target in chosen])
    entries = [run_entry(target.folder) for target in chosen if target.kind == "run"]
    own, kept, remarks = _stages(entries, others, root)
    remarks += [
        f"{entry.name} is running: it can be removed when it has ended"
        for entry in entries
        if entry.state.state == "running"
    ]
    wanted = sorted(rows_of(own) - others.rows)
    rows = [folder for folder in folders_in(root / DATA_FOLDER) if folder.name in wanted]
    if rows and (running := running_runs(root, without=entries)):
        remarks.append(f"rows are kept, because {running[0]} is running and may need them")
        rows = []
    return RemovalPlan(chosen, own, rows, kept, remarks)


def _stages(
    entries: Iterable[RunEntry], others: Needs, root: Path
) -> tuple[list[Path], list[Path], list[str]]:
    there = set(folders_in(root / STAGES))
    own: dict[Path, None] = {}
    kept: dict[Path, None] = {}
    remarks = []
    for entry in entries:
        if entry.problem:
            remarks.append(
                f"{entry.name}: its record cannot be read, so only its folder is removed; "
                "halo runs gc removes stages that no run needs"
            )
        for folder in entry.stage_folders().values():
            if folder in there:
                (kept if folder.name in others.stages else own)[folder] = None
    if (root / STAGES).is_symlink():
        remarks.append(f"{root / STAGES} is a link, so nothing in it is removed")
    return list(own), list(kept), remarks


def running_runs(root: Path, *, without: Iterable[RunEntry] = ()) -> list[str]:
    """Returns the names of the runs of a workspace that are running."""
    left_out = {entry.folder for entry in without}
    runs = (target.folder for target in targets(root) if target.kind == "run")
    return [folder.name for folder in runs if folder not in left_out and is_owned(folder)]


def remove_runs(chosen: Sequence[Target]) -> Removed:
    """Removes runs, suites, and what only they need.

    Args:
        chosen: Runs and suites of one workspace, from `with_cells`.

    Raises:
        BusyError: When one of the runs or stages is running, or another process removes something.
        DataError: When the record of another run is damaged.
    """
    root = chosen[0].workspace
    with only_remover(root):
        problems = finish(root)
        with ExitStack() as locks:
            # A run or stage that is running is refused before any tracker is called.
            _plan_with_locks(chosen, locks)
        marked, warnings = mark_deleted(chosen)
        with ExitStack() as locks:
            plan = _plan_with_locks(chosen, locks)
            removal = Removal(root, plan.folders)
            removal.move()
        # Deleted first: on a full disk, the records of suites could not be written.
        removal.delete()
        _forget_cells(root, {target.folder.name for target in chosen})
    return Removed(plan, marked, warnings, [*problems, *removal.problems])


def _plan_with_locks(chosen: Sequence[Target], locks: ExitStack) -> RemovalPlan:
    """Returns what to remove, and takes the locks of all of it.

    Raises:
        BusyError: When one of the runs is running, or a process computes one of the stages.
    """
    for target in chosen:
        if target.kind == "run":
            locks.enter_context(locked(target.folder, _is_running(target.folder)))
    locks.enter_context(recorded_needs(chosen[0].workspace))
    plan = plan_removal(chosen)
    for stage in plan.stages:
        locks.enter_context(
            idle(stage, "a process is computing this stage, so nothing is removed; wait for it")
        )
    return plan


def _is_running(folder: Path) -> str:
    return (
        f"{folder.name} is running, so nothing is removed. Stop it first, or wait: "
        f"halo runs show {folder.name} --follow"
    )


def finish(root: Path) -> list[str]:
    """Ends removals that were interrupted, and returns why some could not be ended.

    Call it within `only_remover`. A run that was started again since then is kept.

    Raises:
        DataError: When the record of a run is damaged, so that it is not known what is needed.
    """

    def still_wanted(record: TrashRecord) -> list[str]:
        names = record["folders"]
        runs = [name for name in names if Path(name).parts[0] in ("runs", "suites")]
        others = [name for name in names if name not in runs]
        gone = [
            name
            for name in runs
            if not is_owned(root / name) and _changed(root / name) <= record["time"]
        ]
        needed = needs(root, without=[root / name for name in gone])
        busy = bool(running_runs(root))
        return gone + [name for name in others if _is_free(Path(name), needed, busy)]

    with recorded_needs(root):
        problems = finish_earlier(root, still_wanted)
    _forget_cells(root, set())
    return problems


def _is_free(name: Path, needed: Needs, busy: bool) -> bool:
    """Returns whether nobody needs a stage, rows, or a file of the cache."""
    place = name.parts[0]
    if place == STAGES and len(name.parts) == 2:
        return name.name not in needed.stages
    if place == DATA_FOLDER:
        return name.name not in needed.rows and not busy
    # Checkpoints of a finished stage, and caches.
    return not busy


def _changed(folder: Path) -> float:
    events = folder / EVENTS.name
    return events.stat().st_mtime if events.exists() else 0.0


def _forget_cells(root: Path, runs: set[str]) -> None:
    """Records in the suites that are left that these runs of their cells are gone.

    Args:
        root: The workspace.
        runs: Names of the runs; empty for all whose folder is gone.
    """
    for target in targets(root):
        if target.kind != "suite":
            continue
        with held(target.folder / SUITE.name):
            try:
                record = SUITE.read(target.folder)
            except DataError:  # The next run of the suite writes it again.
                continue
            changed = False
            for cell in record["cells"] if record else ():
                run = cell["run"]
                if run is None or (runs and Path(run).name not in runs):
                    continue
                if not (root / run).exists():
                    cell["run"], cell["status"], cell["error"] = None, "pending", None
                    changed = True
            if record and changed:
                SUITE.write(target.folder, record)
