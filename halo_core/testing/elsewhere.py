"""Checks that a component gives the same in another process, under other circumstances."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from halo_core.component import Component
from halo_core.testing.component import expect, last_line
from halo_core.testing.data_identity import described, made
from halo_core.testing.kept_state import modules_of
from halo_core.testing.shifted_clock import shifted_clock

CIRCUMSTANCES: Mapping[str, Mapping[str, str]] = {
    "another PYTHONHASHSEED, so sets have another order and hash() gives other numbers": {
        "PYTHONHASHSEED": "other"
    },
    "RANK=1 and LOCAL_RANK=1": {"RANK": "1", "LOCAL_RANK": "1"},
    "LC_ALL=C, where open() without encoding= is not UTF-8": {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    },
    "another user (LOGNAME, USER)": {
        "LOGNAME": "another-user",
        "LNAME": "another-user",
        "USER": "another-user",
        "USERNAME": "another-user",
    },
    "a clock that is a year ahead": {"HALO_CHECK_CLOCK": "ahead"},
}
"""Environment variables of the other process, by words for a message."""

RANKED = "RANK=1 and LOCAL_RANK=1"
"""The circumstance that only components get which a training calls in each of its processes."""

SHOWN = 80
"""Characters of a difference that a message shows."""

_PROBE = """
import json, os, sys
asked = json.loads(sys.argv[1])
sys.path[:] = asked["path"]
from halo_core.testing.elsewhere import answer
print(json.dumps(answer(asked)), flush=True)
os._exit(0)  # Functions at exit could print, too.
"""

Told = Mapping[str, str]
"""Texts by names for a message."""

Tell = Callable[[Any, Path], Told]
"""Returns what a component gives, with a folder for its files."""


def check_elsewhere(
    component: Component, tell: Tell, folder: Path, *, ranked: bool = False
) -> None:
    """Checks that another process gives the same: with other sets, locale, clock and folder.

    If it does not, further processes find out which circumstance matters.

    Args:
        component: The component.
        tell: A function of a module that returns what the component gives.
        folder: A folder for its files, which the other process gets too.
        ranked: Whether a training calls it in each of its processes.

    Raises:
        AssertionError: When the other process gives something else, or the component raises there.
    """
    here = tell(component, folder)
    names = [name for name in CIRCUMSTANCES if ranked or name != RANKED]
    difference = _difference(here, _ask(component, tell, folder, names))
    if not difference:
        return
    alone = _difference(here, _ask(component, tell, folder, []))
    if alone:
        expect(
            False,
            component,
            f"in a new process, {alone}; expected the same. The order of a set and the result of "
            "hash() differ between processes (sort, or use hashlib); or it keeps something between "
            "calls, or depends on chance",
        )
    for name in names:
        found = _difference(here, _ask(component, tell, folder, [name]))
        if found:
            expect(False, component, f"in a process with {name}, {found}; expected the same")
    expect(
        False,
        component,
        f"in a process with {'; '.join(names)}; {difference}; expected the same",
    )


def _ask(component: Component, tell: Tell, folder: Path, names: Sequence[str]) -> Told:
    """Returns what a new process tells, in an empty current folder."""
    settings = {key: value for name in names for key, value in CIRCUMSTANCES[name].items()}
    if "PYTHONHASHSEED" in settings:
        settings["PYTHONHASHSEED"] = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    asked = {
        "path": sys.path,
        "component": described(component),
        "module": tell.__module__,
        "tell": tell.__name__,
        "folder": str(folder),
        "clock": settings.pop("HALO_CHECK_CLOCK", ""),
    }
    # Files and not pipes: a process that the component leaves running keeps a pipe open.
    with (
        tempfile.TemporaryDirectory() as empty,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, json.dumps(asked)],
            stdout=out,
            stderr=err,
            check=False,
            cwd=empty,
            env=os.environ | settings,
        )
        said, failed = (_content(file) for file in (out, err))
    if done.returncode:
        return {"the outcome": f"an error: {last_line(failed)}"}
    told: Told = json.loads(said.splitlines()[-1])
    return told


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def answer(asked: Mapping[str, Any]) -> Told:
    """Returns what a described component gives in this process. An error is a text, too.

    Args:
        asked: The description, as `check_elsewhere` makes it.
    """
    import importlib

    component = made(asked["component"])
    tell = getattr(importlib.import_module(asked["module"]), asked["tell"])
    modules = modules_of(component) if asked["clock"] else []
    try:
        with shifted_clock(modules):
            told: Told = tell(component, Path(asked["folder"]))
    except Exception as error:
        return {"the outcome": f"{type(error).__name__}: {error}"}
    return told


def _difference(here: Told, there: Told) -> str:
    """Returns a part of a sentence about the first difference; "" if there is none."""
    if "the outcome" in there:
        return f"the outcome is {_short(there['the outcome'])}"
    for name, text in here.items():
        other = there.get(name, "absent")
        if text != other:
            pairs = enumerate(zip(text, other, strict=False))
            first = next((i for i, (one, two) in pairs if one != two), min(len(text), len(other)))
            start = max(0, first - 20)
            return f"{name} has {_short(other[start:])} and here {_short(text[start:])}"
    return ""


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


__all__ = ["check_elsewhere"]
