"""Benchmarks need packages that tests do not have, but all their imports from halo must exist."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def halo_imports(source: str) -> set[tuple[str, str]]:
    """Module and name of everything that a file imports from halo and its plugins."""
    return {
        (node.module, alias.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("halo_")
        for alias in node.names
        if node.module is not None
    }


def is_there(module: str, name: str) -> bool:
    try:
        found = import_module(module)
    except ModuleNotFoundError:
        return False
    return hasattr(found, name) or is_module(f"{module}.{name}")


def is_module(module: str) -> bool:
    try:
        import_module(module)
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.parametrize("file", sorted(BENCHMARKS.rglob("*.py")), ids=lambda path: path.name)
def test_what_a_benchmark_imports_of_halo_is_there(file: Path) -> None:
    gone = {pair for pair in halo_imports(file.read_text()) if not is_there(*pair)}
    assert gone == set()


def test_what_is_gone_is_found() -> None:
    source = "from halo_core.loss import Loss, Gone\nfrom halo_core.gone import x\nimport os\n"
    pairs = halo_imports(source)
    assert {pair for pair in pairs if not is_there(*pair)} == {
        ("halo_core.loss", "Gone"),
        ("halo_core.gone", "x"),
    }
