"""The error of the controller if a worker failed or was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.errors import Interrupted, NotFiniteError
from halo_core.run.execute import read_error, write_error

LOST = RuntimeError("Connection closed by peer")


@pytest.mark.parametrize(
    ("code", "name"), [(-9, "SIGKILL"), (137, "SIGKILL"), (-11, "SIGSEGV"), (139, "SIGSEGV")]
)
def test_the_error_of_a_rank_that_lost_a_killed_one_is_not_the_cause(
    code: int, name: str, tmp_path: Path
) -> None:
    write_error(tmp_path, LOST)
    said = str(read_error(tmp_path, code))
    assert f"a worker was ended by {name}, signal {code % 128 if code > 0 else -code}" in said
    assert "Run the same command again to continue from the last checkpoint" in said
    assert "internal error" not in said


def test_an_exit_code_that_no_signal_caused_is_told_as_it_is(tmp_path: Path) -> None:
    assert "a worker ended with exit code 7. Run the same" in str(read_error(tmp_path, 7))


def test_an_error_of_a_rank_is_told_where_no_rank_was_killed(tmp_path: Path) -> None:
    write_error(tmp_path, LOST)
    assert "internal error: RuntimeError: Connection closed" in str(read_error(tmp_path, 1))


def test_an_error_on_purpose_is_told_even_where_a_rank_was_killed(tmp_path: Path) -> None:
    write_error(tmp_path, NotFiniteError("not a number: the loss"))
    assert str(read_error(tmp_path, 137)) == "not a number: the loss"


def test_a_rank_that_is_ended_because_another_was_killed_was_not_asked_to_stop(
    tmp_path: Path,
) -> None:
    write_error(tmp_path, Interrupted("stopped", signal_number=15))
    assert "a worker was ended by SIGKILL, signal 9; it was killed" in str(
        read_error(tmp_path, 137)
    )
    assert str(read_error(tmp_path, 143)) == "stopped"
