"""Makes the folder that a kill in the middle of writing the output of a stage leaves."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import pairwise
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


def journal_of(steps: Sequence[Step]) -> tuple[str, int]:
    """Returns a file of lines that a run wrote before another file, and the number of this step.

    Such a file may be a journal, which a run continues after a kill. A folder in which it ends in
    the middle of a line is that of a run that was killed when it opened the other file.

    Args:
        steps: The steps of a run with the files of its folder, in order.

    Returns:
        The name and the number, from 1, of the step that opens the next file; ("", 0) if there is
        none.
    """
    others = [
        (number, step) for number, step in enumerate(steps, start=1) if step[1] != EVENTS.name
    ]
    for (_, step), (number, following) in pairwise(others):
        if step[0] == following[0] == "open" and step[1] != following[1]:
            return step[1], number
    return "", 0


def cut_journal(folder: Path, name: str, opened: str) -> bool:
    """Cuts the last line of a file of lines, and removes the file that was opened after it.

    Args:
        folder: The folder of a killed run.
        name: The name of the file.
        opened: The name of the other file.

    Returns:
        Whether it is a file of at least two lines, and the other one was empty.
    """
    file, later = folder / name, folder / opened
    if not file.is_file() or (later.is_file() and later.stat().st_size):
        return False
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError:
        return False
    lines = text.split("\n")
    if len(lines) < 3 or lines[-1]:
        return False
    later.unlink(missing_ok=True)
    file.write_text("\n".join([*lines[:-2], lines[-2][: len(lines[-2]) // 2]]), "utf-8")
    return True


__all__ = ["Step", "cut_journal", "half_written", "journal_of"]
