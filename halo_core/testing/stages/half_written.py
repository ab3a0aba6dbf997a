"""Makes the folder that a kill in the middle of writing the output of a stage leaves."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from halo_core.guarded.stage_calls import PROMISED
from halo_core.stage import Stage
from halo_core.workspace.records import EVENTS

Step = tuple[str, ...]
"""A step of a run with a file of its folder: ``("open", name)`` or ``("rename", old, new)``."""


def half_written(stage: Stage, done: Path, folder: Path, steps: Sequence[Step]) -> str:
    """Writes the folder of a run that was killed while it wrote the lines of its output.

    This is the folder of a whole run, in which the output, or the draft that was renamed to it,
    ends in the middle of a line. It is not made if the run opened another file later, whose content
    would then be from the future.

    Args:
        stage: The stage.
        done: The folder of a whole run.
        folder: The new folder.
        steps: The steps of this run with the files of its folder, in order.

    Returns:
        The name of the file that ends too early; "" if no folder is made.
    """
    name = PROMISED[stage.produces]
    opened = [step[1] for step in steps if step[0] == "open" and step[1] != EVENTS.name]
    written = next((s[1] for s in reversed(steps) if s[0] == "rename" and s[2] == name), name)
    if not (done / name).is_file() or not opened or opened[-1] != written:
        return ""
    lines = (done / name).read_text("utf-8").splitlines(keepends=True)
    if len(lines) < 2:
        return ""
    whole, cut = lines[: len(lines) // 2], lines[len(lines) // 2]
    left = [name, EVENTS.name, written]
    shutil.copytree(done, folder, ignore=lambda _, names: [n for n in names if n in left])
    (folder / written).write_text("".join(whole) + cut[: len(cut) // 2], "utf-8")
    return written


__all__ = ["Step", "half_written"]
