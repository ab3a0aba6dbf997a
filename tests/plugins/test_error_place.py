"""The place of an error is a line of the plugin, also if another package raised it."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from halo_core.plugins.error_place import raised_at

CALLS = """
import json, pathlib, re
import numpy
from halo_core.errors import did_you_mean

def helped():
    json.loads("{")

def as_json(): json.loads("{")
def as_path(): pathlib.Path("/nowhere/at/all").read_text()
def as_pattern(): re.compile("(")
def as_array(): numpy.zeros(3).reshape(2)
def as_core(): did_you_mean(1, [2])
def as_key(): {}["a"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def place(module: str, function: str) -> str:
    with pytest.raises((KeyError, OSError, TypeError, ValueError, re.error)) as caught:
        getattr(importlib.import_module(module), function)()
    return raised_at(caught.tb.tb_next, "nowhere")


@pytest.mark.parametrize(
    ("function", "line"),
    [
        ("as_json", 9),
        ("as_path", 10),
        ("as_pattern", 11),
        ("as_array", 12),
        ("as_core", 13),
        ("as_key", 14),
    ],
)
def test_errors_of_libraries_have_the_line_that_called_them(
    function: str, line: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "acme_calls.py").write_text(CALLS)
    monkeypatch.delitem(sys.modules, "acme_calls", raising=False)
    assert place("acme_calls", function) == f"{folder / 'acme_calls.py'}:{line}"


def test_a_helper_in_the_same_package_is_the_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = folder / "acme_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "__init__.py").write_text(CALLS)
    (package / "command.py").write_text("from acme_package.inner import helped as go\n")
    for name in ("acme_package", "acme_package.inner", "acme_package.command"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert place("acme_package.command", "go") == f"{package / 'inner' / '__init__.py'}:7"


def test_an_error_of_halo_alone_has_the_given_place() -> None:
    assert raised_at(None, "halo_acme.plugin") == "halo_acme.plugin"
