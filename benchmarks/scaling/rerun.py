"""Makes a finished run with the events of many steps, from a run of a few steps."""

from __future__ import annotations

import json
from pathlib import Path

from halo_core.cli import call
from halo_core.workspace.files import append_lines


def make_finished_run(spec: Path, workspace: Path, steps: int) -> None:
    """Runs a spec and repeats its last point in the events of its run and its stage.

    Args:
        spec: A spec with one training that logs each step.
        workspace: An empty workspace.
        steps: Number of the last step.
    """
    if code := call(["run", str(spec), "--workspace", str(workspace)]):
        raise SystemExit(f"the run ended with {code}")
    for events in workspace.glob("*/*/events.jsonl"):
        _lengthen(events, steps)


def _lengthen(path: Path, steps: int) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["crc"]
    last = max(i for i, line in enumerate(lines) if line["type"] == "metrics")
    point = lines[last]
    more = [
        {**point, "step": step, "time": point["time"] + 0.01 * (step - point["step"])}
        for step in range(point["step"] + 1, steps + 1)
    ]
    path.unlink()
    append_lines(path, [*lines[: last + 1], *more, *lines[last + 1 :]])
