"""Every command that takes a run says that an empty name is empty, wherever it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from halo_core.cli.group import LazyGroup
from halo_core.cli.run_names import RunName
from halo_core.errors import PathError
from halo_core.workspace.find_model import find_model
from halo_core.workspace.layout import find

Place = tuple[str, ...]


def commands(group: click.Group, place: Place = ()) -> Iterator[tuple[Place, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*place, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*place, name))


def taking_runs() -> list[tuple[Place, click.Command, click.Parameter]]:
    return [
        (place, command, parameter)
        for place, command in commands(LazyGroup("halo"))
        for parameter in command.params
        if "RUN" in str(parameter.metavar)
    ]


def call_of(place: Place, command: click.Command, empty: click.Parameter, name: str) -> list[str]:
    """Returns a call whose other required arguments are given."""
    words = list(place)
    if isinstance(empty, click.Option):
        words += [empty.opts[0], name]
    for parameter in command.params:
        if isinstance(parameter, click.Argument) and (parameter is empty or parameter.required):
            words.append(name if parameter is empty else "given")
    return words


def test_all_commands_with_runs_are_known() -> None:
    found = {" ".join(place) for place, _, _ in taking_runs()}
    shown = {"runs show", "runs diff", "runs rm", "runs rename", "runs note"}
    assert found >= shown | {"verify", "sync", "join", "compare", "report", "export"}
    others = [" ".join(place) for place, _, each in taking_runs() if type(each.type) is not RunName]
    assert others == []


@pytest.mark.parametrize("name", ["", " "])
@pytest.mark.parametrize("there", [True, False])
def test_an_empty_name_is_told_by_every_command(
    halo: Callable[..., Any], made: Any, tmp_path: Path, name: str, there: bool
) -> None:
    made.run("only", [])  # All names begin with an empty one.
    workspace = made.root if there else tmp_path / "none"
    for place, command, parameter in taking_runs():
        words = call_of(place, command, parameter, name)
        ran = halo(*words, env={"HALO_WORKSPACE": str(workspace)})
        assert ran.code == 2, words
        told = (
            f"{_shown(parameter)}: the name is empty; expected the name or the folder of a run, "
            "which halo runs shows. A variable of the shell may not be set"
        )
        assert told in " ".join(ran.err.split()), words
        assert "workspace" not in ran.err, words


def _shown(parameter: click.Parameter) -> str:
    return parameter.human_readable_name.strip("[].")


def test_an_empty_name_finds_no_run(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made.run("only", [])
    assert find("o", made.root).folder.name == "only"
    monkeypatch.chdir(folder if isinstance(folder, Path) else made.root / "runs" / "only")
    for name in ("", "  "):
        with pytest.raises(PathError, match="the name is empty"):
            find(name, made.root)
    with pytest.raises(PathError, match="the name is empty"):
        find(":kto", made.root, stages=True)
    with pytest.raises(PathError, match="the name is empty"):
        find_model(":kto", made.root)
