"""The layout of a workspace, and the run or suite that a command refers to."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from halo_core.errors import DataError, PathError, did_you_mean
from halo_core.workspace.disk import unwritable
from halo_core.workspace.records import EVENTS, RUN, SUITE, TITLE, TitleRecord
from halo_core.workspace.user_paths import empty_name_problem, encoding_problem

SHOWN = 8
"""Number of existing runs and suites that a message names."""


_NO_FOLDER = (errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG)
"""The system's errors for a path that no user could make a folder."""


@dataclass(frozen=True)
class Workspace:
    """The folder that contains everything that runs write.

    Attributes:
        root: The folder. It is created when something is first written.
        spare: The folder for rows that are not in `root` yet, if `root` cannot be written to. Such
            a workspace can only be planned in.
    """

    root: Path
    spare: Path | None = None

    def stage(self, use: str, key: str) -> Path:
        """Returns the folder of a stage's output."""
        return self.root / "stages" / f"{use.replace('/', '-')}-{key}"

    def data(self, key: str) -> Path:
        """Returns the folder of the rows of a source."""
        return self.root / "data" / key

    def run(self, name: str) -> Path:
        """Returns the folder of a run."""
        return self.root / "runs" / name

    def suite(self, name: str) -> Path:
        """Returns the folder of a suite."""
        return self.root / "suites" / name

    @property
    def cache(self) -> Path:
        """The folder of files that can be computed again."""
        return self.root / "cache"

    @property
    def trash(self) -> Path:
        """The folder of what is being removed."""
        return self.root / "trash"

    def relative(self, path: Path) -> str:
        """Returns a path relative to the workspace."""
        return str(path.relative_to(self.root))


def open_workspace(folder: str, spare: Path | None = None) -> Workspace:
    """Returns the workspace in a folder, and creates the folder if it does not exist.

    Args:
        folder: The folder.
        spare: An empty folder, which the workspace uses for new rows if it cannot be written to.

    Raises:
        PathError: When it cannot be a folder, or, without a spare folder, cannot be written to.
    """
    root = Path(folder).expanduser().resolve()
    if (problem := encoding_problem(root)) is not None:
        raise PathError(problem, location=str(root))
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if spare is not None and error.errno not in _NO_FOLDER:
            return Workspace(root, spare)
        raise _no_workspace(root, error.strerror or str(error)) from error
    workspace = Workspace(root)
    if (reason := unwritable(root)) is not None:
        if spare is None:
            raise _no_workspace(root, reason)
        return Workspace(root, spare)
    # A run says which of its folders it cannot write to. A plan does not need them.
    rows = workspace.data("")
    if spare is not None and rows.exists() and not os.access(rows, os.W_OK | os.X_OK):
        return Workspace(root, spare)
    return workspace


def _no_workspace(root: Path, reason: str) -> PathError:
    return PathError(
        f"this cannot be the workspace: {reason}; expected a folder that can be written to. "
        "Name another with --workspace or HALO_WORKSPACE",
        location=str(root),
    )


@dataclass(frozen=True)
class Target:
    """A run or a suite that a command refers to, perhaps with a stage.

    Attributes:
        kind: ``run`` or ``suite``.
        folder: Its folder: ``<workspace>/runs/...`` or ``<workspace>/suites/...``.
        stage: The stage after the last colon, if any. It may not exist.
    """

    kind: Literal["run", "suite"]
    folder: Path
    stage: str | None = None

    @property
    def workspace(self) -> Path:
        """The workspace of the run or suite."""
        return self.folder.parent.parent


_MARKS: dict[Literal["run", "suite"], tuple[str, tuple[str, ...]]] = {
    "suite": ("suites", (SUITE.name,)),
    "run": ("runs", (EVENTS.name, RUN.name)),
}
"""The folder of each kind, and the files of which one is enough to find it."""


