"""Marks removed runs as deleted in their trackers. A tracker that fails costs only a warning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from halo_core.errors import HaloError
from halo_core.guarded.blame import blaming
from halo_core.redact import one_line
from halo_core.stop_flag import from_outside
from halo_core.tracker import Tracker
from halo_core.tracking.send import first_tracked, usable_trackers
from halo_core.workspace.layout import Target


def mark_deleted(targets: Sequence[Target]) -> tuple[dict[str, int], list[str]]:
    """Marks runs and suites as deleted in the trackers that their records name.

    A tracker that failed once is not asked about the other runs, because each of them could take
    as long as the first.

    Returns:
        The number of marked runs and suites by tracker, and warnings.
    """
    marks = _Marks()
    for target in targets:
        if run := _tracked_run(target, targets):
            marks.mark(target, _usable(run, marks))
    return dict(marks.marked), marks.warnings()


class _Marks:
    def __init__(self) -> None:
        self.marked: Counter[str] = Counter()
        self._errors: dict[str, str] = {}
        self._missed: Counter[str] = Counter()

    def failed(self, name: str, error: BaseException) -> None:
        self._errors.setdefault(name, one_line(error))
        self._missed[name] += 1

    def mark(self, target: Target, trackers: Mapping[str, Tracker]) -> None:
        for name, tracker in trackers.items():
            if name in self._errors:
                self._missed[name] += 1
                continue
            try:
                with blaming(tracker, "mark_deleted"):
                    had = tracker.mark_deleted(target.folder, target.workspace)
            except BaseException as error:
                if from_outside(error):
                    raise
                self.failed(name, error)
            else:
                self.marked += Counter({name: int(bool(had))})

    def warnings(self) -> list[str]:
        return [
            f"{name}: {error}; {self._missed[name]} of the removed runs are not marked as deleted "
            "there"
            for name, error in self._errors.items()
        ]


def _usable(run: Path, marks: _Marks) -> Mapping[str, Tracker]:
    try:
        return usable_trackers(run, marks.failed)
    except HaloError as error:  # Its record is damaged, so its trackers are not known.
        marks.failed(run.name, error)
        return {}


def _tracked_run(target: Target, targets: Sequence[Target]) -> Path | None:
    """Returns the run whose record names the trackers: the run itself, or one of the suite's."""
    if target.kind == "run":
        return target.folder
    for each in targets:
        try:
            if each.kind == "run" and first_tracked([each.folder]):
                return each.folder
        except HaloError:
            continue
    return None
