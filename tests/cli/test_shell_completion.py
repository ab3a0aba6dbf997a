"""A shell completes commands, options and names of runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from halo_core.cli.run_names import run_names
from halo_core.cli.runs.show import show
from halo_core.overview.titles import rename
from halo_core.workspace.layout import find

HALO = [
    sys.executable,
    "-c",
    "import sys; sys.argv[0] = 'halo'; from halo_core.cli import main; main()",
]


def completed(**variables: str) -> str:
    environment = {**os.environ, **variables}
    done = subprocess.run(HALO, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell_is_printed(shell: str) -> None:
    script = completed(_HALO_COMPLETE=f"{shell}_source")
    assert "_halo_completion" in script
    assert f"_HALO_COMPLETE={shell}_complete" in script


def test_commands_are_completed() -> None:
    found = completed(_HALO_COMPLETE="bash_complete", COMP_WORDS="halo ru", COMP_CWORD="1")
    assert found.split() == ["plain,run", "plain,runs"]


def test_names_of_runs_are_completed(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("toy-a1", "toy-b2", "odd-c3"):
        made.run(name, [])
    rename(find("odd", made.root), "tops")
    context = click.Context(show)
    argument = show.params[0]
    assert run_names(context, argument, "to") == ["tops", "toy-a1", "toy-b2"]
    monkeypatch.setenv("HALO_WORKSPACE", str(tmp_path / "none"))
    assert run_names(context, argument, "") == []
    context.params["workspace"] = str(made.root)
    assert run_names(context, argument, "odd") == ["odd-c3"]
