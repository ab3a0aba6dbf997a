"""A script for a new interpreter: imports a module, and prints what this imports and does.

It loads its helpers from their files, because the import of this package would take longer than all
else. Its argument is a JSON object with ``module``, ``file``, ``path``, ``heavy`` and ``helpers``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import os
import sys
import time
from types import ModuleType
from typing import Any

ROOM = "halo_core.testing.processes."
"""Beginning of the names of the helpers, by which they find each other."""


def loaded(name: str, file: str) -> ModuleType:
    """Returns a module that is loaded from its file.

    Args:
        name: Its name.
        file: Its file.
    """
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks up the types of options there.
    spec.loader.exec_module(module)
    return module


def imported(name: str, file: str) -> ModuleType:
    """Returns a module that is imported by its name, or else loaded from its file.

    Args:
        name: Its name.
        file: Its file.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        return loaded(name, file)


def defaults_of(module: ModuleType) -> dict[str, str]:
    """Returns the defaults of the options of a module's components and commands, as texts.

    Args:
        module: The module.
    """
    found: dict[str, str] = {}
    for name, value in vars(module).items():
        for option, field in getattr(value, "__pydantic_fields__", {}).items():
            if value.__module__ == module.__name__ and not field.is_required():
                found[f"{name}.{option}"] = repr(field.default)
        for each in getattr(value, "params", []) if not isinstance(value, type) else []:
            if not callable(each.default):
                found[each.opts[0]] = repr(each.default)
    return {name: text for name, text in found.items() if " at 0x" not in text}


def moving_defaults(name: str, file: str, helper: Any) -> list[str]:
    """Returns the options whose defaults are others if the module is imported at another time.

    Args:
        name: The name of the module, which is imported.
        file: Its file.
        helper: The module `shifted_clock`.
    """
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.endswith(".py"):
        return []
    first, again = sys.modules[name], importlib.util.module_from_spec(spec)
    usual = time.time
    sys.modules[name] = again
    try:
        with helper.shifted_clock([again]):
            time.time = lambda: usual() + helper.SHIFT.total_seconds()
            spec.loader.exec_module(again)
    except Exception:
        return []  # It cannot be imported twice, for example because it registers something.
    finally:
        time.time, sys.modules[name] = usual, first
    before, after = defaults_of(first), defaults_of(again)
    return [option for option, text in before.items() if after.get(option, text) != text]


def main() -> None:
    """Imports the module, prints a JSON object, and ends the process."""
    asked = json.loads(sys.argv[1])
    sys.path[:] = asked["path"]
    helpers = {name: loaded(f"{ROOM}{name}", file) for name, file in asked["helpers"].items()}
    name, file = asked["module"], asked["file"]
    import click  # noqa: F401  # Before, so that a function of it that is replaced is found.

    import halo_core  # noqa: F401  # Each plugin imports it, so its time does not count.

    said = io.StringIO()
    with (
        contextlib.redirect_stdout(said),
        helpers["effects"].effects() as found,
        helpers["own_calls"].own_calls(file) as calls,
    ):
        begun = helpers["busy_machine"].own_time()
        imported(name, file)
        took = helpers["busy_machine"].own_time() - begun
    heavy = [each for each in asked["heavy"] if each in sys.modules]
    does = [*found.done, *calls]
    if said.getvalue().strip():
        does.append(f"prints {said.getvalue()[:60]!r}")
    moving: list[str] = []
    if not heavy and not does:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            moving = moving_defaults(name, file, helpers["shifted_clock"])
    told = {"heavy": heavy, "does": does, "took": took, "moving": moving}
    os.write(1, f"{json.dumps(told)}\n".encode())
    os._exit(0)  # Functions at exit could print, too.


if __name__ == "__main__":
    main()
