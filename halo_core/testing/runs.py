"""Runs a spec in a process of its own, as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_core.supervised import run_supervised
from halo_core.workspace.records import EVENTS, SPEC, EventLine

RUN_S = 300.0
"""Seconds after which a run is ended."""


@dataclass(frozen=True)
class SpecRun:
    """The result of `halo run` with a spec.

    Attributes:
        code: The exit code: 0 if the run is done.
        answer: The JSON object that the command printed.
        said: The text on stderr.
        workspace: The workspace.
    """

    code: int
    answer: Mapping[str, Any]
    said: str
    workspace: Path

    @property
    def folder(self) -> Path:
        """The folder of the run.

        Raises:
            AssertionError: When the run did not begin; the message has the errors.
        """
        runs = sorted((self.workspace / "runs").glob("*/"))
        if len(runs) != 1:
            raise AssertionError(f"the workspace has {len(runs)} runs; expected one: {self.answer}")
        return runs[0]

    def events(self, type_: str = "") -> Iterator[EventLine]:
        """Yields the events of the run.

        Args:
            type_: If it is given, only events of this type.
        """
        for event in EVENTS.read(self.folder / EVENTS.name):
            if type_ in ("", event["type"]):
                yield event


def run_spec(folder: Path, text: str, *, options: Sequence[str] = ()) -> SpecRun:
    """Returns the result of `halo run` with a spec, after writing it to ``FOLDER/spec.yaml``.

    The workspace is ``FOLDER/workspace``, so that a second call with the same folder and spec finds
    the results of the first one. Components in Python files of the folder are allowed. Installed
    plugins are found as always. No GPU is used.

    Args:
        folder: A folder, such as pytest's `tmp_path`.
        text: The spec, as YAML.
        options: Further options of `halo run`, such as ``["--again", "learn"]``.

    Raises:
        subprocess.TimeoutExpired: When the run takes more than `RUN_S` seconds.
    """
    spec, workspace = folder / SPEC, folder / "workspace"
    spec.write_text(text, "utf-8")
    command = [sys.executable, "-m", "halo_core.cli", "run", str(spec), "--json"]
    command += ["--workspace", str(workspace), "--allow-file", str(folder), *options]
    # The other process imports from where this one does.
    path = os.pathsep.join(place for place in sys.path if place)
    done = run_supervised(
        command,
        timeout=RUN_S,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": path},
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {}
    return SpecRun(done.returncode, answer, done.stderr, workspace)


__all__ = ["SpecRun", "run_spec"]
