"""The public names of the core are sorted, complete, and come from the right modules."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import halo_core


def exported_in_source() -> set[str]:
    """Returns the names that ``halo_core/__init__.py`` imports for type checkers."""
    tree = ast.parse(Path(halo_core.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imports for alias in node.names}
    return names - {"annotations", "TYPE_CHECKING", "Any"}


def test_all_is_sorted_and_without_repetition() -> None:
    assert halo_core.__all__ == sorted(set(halo_core.__all__))


def test_all_is_what_type_checkers_see() -> None:
    assert set(halo_core.__all__) == exported_in_source()


@pytest.mark.parametrize("name", halo_core.__all__)
def test_every_exported_name_can_be_imported(name: str) -> None:
    member = getattr(halo_core, name)
    home = importlib.import_module(f"halo_core.{halo_core._HOME[name]}")
    assert member is getattr(home, name)


def test_the_module_from_which_plugins_once_took_the_markers_still_has_them() -> None:
    component = importlib.import_module("halo_core.component")
    markers = importlib.import_module("halo_core.option_markers")
    for name in halo_core._PUBLIC["option_markers"].split():
        assert getattr(component, name) is getattr(markers, name)


@pytest.mark.parametrize("package", ["halo_core", "halo_core.testing"])
def test_dir_lists_the_public_names_and_no_others_before_they_are_imported(package: str) -> None:
    code = (
        f"import {package} as it; print({{n for n in dir(it) if n[0] != '_'}} == set(it.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'halo_core' has no attribute 'Los'"):
        halo_core.Los  # noqa: B018


@pytest.mark.parametrize("name", sorted(halo_core._GONE))
def test_a_name_that_is_gone_says_what_to_do_now(name: str) -> None:
    with pytest.raises(ImportError, match=f"^halo_core.{name} was removed: [a-zA-Z]"):
        exec(f"from halo_core import {name}")
    assert name not in halo_core.__all__


@pytest.mark.parametrize("package", ["halo_core", "halo_core.testing"])
def test_every_public_class_and_function_is_documented(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        member = getattr(module, name)
        if inspect.isclass(member) or inspect.isfunction(member):
            assert member.__doc__, name
