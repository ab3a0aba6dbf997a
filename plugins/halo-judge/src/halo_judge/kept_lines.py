"""A file of what a judge said, a line per item: written as it comes, so that a stop loses nothing.

`verdicts.jsonl` and `scores.jsonl` are such files. A stage that goes on takes the lines that still
hold, asks for the others, and puts all of them in order at the end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from halo_core.stage import StageContext
from halo_core.workspace.files import write_text

LineT = TypeVar("LineT", bound=Mapping[str, Any])
SessionT = TypeVar("SessionT")
Lines: TypeAlias = Generator[LineT, None, None]
Pause = Callable[[], None]
"""Raises when the stage is asked to stop."""


@dataclass(frozen=True)
class KeptLines(Generic[LineT]):
    """The file.

    Attributes:
        path: Where it is, or will be.
        key: The field of a line that names its item.
        holds: Whether a line that an earlier call left says what would be asked now.
    """

    path: Path
    key: str
    holds: Callable[[LineT], bool]

    def read(self) -> dict[str, LineT]:
        """Returns item to line, of those that hold; a last line that was cut off is left out."""
        if not self.path.exists():
            return {}
        whole_lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]
        lines: list[LineT] = [json.loads(line) for line in whole_lines]
        return {line[self.key]: line for line in lines if self.holds(line)}

    def append(self, line: LineT) -> None:
        """Appends a whole line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_text(line))

    def write(self, lines: Iterable[LineT]) -> None:
        """Writes all lines, beside the file's place, and renames."""
        write_lines(self.path, lines)

    def complete(
        self,
        items: Sequence[str],
        opened: AbstractContextManager[SessionT],
        ask: Callable[[SessionT, set[str], Pause], Lines[LineT]],
        context: StageContext,
    ) -> list[LineT]:
        """Returns the line of each item, in their order; asks for those that the file lacks.

        Args:
            items: Their names, which are different.
            opened: The judge's session, entered only where something is to be asked.
            ask: Yields the lines of those items that it is given.
            context: The stage's.

        Raises:
            Interrupted: When asked to stop; what was said is kept.
        """
        read = self.read()
        found = {item: read[item] for item in items if item in read}
        self.write(found.values())
        if len(found) < len(items):
            self._ask(items, found, opened, ask, context)
            self.write(found[item] for item in items)
        return [found[item] for item in items]

    def _ask(
        self,
        items: Sequence[str],
        found: dict[str, LineT],
        opened: AbstractContextManager[SessionT],
        ask: Callable[[SessionT, set[str], Pause], Lines[LineT]],
        context: StageContext,
    ) -> None:
        """Adds the lines that are lacking, to the file and to `found`."""

        def pause() -> None:
            if context.stop.is_set():
                kept = f"{len(found)} of {len(items)} {self.path.stem} are kept"
                context.stop.raise_interrupted(f"{kept}; the same command goes on")

        with opened as session, context.progress.bar(context.id, len(items), len(found)) as bar:
            # Closed before the session is, so that it can wait for what is under way.
            with closing(ask(session, set(items) - found.keys(), pause)) as lines:
                for line in lines:
                    self.append(line)
                    found[line[self.key]] = line
                    bar.advance()
                    pause()


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Writes a file of lines, beside its place, and renames it."""
    write_text(path, "".join(map(_text, lines)))


def _text(line: Mapping[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"
