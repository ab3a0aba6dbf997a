"""Where things lie in a workspace."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from halo_core.errors import PathError


@dataclass(frozen=True)
class Workspace:
    """The one folder under which everything lies that runs write.

    Attributes:
        root: The folder; made when something is first written.
    """

    root: Path

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
        """The folder of what can be computed again."""
        return self.root / "cache"

    def relative(self, path: Path) -> str:
        """Returns a path relative to the workspace."""
        return str(path.relative_to(self.root))


def open_workspace(folder: str) -> Workspace:
    """Returns the workspace in a folder, which is made where it is not there yet.

    Raises:
        PathError: When it cannot be made or written to.
    """
    root = Path(folder).expanduser().resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_workspace(root, error.strerror or str(error)) from error
    if not os.access(root, os.W_OK | os.X_OK):
        raise _no_workspace(root, "Permission denied")
    return Workspace(root)


def _no_workspace(root: Path, reason: str) -> PathError:
    return PathError(
        f"this cannot be the workspace: {reason}; expected a folder to write to. "
        "Name another with --workspace or HALO_WORKSPACE",
        location=str(root),
    )
