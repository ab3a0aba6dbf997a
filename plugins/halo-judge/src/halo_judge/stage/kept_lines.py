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
        found = {item: read[item] for item in items if item in read}
        self.file.write(self.path, found.values())
        if len(found) < len(items):
            self._ask(items, found, opened, ask, context)
            self.file.write(self.path, (found[item] for item in items))
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
                    self.file.append(self.path, [line])
                    found[line[self.key]] = line
                    bar.advance()
                    pause()
