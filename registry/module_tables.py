"""Tables of the modules of a folder, from the first sentences of their docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def files_table(folder: Path) -> str:
    """Returns a table of all modules in and below a folder."""
    return _table("file", _modules(folder, sorted(folder.rglob("*.py"))))


def folders_table(folder: Path) -> str:
    """Returns a table of the packages in a folder, and then of the modules directly in it."""
    packages = sorted(folder.glob("*/__init__.py"))
    inner = [(f"{package.parent.name}/", _about(package)) for package in packages]
    return _table("folder or file", [*inner, *_modules(folder, sorted(folder.glob("*.py")))])


def _modules(folder: Path, paths: list[Path]) -> Iterator[tuple[str, str]]:
    for path in paths:
        if path.name != "__init__.py":
            yield path.relative_to(folder).as_posix(), _about(path)


def _about(path: Path) -> str:
    """Returns the first paragraph of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


def _table(head: str, rows: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> str:
    lines = [f"| {head} | content |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | {about} |" for name, about in rows)])
