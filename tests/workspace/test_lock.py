"""Locks between processes."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path

import pytest

from halo_core.errors import BusyError, Interrupted
from halo_core.stage import StopFlag
from halo_core.workspace import lock
from halo_core.workspace.lock import locked, owned, turn, unused, wait_for_owner
from halo_core.workspace.records import OWNER


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
        with turn(tmp_path / "a", first=lambda: None, check=lambda: None):
            taken.set()
            assert waited_for.wait(120)

    def first() -> None:
        told.append("waits")
        waited_for.set()

    taken, waited_for = threading.Event(), threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    with turn(tmp_path / "a", first=first, check=lambda: None):
        assert told == ["waits"]
    thread.join()


def test_waiting_ends_when_asked_to_stop(tmp_path: Path) -> None:
    check = partial(StopFlag().raise_interrupted, "nothing was lost")
    with turn(tmp_path / "a", first=lambda: None, check=lambda: None):
        with pytest.raises(Interrupted, match="nothing was lost"):
            with turn(tmp_path / "a", first=lambda: None, check=check):
                pass


def test_an_owner_is_named_with_the_command_that_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "PATIENCE_S", 0.3)
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    told: list[str] = []
    with owned(tmp_path):
        with pytest.raises(BusyError) as busy:
            with owned(tmp_path, first=lambda: told.append("waits")):
                pass
        me = os.getpid()
        assert str(busy.value) == (
            f"{tmp_path}: process {me} on here is working in this folder and did not end within "
            f"0 s. Wait for it, or end it with: kill -9 {me}. Nothing that it saved is lost"
        )
        assert (busy.value.exit_code, told) == (2, ["waits"])
        monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
        with pytest.raises(BusyError, match=f"end it with: ssh here kill -9 {me}"):
            wait_for_owner(tmp_path)
    assert OWNER.read(tmp_path) is None
    wait_for_owner(tmp_path)


def test_an_owner_whose_record_is_damaged_is_waited_for_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "PATIENCE_S", 0.0)
    with owned(tmp_path):
        (tmp_path / OWNER.name).write_text("{")
        with pytest.raises(BusyError, match="another process is working in this folder"):
            wait_for_owner(tmp_path)


def test_waiting_for_an_owner_ends_when_asked_to_stop(tmp_path: Path) -> None:
    check = partial(StopFlag().raise_interrupted, "nothing was lost")
    with owned(tmp_path), pytest.raises(Interrupted, match="nothing was lost"):
        wait_for_owner(tmp_path, check=check)


def test_a_stage_that_another_run_computes_is_not_removed(tmp_path: Path) -> None:
    with turn(tmp_path / "a", first=lambda: None, check=lambda: None):
        with pytest.raises(BusyError, match="another run computes it"):
            with unused(tmp_path / "a", "another run computes it"):
                pass
