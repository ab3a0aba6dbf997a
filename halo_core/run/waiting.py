"""Waits for other processes of the workspace, and shows it, until the run is asked to stop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from halo_core.display.board import Board
from halo_core.stop_flag import StopFlag
from halo_core.workspace.lock import owned, turn, wait_for_owner

GO_ON = "run the same command again to continue from there"
NOTHING_LOST = f"nothing was lost; {GO_ON}"


class Waiting:
    """Takes the locks of folders. While another process holds one, it says so and waits.

    Args:
        board: Shows the wait.
        stop: The flag that a signal handler sets. It ends a wait.
    """

    def __init__(self, board: Board, stop: StopFlag) -> None:
        self._board = board
        self._stop = stop

    def check(self) -> None:
        """Raises an error if the run is asked to stop.

        Raises:
            Interrupted: When it is.
        """
        if self._stop.is_set():
            self._stop.raise_interrupted(NOTHING_LOST)

    @contextmanager
    def owned(self, folder: Path, waits: str) -> Iterator[None]:
        """Owns a run's folder, and says `waits` if another process works there."""
        with (
            ExitStack() as wait,
            owned(folder, first=lambda: self._show(wait, waits), check=self.check),
        ):
            wait.close()
            yield

    @contextmanager
    def turn(self, folder: Path, waits: str) -> Iterator[None]:
        """Has the turn to compute a stage, and says `waits` if another process has it."""
        with (
            ExitStack() as wait,
            turn(folder, first=lambda: self._show(wait, waits), check=self.check),
        ):
            wait.close()
            yield

    def until_unowned(self, folder: Path, waits: str) -> None:
        """Returns when no process owns a folder, and says `waits` if one does."""
        with ExitStack() as wait:
            wait_for_owner(folder, first=lambda: self._show(wait, waits), check=self.check)

    def _show(self, wait: ExitStack, waits: str) -> None:
        self._board.say(waits)
        wait.enter_context(self._board.phase("waiting for another process"))
