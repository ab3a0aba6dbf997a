"""Finds what no run of a workspace needs, and removes it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from halo_core.cache_entry import CacheEntry
from halo_core.errors import BusyError
from halo_core.overview.run_entry import STAGES
from halo_core.overview.sizes import size_of
from halo_core.plugins.hook_calls import call_hook
from halo_core.tidy.needs import DATA_FOLDER, Needs, folders_in, needs
from halo_core.tidy.remove_runs import finish, running_runs
from halo_core.tidy.trash import Removal, left_in_trash, only_remover
from halo_core.workspace.check_values import CHECKPOINTS
from halo_core.workspace.layout import Workspace
from halo_core.workspace.lock import held, idle, recorded_needs
from halo_core.workspace.records import DONE

DAY_S = 24 * 3600
AT_WORK = "a process works there"
"""Why something that was chosen is kept."""


@dataclass(frozen=True)
class Garbage:
    """Something in a workspace that can be removed.

    Attributes:
        kind: Kind of thing, in the plural: ``stages that no run needs``.
        path: The file or folder.
        lost: Consequence of its removal, as a sentence without a full stop.
        option: The option that chooses it; "" if it is always chosen.
        chosen: Whether it is removed now.
        why_kept: Why it is kept although its option is given, or "".
        asked: Whether its option is given.
    """

    kind: str
    path: Path
    lost: str
    option: str
    chosen: bool
    why_kept: str = ""
    asked: bool = True


@dataclass(frozen=True)
class Collection:
    """The choice of things that `halo runs gc` removes.

    Attributes:
        checkpoints: Whether to remove the checkpoints of finished stages.
        caches: Whether to remove caches that can be computed again.
        paid: Whether to remove caches that cost money.
        older_than_days: Only what was not used for this number of days.
    """

    checkpoints: bool = False
    caches: bool = False
    paid: bool = False
    older_than_days: float = 0.0


@dataclass
class Collected:
    """The findings of `halo runs gc`, and its result.

    Attributes:
        found: Everything that could be removed, chosen or not.
        problems: Files and folders that could not be removed, with the reasons.
        warnings: Plugins that could not say what they keep.
        sizes: Bytes by path, from `measure`.
    """

    found: list[Garbage]
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    sizes: dict[Path, int] = field(default_factory=dict)

    def measure(self) -> None:
        """Measures everything that was found. This takes long if there is much."""
        self.sizes = {each.path: size_of(each.path) for each in self.found}


def find_garbage(root: Path, wanted: Collection) -> Collected:
    """Returns what could be removed from a workspace. Removes nothing.

    Args:
        root: The workspace.
        wanted: The choice.

    Raises:
        DataError: When the record of a run is damaged: what it needs is then not known.
    """
    needed = needs(root)
    running = running_runs(root)
    found = [*_trash(root), *_stages(root, needed, wanted), *_rows(root, needed, wanted, running)]
    found += _checkpoints(root, needed, wanted)
    caches, warnings = _caches(root, wanted, running)
    return Collected([*found, *caches], warnings=warnings)


def collect(root: Path, wanted: Collection) -> Collected:
    """Removes what no run needs, as far as it is chosen.

    Raises:
        BusyError: When another process removes something.
        DataError: When the record of a run is damaged.
    """
    with only_remover(root):
        left = _trash(root)
        before = find_garbage(root, wanted)
        # Not under the locks, because runs that begin would have to wait for them.
        before.measure()
        problems = finish(root)
        with ExitStack() as locks:
            locks.enter_context(recorded_needs(root))
            collected = find_garbage(root, wanted)
            free = [each for each in collected.found if each.chosen and _is_free(each, locks)]
            removal = Removal(root, [each.path for each in free])
            removal.move()
        removal.delete()
    gone = set(map(id, free))
    found = [
        each if not each.chosen or id(each) in gone else _kept(each, AT_WORK)
        for each in collected.found
    ]
    found = [*left, *found]
    problems += removal.problems
    return Collected(found, problems, collected.warnings, before.sizes)


def _is_free(garbage: Garbage, locks: ExitStack) -> bool:
    """Takes the locks of a stage or of rows; returns False if another process has them."""
    path = garbage.path
    if path.parent.name == DATA_FOLDER:
        locks.enter_context(held(path))  # It is held for moments only.
        return True
    stage = path.parent if path.name == CHECKPOINTS else path
    if stage.parent.name != STAGES:
        return True
    try:
        locks.enter_context(idle(stage, "a process is computing this stage"))
    except BusyError:
        return False
    return True


def _kept(garbage: Garbage, why: str) -> Garbage:
    fields = (garbage.kind, garbage.path, garbage.lost, garbage.option)
    return Garbage(*fields, chosen=False, why_kept=why)


def _is_old(path: Path, wanted: Collection, used: float | None = None) -> bool:
    try:
        last = path.lstat().st_mtime if used is None else used
    except FileNotFoundError:  # Another process has just removed it.
        return False
    return time.time() - last >= wanted.older_than_days * DAY_S


def _trash(root: Path) -> list[Garbage]:
    lost = "a removal that was interrupted is ended"
    return [
        Garbage("left by interrupted removals", place, lost, "", chosen=True)
        for place in left_in_trash(root)
    ]


def _stages(root: Path, needed: Needs, wanted: Collection) -> list[Garbage]:
    lost = "a run that needs them computes them again"
    return [
        Garbage("stages that no run needs", stage, lost, "", chosen=_is_old(stage, wanted))
        for stage in folders_in(root / STAGES)
        if stage.name not in needed.stages
    ]


def _rows(
    root: Path, needed: Needs, wanted: Collection, running: Sequence[str]
) -> Iterable[Garbage]:
    for rows in folders_in(root / DATA_FOLDER):
        if rows.name in needed.rows:
            continue
        kept = f"{running[0]} is running and may need them" if running else ""
        chosen = not kept and _is_old(rows, wanted)
        lost = "a run that needs them reads them again"
        yield Garbage("rows that no stage needs", rows, lost, "", chosen, kept)


def _checkpoints(root: Path, needed: Needs, wanted: Collection) -> Iterable[Garbage]:
    for stage in folders_in(root / STAGES):
        folder = stage / CHECKPOINTS
        # Without `done.json` the stage continues from them. Those of a stage that no run needs are
        # removed with the stage.
        if stage.name not in needed.stages or not (stage / DONE.name).is_file():
            continue
        if not folders_in(folder):
            continue
        kept = "a spec names them" if stage.name in needed.checkpoints else ""
        chosen = wanted.checkpoints and not kept and _is_old(folder, wanted)
        yield Garbage(
            "checkpoints of finished stages",
            folder,
            "the model of the stage stays; its earlier steps are gone",
            "--checkpoints",
            chosen,
            kept,
            wanted.checkpoints,
        )


def _caches(
    root: Path, wanted: Collection, running: Sequence[str]
) -> tuple[list[Garbage], list[str]]:
    cache = Workspace(root).cache
    if cache.is_symlink() or not cache.is_dir():
        return [], []
    found, warnings = [], []
    for answer in call_hook("halo_caches", cache=cache):
        if answer.error is not None:
            warnings.append(f"{answer.distribution}: {answer.error}; its caches are kept")
            continue
        for entry in answer.answers:
            if not isinstance(entry, CacheEntry) or not _is_within(entry.path, cache):
                warnings.append(
                    f"{answer.distribution}: halo_caches gave {entry!r}; expected a CacheEntry "
                    "with a path below the cache. It is kept"
                )
                continue
            found.append(_cache_garbage(entry, wanted, running))
    return found, warnings


def _is_within(path: Path, cache: Path) -> bool:
    return path != cache and path.is_relative_to(cache) and ".." not in path.parts


def _cache_garbage(entry: CacheEntry, wanted: Collection, running: Sequence[str]) -> Garbage:
    kept = "in use" if entry.in_use else ""
    if entry.in_use is None and running:
        kept = f"{running[0]} is running and may use it"
    option = "--paid-replies" if entry.paid else "--caches"
    asked = wanted.paid if entry.paid else wanted.caches
    chosen = asked and not kept and _is_old(entry.path, wanted, entry.last_used)
    return Garbage(f"cache: {entry.kind}", entry.path, entry.lost, option, chosen, kept, asked)