def find(text: str, workspace: Path, *, stages: bool = False) -> Target:
    """Returns the run or suite that a text refers to.

    Args:
        text: A folder, a folder's name, a name from `halo runs rename`, the unique beginning of a
            folder's name, or the title of a run if no other run has it.
        workspace: The workspace to search for names.
        stages: Whether ``RUN:STAGE`` is allowed too.

    Raises:
        PathError: When there is none, or more than one.
    """
    name, colon, stage = text.rpartition(":") if stages else ("", "", "")
    # If a slash follows the colon, the colon is part of a path.
    if colon and "/" not in stage:
        return replace(_find(name, workspace), stage=stage)
    return _find(text, workspace)


def _find(name: str, workspace: Path) -> Target:
    if (problem := empty_name_problem(name)) is not None:
        raise PathError(problem)
    for kind, (place, marks) in _MARKS.items():
        for folder in (Path(name), workspace / place / name):
            if any((folder / file).is_file() for file in marks):
                return Target(kind, folder.resolve())
    known = targets(workspace)
    titled = [target for target in known if title_of(target.folder)["title"] == name]
    if len(titled) == 1:
        return titled[0]
    begun = [target for target in known if target.folder.name.startswith(name)]
    suites = [target for target in begun if target.kind == "suite"]
    # The names of a suite's runs begin with its name, so they are found if its record is lost.
    if not suites:
        _check_suites(name, workspace)
    if len(begun) == 1 or len(suites) == 1:
        return (suites or begun)[0]
    if found := titled or suites or begun:
        names = ", ".join(target.folder.name for target in found)
        what = "given to" if titled else "the beginning of"
        raise PathError(f"{name!r} is {what} {len(found)} names: {names}")
    called = [target for target in known if _own_title(target) == name]
    if len(called) == 1:
        return called[0]
    if called:
        names = ", ".join(target.folder.name for target in called)
        raise PathError(f"{name!r} is the title of {len(called)} runs; name one of them: {names}")
    there = _there(name, known) if workspace.is_dir() else _NO_WORKSPACE
    raise PathError(f"no run or suite {name!r}{there}", location=str(workspace))


_NO_WORKSPACE = (
    ", because there is no such folder; expected a workspace, which halo run makes. Name it with "
    "--workspace DIR or the variable HALO_WORKSPACE"
)


def _own_title(target: Target) -> str:
    """Returns the title that a run got when it began; "" for a suite and a damaged record."""
    if target.kind != "run":
        return ""
    try:
        return (RUN.read(target.folder) or {}).get("title", "")
    except DataError:
        return ""


def _check_suites(name: str, workspace: Path) -> None:
    for folder in sorted((workspace / "suites").glob("*")):
        if folder.name.startswith(name) and not (folder / SUITE.name).is_file():
            raise PathError(
                f"{name!r} is the beginning of the name of a suite without its {SUITE.name}; run "
                "the same command again, and halo run writes it again",
                location=str(folder),
            )


def targets(workspace: Path) -> list[Target]:
    """Returns all suites and runs of a workspace, suites first, in the order of their names."""
    return [
        Target(kind, folder.resolve())
        for kind, (place, marks) in _MARKS.items()
        for folder in sorted((workspace / place).glob("*"))
        if any((folder / file).is_file() for file in marks)
    ]


def title_of(folder: Path) -> TitleRecord:
    """Returns the title and the note that people gave to a run or suite; empty texts if none.

    A damaged record counts as none. `halo verify` finds it.
    """
    try:
        record = TITLE.read(folder)
    except DataError:
        record = None
    return TitleRecord(title="", note="") if record is None else record


def _there(name: str, known: Sequence[Target]) -> str:
    """Returns the nearest name and the first existing names, suites first."""
    names = [target.folder.name for target in known]
    names += [title for target in known if (title := title_of(target.folder)["title"])]
    begun = [full_name.rpartition("-")[0] for full_name in names]
    guess = did_you_mean(name, names) or did_you_mean(name, begun)
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    shown = ", ".join(f"{target.kind} {target.folder.name}" for target in known[:SHOWN])
    return f".{guess} Existing: {shown}{more}" if shown else "; the workspace has none yet"
