"""Progress on stderr: bars on a terminal, occasional lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

LINE_EVERY_S = 10.0


class ProgressBar(Protocol):
    """A progress bar that is being shown."""

    def advance(self, amount: int = 1, **fields: str) -> None:
        """Advances by `amount`. `fields` are short texts to show next to it (loss, tok/s)."""
        ...


class Progress(Protocol):
    """Makes progress bars. A silent one makes bars that show nothing."""

    def bar(self, label: str, total: int, done: int = 0) -> AbstractContextManager[ProgressBar]:
        """Returns a bar for a `with` statement."""
        ...

    def warn(self, message: str) -> None:
        """Shows a warning without disturbing a bar."""
        ...


class SilentProgress:
    """Shows nothing."""

    @contextmanager
    def bar(self, label: str, total: int, done: int = 0) -> Iterator[ProgressBar]:
        """Yields a bar that shows nothing."""
        yield _Silent()

    def warn(self, message: str) -> None:
        """Shows nothing."""


class _Silent:
    def advance(self, amount: int = 1, **fields: str) -> None:
        pass


class LineProgress:
    """Prints a line when a bar starts and ends, and every ten seconds between."""

    @contextmanager
    def bar(self, label: str, total: int, done: int = 0) -> Iterator[ProgressBar]:
        """Yields a bar that prints lines."""
        bar = _Lines(label, total, done)
        yield bar
        bar.show()

    def warn(self, message: str) -> None:
        """Prints a warning."""
        print(f"warning: {message}", file=sys.stderr, flush=True)


class _Lines:
    def __init__(self, label: str, total: int, done: int) -> None:
        self.label, self.total, self.done = label, total, done
        self.fields: dict[str, str] = {}
        self.shown = time.monotonic()

    def advance(self, amount: int = 1, **fields: str) -> None:
        self.done += amount
        self.fields.update(fields)
        if time.monotonic() - self.shown >= LINE_EVERY_S:
            self.show()

    def show(self) -> None:
        self.shown = time.monotonic()
        texts = "  ".join(f"{name} {text}" for name, text in self.fields.items())
        line = f"  {self.label}  {self.done}/{self.total}  {texts}"
        print(line.rstrip(), file=sys.stderr, flush=True)


class RichProgress:
    """Shows a bar with the time left, for terminals."""

    @contextmanager
    def bar(self, label: str, total: int, done: int = 0) -> Iterator[ProgressBar]:
        """Yields a bar drawn by rich."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress as Bars,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("  {task.description:<16}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[texts]}", style="dim"),
        )
        with Bars(*columns, console=Console(stderr=True)) as bars:
            yield _Rich(bars, bars.add_task(label, total=total, completed=done, texts=""))

    def warn(self, message: str) -> None:
        """Prints a warning above the bar."""
        print(f"warning: {message}", file=sys.stderr, flush=True)


class _Rich:
    def __init__(self, bars: object, task: int) -> None:
        self.bars, self.task = bars, task
        self.fields: dict[str, str] = {}

    def advance(self, amount: int = 1, **fields: str) -> None:
        self.fields.update(fields)
        texts = "  ".join(f"{name} {text}" for name, text in self.fields.items())
        self.bars.update(self.task, advance=amount, texts=texts)  # type: ignore[attr-defined]


def stderr_progress() -> Progress:
    """Returns bars on a terminal, lines elsewhere."""
    return RichProgress() if sys.stderr.isatty() else LineProgress()
