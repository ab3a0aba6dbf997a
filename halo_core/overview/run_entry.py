"""The runs and suites of a workspace, as `halo runs` lists them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from halo_core.errors import DataError
from halo_core.overview.run_state import RunState, run_state
from halo_core.overview.sizes import Sizes
from halo_core.workspace.layout import Workspace, targets, title_of
from halo_core.workspace.records import RUN, RunRecord, RunStage

STAGES = "stages"
"""The folder of all stages in a workspace."""


@dataclass(frozen=True)
class RunEntry:
    """A run in a workspace.

    Attributes:
        folder: Its folder.
        given: The title that people gave to it, or "".
        note: Note that people gave, or "".
        state: Its state.
        record: Its record; empty if there is none or it cannot be read.
        problem: Why its record cannot be read, or "".
    """

    folder: Path
    given: str
    note: str
    state: RunState
    record: RunRecord = field(default_factory=RunRecord)
    problem: str = ""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def shown(self) -> str:
        """The title that people gave to it, or the name of its folder: a name for commands."""
        return self.given or self.name

    @property
    def title(self) -> str:
        """The title that people gave to it, or that it got when it began; "" from an older halo."""
        return self.given or self.record.get("title", "")

    @property
    def spec(self) -> str:
        """The name of its spec or suite; "" if not known."""
        return self.record.get("recipe", "")

    @property
    def suite(self) -> str:
        """The name of its suite's folder; "" for a run outside of a suite."""
        cell = self.record.get("suite")
        return Path(cell["folder"]).name if cell else ""

    @property
    def cell(self) -> str:
        """The id of its cell; "" for a run outside of a suite."""
        cell = self.record.get("suite")
        return cell["cell"] if cell else ""

    @property
    def axes(self) -> Mapping[str, str]:
        """The names of the cell's values by axis."""
        cell = self.record.get("suite")
        return cell["axes"] if cell else {}

    @property
    def stages(self) -> Sequence[RunStage]:
        """Its stages, in order."""
        return self.record.get("stages", [])

    def stage_folders(self) -> dict[str, Path]:
        """Returns the folder of each stage by its id. A folder outside of `stages` is left out."""
        root = self.folder.parent.parent
        folders = {}
        for stage in self.stages:
            path = Path(stage["folder"])
            if path.parts[:1] == (STAGES,) and len(path.parts) == 2 and path.name != "..":
                folders[stage["id"]] = root / path
        return folders

    def size(self, sizes: Sizes) -> int:
        """Returns the bytes of its folder and of all its stages, also those that others share."""
        return sizes.of(self.folder) + sum(sizes.of(f) for f in set(self.stage_folders().values()))


def run_entry(folder: Path) -> RunEntry:
    """Returns the entry of the run in a folder."""
    record, problem = RunRecord(), ""
    try:
        record = RUN.read(folder) or record
    except DataError as error:
        problem = str(error)
    title = title_of(folder)
    return RunEntry(folder, title["title"], title["note"], run_state(folder), record, problem)


def run_entries(workspace: Workspace) -> list[RunEntry]:
    """Returns the runs of a workspace, the last active first."""
    folders = [target.folder for target in targets(workspace.root) if target.kind == "run"]
    return sorted(map(run_entry, folders), key=lambda entry: -(entry.state.active or 0))


def stage_users(entries: Iterable[RunEntry]) -> Mapping[Path, set[str]]:
    """Returns the names of the runs that use each stage, by the stage's folder."""
    users: dict[Path, set[str]] = defaultdict(set)
    for entry in entries:
        for folder in entry.stage_folders().values():
            users[folder].add(entry.name)
    return users
