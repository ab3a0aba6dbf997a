"""Paths on the command line and in specs: an address is refused, and its password is not shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from halo_core.cli.group import halo as group
from halo_core.cli.local_path import LocalPath

Halo = Callable[..., Any]

ADDRESS = "https://ann:sesame@example.org/rows.jsonl?X-Amz-Signature=pepper"
PATH_WORDS = {"DIR", "FILE", "FOLDER", "PATH", "SAMPLES", "SPEC"}


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _commands(found, f"{name} {inner}")
    yield name, command


def _refused(halo: Halo, words: tuple[str, ...]) -> str:
    """Returns what a command says that is refused. It has no part of a password or signature."""
    result = halo(*words)
    shown = str(result.out + result.err)
    assert result.code == 2
    assert "sesame" not in shown
    assert "pepper" not in shown
    return shown


def test_every_path_of_a_command_refuses_addresses() -> None:
    others = [
        f"{name}: {param.human_readable_name}"
        for name, command in _commands(group, "halo")
        for param in command.params
        if isinstance(param.type, click.Path)
        or (param.human_readable_name if param.metavar is None else param.metavar).strip("[].")
        in PATH_WORDS
        if not isinstance(param.type, LocalPath)
    ]
    # It reads HALO_FILES in the same form, and refuses folders that do not exist.
    assert [each for each in others if not each.endswith("allow_file")] == []


@pytest.mark.parametrize(
    "words",
    [
        ("run", ADDRESS),
        ("run", "spec.yaml", "--workspace", ADDRESS),
        ("doctor", ADDRESS, "--json"),
        ("init", ADDRESS),
        ("data", "jsonl", "--set", f"path={ADDRESS}"),
        ("inspect", "kto", "--out", ADDRESS),
        ("judge", "--a", ADDRESS, "--b", "target", "--judge", "longest"),
        ("label", "--of", ADDRESS, "--judge", "longest", "--out", "x.jsonl"),
        ("label", "--of", "x.jsonl", "--judge", "longest", "--out", "s3://bucket/x.jsonl"),
        ("check", f"file:{ADDRESS}:Loss"),
        ("plugins", "show", f"file:{ADDRESS}:Loss"),
    ],
    ids=lambda words: " ".join(words).replace(ADDRESS, "ADDRESS"),
)
def test_an_address_is_no_path(
    words: tuple[str, ...], halo: Halo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = _refused(halo, words)
    assert "is an address; expected the path of a file or folder on this machine" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ("report", ADDRESS),
        ("runs", "show", ADDRESS, "--json"),
        ("plugins", "install", ADDRESS),
        ("inspect", ADDRESS),
        ("ui", ADDRESS),
        ("run", "spec.yaml", "--allow-file", ADDRESS),
        ("report", ADDRESS, "--debug"),
    ],
    ids=lambda words: " ".join(words).replace(ADDRESS, "ADDRESS"),
)
def test_errors_do_not_repeat_a_password(
    words: tuple[str, ...], halo: Halo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "***" in _refused(halo, words)


@pytest.mark.parametrize(
    "words",
    [
        ("run", ""),
        ("run", "spec.yaml", "--workspace", ""),
        ("data", "jsonl", "--set", "path=''"),
        ("label", "--of", "x.jsonl", "--judge", "longest", "--out", ""),
    ],
    ids=lambda words: " ".join(words),
)
def test_an_empty_path_is_not_the_current_folder(
    words: tuple[str, ...], halo: Halo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = halo(*words)
    assert result.code == 2
    assert "is empty; expected a path" in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_name_looks_like_an_address_is_used(
    halo: Halo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:" / "runs").mkdir(parents=True)
    result = halo("runs", "--workspace", "s3:/runs")
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ("run", "{}.yaml"),
        ("runs", "--workspace", "{}"),
        ("init", "{}.yaml"),
        ("data", "jsonl", "--set", "path=folder"),
        ("data", "jsonl", "--set", "path=folder/*.jsonl"),
        ("plan", "{}/spec.yaml"),
        ("label", "--of", "x", "--judge", "longest", "--out", "{}.jsonl"),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_path_that_is_not_utf8_is_refused(
    words: tuple[str, ...], halo: Halo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"b\xff")
    Path("folder").mkdir()
    row = '{"prompt": "a", "chosen": "b", "rejected": "c"}\n'
    Path("folder", f"{name}.jsonl").write_text(row, encoding="utf-8")
    result = halo(*(word.format(name) for word in words))
    assert result.code == 2
    problem = "the byte 0xff of this path is not UTF-8 text; rename the file or folder"
    assert problem in result.err


def test_a_spec_in_a_folder_that_is_not_utf8_is_refused(halo_in: Halo, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"b\xff")
    folder.mkdir()
    (folder / "spec.yaml").write_text("name: a\n", encoding="utf-8")
    for words in (("run", "spec.yaml"), ("validate", "spec.yaml")):
        result = halo_in(folder, *words)
        assert (result.code, "not UTF-8 text" in result.err) == (2, True)
