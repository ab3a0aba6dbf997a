"""The public names of halo: what a plugin may rely on, as data that a test can compare.

python registry/public_names.py                                         prints them
python registry/public_names.py > tests/fixtures/public-names-0.2.json  at the release of 0.2.0
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel

ROOT = Path(__file__).parents[1]

PACKAGES = ("halo_core", "halo_core.testing")
"""The packages whose `__all__` is public."""


def public_names() -> dict[str, Any]:
    """Returns the members, parameters and abstract methods of each public name."""
    return {
        f"{package}.{name}": _described(getattr(importlib.import_module(package), name))
        for package in PACKAGES
        for name in importlib.import_module(package).__all__
    }


def _described(thing: Any) -> dict[str, Any]:
    if not inspect.isclass(thing):
        return {"parameters": _parameters(thing)} if inspect.isfunction(thing) else {}
    members = {}
    for name in dir(thing):
        if name.startswith("_") or _is_foreign(thing, name):
            continue
        member = inspect.getattr_static(thing, name)
        function = getattr(member, "__func__", member)
        members[name] = _parameters(function) if inspect.isfunction(function) else None
    fields = getattr(thing, "__dataclass_fields__", getattr(thing, "_fields", ()))
    members.update({name: None for name in fields if name not in members})
    abstract = sorted(getattr(thing, "__abstractmethods__", ()))
    made = {"parameters": _parameters(thing)} if fields else {}
    return {**made, "members": members, "abstract": abstract}


def _is_foreign(thing: type, name: str) -> bool:
    """Returns whether a member comes from Python or pydantic, whose promises are not ours."""
    home = next(base for base in thing.__mro__ if name in vars(base))
    return home is BaseModel or home.__module__.partition(".")[0] != "halo_core"


def _parameters(function: Any) -> dict[str, bool]:
    """Returns whether each parameter must be given, by name."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    given = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return {p.name: p.default is p.empty for p in parameters if p.kind not in given}


def broken_promises(
    promised: Mapping[str, Any], now: Mapping[str, Any], deprecated: Mapping[str, Any]
) -> Iterator[str]:
    """Yields what a plugin that uses the promised names would miss, one sentence each.

    Args:
        promised: The names of an earlier version.
        now: The names of this version.
        deprecated: The deprecated names of halo_core, which still work.
    """
    for name, before in promised.items():
        if name not in now:
            if name.removeprefix("halo_core.") not in deprecated:
                yield f"{name} is gone, and is not deprecated"
            continue
        after = now[name]
        yield from _lost(name, before.get("parameters", {}), after.get("parameters", {}))
        for member, parameters in before.get("members", {}).items():
            if member not in after.get("members", {}):
                yield f"{name}.{member} is gone"
            elif parameters is not None:
                yield from _lost(f"{name}.{member}", parameters, after["members"][member] or {})
        for method in after.get("abstract", ()):
            if method not in before.get("abstract", ()):
                yield f"{name}.{method} must now be written by each plugin"


def _lost(name: str, before: Mapping[str, bool], after: Mapping[str, bool]) -> Iterator[str]:
    for parameter in before:
        if parameter not in after:
            yield f"{name}() no longer takes {parameter}"
    for parameter, required in after.items():
        if required and not before.get(parameter, False):
            yield f"{name}() now needs {parameter}"


def names_table() -> str:
    """Returns the public names, with the first line of the documentation of each, in Markdown."""
    lines = []
    for package in PACKAGES:
        module = importlib.import_module(package)
        lines += [f"| from `{package}` | |", "|---|---|"]
        for name in module.__all__:
            lines.append(f"| `{name}` | {_escaped(_about(package, name))} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def _about(package: str, name: str) -> str:
    """Returns the first sentence of the documentation of a public name."""
    member = getattr(importlib.import_module(package), name)
    if inspect.isclass(member) or inspect.isfunction(member):
        text = inspect.getdoc(member) or ""
    else:
        # A value has no documentation of its own: it is the text below its assignment.
        folder = ROOT / package.replace(".", "/")
        texts = (_assignments(module).get(name) for module in sorted(folder.rglob("*.py")))
        text = next(filter(None, texts), "")
    return " ".join(text.partition("\n\n")[0].split())


@cache
def _assignments(module: Path) -> Mapping[str, str]:
    """Returns the text below each assignment of a module, by the name that is assigned."""
    statements = ast.parse(module.read_text("utf-8")).body
    found = {}
    for before, after in pairwise(statements):
        match before, after:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(ast.Constant(str(text))):
                found[name] = text
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(text))):
                found[name] = text
    return found


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


if __name__ == "__main__":
    print(json.dumps(public_names(), indent=1))
