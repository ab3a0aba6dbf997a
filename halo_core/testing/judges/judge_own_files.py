"""Checks that a judge continues after a kill in the middle of a line of its own files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from halo_core.errors import HaloError, PluginError
from halo_core.judge import Comparison, Judge, JudgeContext
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.processes.effects import WRITES, watching

FEWEST = 2
"""Smallest number of lines of a file whose last line is cut."""


@contextmanager
def written_in_place(context: JudgeContext) -> Iterator[Callable[[], Sequence[Path]]]:
    """Yields a function that returns the files that a block opens to write into them.

    A draft that replaces a file is gone then, so the file is never half written.

    Args:
        context: The context of the session. Only files of its folders count.
    """
    opened: dict[Path, None] = {}
    folders = [each.resolve() for each in (context.folder, context.shared)]

    def take(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
            if isinstance(arguments[0], str | bytes | os.PathLike):
                opened[Path(os.path.realpath(os.fsdecode(arguments[0])))] = None

    with watching(take):
        yield lambda: [
            path for path in opened if path.is_file() and any(map(path.is_relative_to, folders))
        ]


def check_cut_line(
    judge: Judge,
    context: JudgeContext,
    files: Sequence[Path],
    asked: Sequence[Comparison],
    winners: Mapping[str, Any],
) -> None:
    """Cuts the last line of each file of lines, and asks the judge again.

    Args:
        judge: The judge.
        context: The context of the first session, whose files are cut.
        files: The files that were written in place.
        asked: The comparisons of the first session.
        winners: The winners by their ids.

    Raises:
        AssertionError: When the next session raises anything but an error of halo, or decides
            otherwise.
    """
    cut = [path.name for path in files if _cut(path)]
    if not cut:
        return
    what = f"a session after a kill in the middle of a line of {', '.join(cut)}"
    again: dict[str, Any] = {}
    with must_not_raise(judge, what):
        try:
            with judge.open(context) as session:
                again = {each.id: each.winner for each in session.compare(asked)}
        except PluginError:
            raise
        except HaloError:
            return  # It says what to do.
    other = [id_ for id_ in winners if again.get(id_) != winners[id_]]
    expect(
        not other,
        judge,
        f"{what} decides {again.get(other[0]) if other else ''!r} about {other[:1]}, and not "
        "as before. A line without an end is not complete: leave it out, and end it",
    )


def _cut(path: Path) -> bool:
    """Cuts a half of the last line of a text file, if it has several lines."""
    try:
        lines = path.read_bytes().decode("utf-8").splitlines(keepends=True)
    except UnicodeDecodeError:
        return False
    if len(lines) < FEWEST or not lines[-1].endswith("\n") or len(lines[-1]) < FEWEST:
        return False
    path.write_bytes("".join([*lines[:-1], lines[-1][: len(lines[-1]) // 2]]).encode("utf-8"))
    return True


__all__ = ["check_cut_line", "written_in_place"]
