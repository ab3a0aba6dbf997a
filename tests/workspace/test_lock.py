"""Locks between processes."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path

import pytest

from halo_core.errors import BusyError, Interrupted
from halo_core.stage import StopFlag
from halo_core.workspace.lock import awaited, held, locked


def test_a_folder_that_is_locked_is_busy(tmp_path: Path) -> None:
    with locked(tmp_path / "a", "x"):
        with pytest.raises(BusyError, match="being worked on"):
            with locked(tmp_path / "a", "being worked on"):
                pass
    with locked(tmp_path / "a", "x"):
        pass


def test_waiting_goes_on_when_the_lock_is_free_and_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []

    def hold() -> None:
        with held(tmp_path / "a"):
            taken.set()
            time.sleep(0.5)

    taken = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    with awaited(tmp_path / "a", first=lambda: told.append("waits"), check=lambda: None):
        assert told == ["waits"]
    thread.join()


def test_waiting_ends_when_asked_to_stop(tmp_path: Path) -> None:
    check = partial(StopFlag().raise_interrupted, "nothing was lost")
    with held(tmp_path / "a"):
        with pytest.raises(Interrupted, match="nothing was lost"):
            with awaited(tmp_path / "a", first=lambda: None, check=check):
                pass
