"""A file of what a judge said, a line per item: written as it comes, so that a stop loses nothing.

`verdicts.jsonl` and `scores.jsonl` are such files. A stage that goes on takes the lines that still
hold, asks for the others, and puts all of them in order at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from halo_core.stage import StageContext
from halo_core.workspace.formats import LineFile

LineT = TypeVar("LineT", bound=Mapping[str, Any])
SessionT = TypeVar("SessionT")
Lines: TypeAlias = Generator[LineT, None, None]
Pause = Callable[[], None]
"""Raises when the stage is asked to stop."""


@dataclass(frozen=True)
class KeptLines(Generic[LineT]):
    """The file.

    Attributes:
        file: What it is.
        path: Where it is, or will be.
        key: The field of a line that names its item.
        holds: Whether a line that an earlier call left says what would be asked now.
    """

    file: LineFile[LineT]
    path: Path
    key: str
    holds: Callable[[LineT], bool]

    def read(self) -> dict[str, LineT]:
        """Returns item to line, of those that hold; a last line that was cut off is left out.

        Raises:
            DataError: When a line is damaged.
        """
        return {line[self.key]: line for line in self.file.read(self.path) if self.holds(line)}

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
        lines = {item: read[item] for item in items if item in read}
        # Before anything is asked: what does not hold any more would be a second line of its item.
        self.file.write(self.path, lines.values())
        if len(lines) < len(items):
            self._ask(items, lines, opened, ask, context)
            self.file.write(self.path, (lines[item] for item in items))
        return [lines[item] for item in items]

    def _ask(
        self,
        items: Sequence[str],
        lines: dict[str, LineT],
        opened: AbstractContextManager[SessionT],
        ask: Callable[[SessionT, set[str], Pause], Lines[LineT]],
        context: StageContext,
    ) -> None:
        """Adds the lines that are lacking, to the file and to `lines`."""

        def pause() -> None:
            if context.stop.is_set():
                count = f"{len(lines)} of {len(items)} {self.path.stem} are kept"
                context.stop.raise_interrupted(f"{count}; the same command goes on")

        with opened as session, context.progress.bar(context.id, len(items), len(lines)) as bar:
            # Closed before the session is, so that it can wait for what is under way.
            with closing(ask(session, set(items) - lines.keys(), pause)) as more:
                for line in more:
                    self.file.append(self.path, [line])
                    lines[line[self.key]] = line
                    bar.advance()
                    pause()
