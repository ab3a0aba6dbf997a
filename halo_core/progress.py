"""The progress of a stage: bars of its work, and phases around the work.

    with context.progress.phase("loading the model"):
        model = load()
    with context.progress.bar(context.id, steps, done, unit="step") as bar:
        for step in range(done, steps):
            loss = train(step)
            bar.advance(loss=f"{loss:.3f}")

`halo_core.display` shows it: on a terminal as one display, elsewhere as lines. A stage that runs
outside of a run uses `SilentProgress`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Facts = Mapping[str, str] | Callable[[], Mapping[str, str]]
"""Short texts by label, ``{"loss": "0.431", "tokens/s": "12,345"}``, or what returns them."""


class ProgressBar(Protocol):
    """A progress bar that is being shown."""

    def advance(self, amount: int = 1, *, facts: Facts | None = None, **fields: str) -> None:
        """Advances by `amount`. It does not draw, so it can be called in every step.

        Args:
            amount: Number of units that were done.
            facts: Texts to show next to the bar. A function is called in this thread, at most every
                quarter of a second and once at the end of the bar. It must not wait for a device.
            fields: Short texts to show next to the bar by label, in which ``_`` is a space.
        """
        ...


class Progress(Protocol):
    """Makes progress bars. A silent one makes bars that show nothing."""

    def bar(
        self, label: str, total: int, done: int = 0, *, unit: str = ""
    ) -> AbstractContextManager[ProgressBar]:
        """Returns a bar of the stage's work for a `with` statement. Its time left is the stage's.

        Args:
            label: Name of the work, usually the stage's id.
            total: Number of units in all.
            done: Number of units that an earlier call did.
            unit: Name of one unit, such as ``step``.
        """
        ...

    def phase(
        self, label: str, total: int | None = None, *, unit: str = ""
    ) -> AbstractContextManager[ProgressBar]:
        """Returns a bar of a phase before, within or after the work, for a `with` statement.

        Args:
            label: Name of the phase, as in ``loading the model``.
            total: Number of units in all; None if it is not known.
            unit: Name of one unit, such as ``row``.
        """
        ...

    def warn(self, message: str) -> None:
        """Shows a warning without disturbing a bar."""
        ...

    def note(self, message: str) -> None:
        """Shows a fact without disturbing a bar."""
        ...


class SilentProgress:
    """Shows nothing."""

    @contextmanager
    def bar(self, label: str, total: int, done: int = 0, *, unit: str = "") -> Iterator[SilentBar]:
        """Yields a bar that shows nothing."""
        yield SilentBar()

    @contextmanager
    def phase(self, label: str, total: int | None = None, *, unit: str = "") -> Iterator[SilentBar]:
        """Yields a bar that shows nothing."""
        yield SilentBar()

    def warn(self, message: str) -> None:
        """Shows nothing."""

    def note(self, message: str) -> None:
        """Shows nothing."""


class SilentBar:
    """A bar that shows nothing."""

    def advance(self, amount: int = 1, *, facts: Facts | None = None, **fields: str) -> None:
        """Does nothing."""
