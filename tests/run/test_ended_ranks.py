"""A worker among several that fails is named with rank, machine, signal and line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from halo_core.errors import PluginError, UserError
from halo_core.run.ended_ranks import crashes_noted, write_death
from halo_core.run.execute import read_error, write_error
from halo_core.workspace.records import ERROR

HOST = socket.gethostname()


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")


def raised() -> RuntimeError:
    try:
        raise RuntimeError("shape '[3]' is invalid")
    except RuntimeError as error:
        return error


@pytest.mark.usefixtures("second_of_two")
def test_an_internal_error_names_the_rank_and_the_line(tmp_path: Path) -> None:
    write_error(tmp_path, raised())
    line = raised.__code__.co_firstlineno + 2
    assert str(read_error(tmp_path, 1)) == (
        f"{tmp_path}: internal error of rank 1 of 2 (process {os.getpid()} on {HOST}): "
        f"RuntimeError: shape '[3]' is invalid, at {__file__}:{line}; the traceback is in "
        "error.json"
    )


@pytest.mark.usefixtures("second_of_two")
def test_a_plugins_error_names_the_rank_and_a_users_mistake_does_not(tmp_path: Path) -> None:
    write_error(tmp_path, PluginError("acme/odd raised KeyError", location="odd.py:3"))
    told = f"odd.py:3: acme/odd raised KeyError (in rank 1 of 2 (process {os.getpid()} on {HOST}))"
    assert str(read_error(tmp_path, 3)) == told
    write_error(tmp_path, UserError("the data are empty"))
    assert str(read_error(tmp_path, 2)) == "the data are empty"


def test_a_process_that_works_alone_has_no_rank(tmp_path: Path) -> None:
    write_error(tmp_path, raised())
    assert str(read_error(tmp_path, 1)).startswith(f"{tmp_path}: internal error: RuntimeError: ")


@pytest.mark.usefixtures("second_of_two")
@pytest.mark.parametrize("code", [1, 137])
def test_a_killed_rank_is_the_cause_of_the_errors_of_others(code: int, tmp_path: Path) -> None:
    write_error(tmp_path, RuntimeError("Connection closed by peer"))
    write_death(tmp_path, rank=3, processes=4, process=77, number=signal.SIGKILL)
    assert str(read_error(tmp_path, code)) == (
        f"{tmp_path}: rank 3 of 4 (process 77 on {HOST}) was ended by SIGKILL, signal 9; it was "
        "killed, possibly because memory ran out. Run the same command again to continue from the "
        "last checkpoint"
    )


def test_the_line_of_a_crash_is_told(tmp_path: Path) -> None:
    script = tmp_path / "crash.py"
    script.write_text(
        "import os, pathlib, signal\n"
        "from halo_core.run.ended_ranks import crashes_noted\n"
        f"with crashes_noted(pathlib.Path({str(tmp_path)!r})):\n"
        "    os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    environment = os.environ | {"RANK": "1", "WORLD_SIZE": "2"}
    done = subprocess.run([sys.executable, str(script)], env=environment, check=False)
    assert done.returncode == -signal.SIGSEGV
    write_death(tmp_path, rank=1, processes=2, process=77, number=signal.SIGSEGV)
    record = ERROR.read(tmp_path)
    assert record is not None
    assert record["worker"]["place"] == f"{script}:4"
    assert f"was ended by SIGSEGV, signal 11 at {script}:4. Run" in str(read_error(tmp_path, 139))
    assert not list(tmp_path.glob(".crash-*"))


@pytest.mark.usefixtures("second_of_two")
def test_a_process_that_ends_by_itself_leaves_no_note(tmp_path: Path) -> None:
    with crashes_noted(tmp_path):
        assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.iterdir())
