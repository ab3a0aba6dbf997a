"""The folders of a workspace, and JSON files that are whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_core.errors import PathError


def write_json(path: Path, tree: Any) -> None:
    """Writes a JSON file beside its place and renames it, so that it is never half there."""
    write_text(path, json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file beside its place and renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def read_json(path: Path) -> Any:
    """Returns what a JSON file holds, or None where there is no file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


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


def stage_done(folder: Path) -> Mapping[str, Any] | None:
    """Returns ``{"metrics", "headline"}`` of a finished stage, or None."""
    done: Mapping[str, Any] | None = read_json(folder / "done.json")
    return done
