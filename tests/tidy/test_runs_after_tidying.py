"""Runs before and after `halo runs gc` and `rm`: nothing that is kept is computed again."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.errors import BusyError, PathError
from halo_core.run import controller
from halo_core.suite.state import SuiteFolder
from halo_core.workspace.lock import locked


def result(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    assert call([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_kept_run_is_verified_and_computes_nothing_again(
    spec_file: Path, made: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    other = ["run", str(spec_file), "--set", "stages.learn.loss.beta=0.3"]
    first = result(["run", str(spec_file)], capsys)
    second = result(other, capsys)
    result(["runs", "rm", second["run"], "--yes"], capsys)
    result(["runs", "gc", "--checkpoints", "--caches", "--yes"], capsys)
    assert result(["verify", "--all"], capsys)["damaged"] == []
    again = result(["run", str(spec_file)], capsys)
    assert again["run"] == first["run"]
    assert {stage["status"] for stage in again["stages"]} == {"cached"}
    # The stages of the removed run alone are computed again.
    assert {stage["status"] for stage in result(other, capsys)["stages"]} == {"computed"}


def test_a_run_that_begins_waits_while_stages_are_moved_and_then_computes_them(
    spec_file: Path,
    made: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The stages are in the store when the run is planned, and gone when it records its needs."""
    run = result(["run", str(spec_file)], capsys)["run"]
    write_run = controller.write_run

    def removed_before(*arguments: Any) -> None:
        with pytest.raises(BusyError), locked(made.root / "needs", "held by the run"):
            pass
        for stage in (made.root / "stages").iterdir():
            if stage.is_dir():
                stage.rename(made.root / stage.name)
        write_run(*arguments)

    monkeypatch.setattr(controller, "write_run", removed_before)
    again = result(["run", str(spec_file)], capsys)
    assert again["run"] == run
    assert {stage["status"] for stage in again["stages"]} == {"computed"}


def test_a_suite_that_is_removed_while_it_runs_ends_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="the suite was removed while it was running"):
        SuiteFolder(SimpleNamespace(folder=tmp_path)).read()  # type: ignore[arg-type]
