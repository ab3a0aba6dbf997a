"""Checks that a component gives the same in another process, under other circumstances."""

from __future__ import annotations

import importlib.util
import json
import locale
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import IO, Any, NamedTuple

from halo_core.component import Component
from halo_core.data import DataSource
from halo_core.loss import Loss
from halo_core.testing.component import expect, last_line
from halo_core.testing.data.data_identity import described, made
from halo_core.testing.processes.effects import caches, effects
from halo_core.testing.processes.kept_state import modules_of
from halo_core.testing.processes.shifted_clock import shifted_clock
from halo_core.testing.processes.spied_reads import spied_reads

MACHINE = "HALO_CHECK_MACHINE"
"""The environment variable with the name of the machine in the other process."""

LANGUAGE = "HALO_CHECK_LANGUAGE"
"""The environment variable that says that the language of the other process is another one."""

LOCALE = "LC_ALL=C, where open() without encoding= is not UTF-8"
"""The circumstance without which Python cannot open paths that are not ASCII."""

CIRCUMSTANCES: Mapping[str, Mapping[str, str]] = {
    "another PYTHONHASHSEED, so sets have another order and hash() gives other numbers": {
        "PYTHONHASHSEED": "other"
    },
    "RANK=1 and LOCAL_RANK=1": {"RANK": "1", "LOCAL_RANK": "1"},
    LOCALE: {
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
    "another machine (socket.gethostname(), os.cpu_count())": {MACHINE: "another-machine"},
    "another language, in which locale.strxfrm and locale.strcoll sort otherwise": {
        LANGUAGE: "another"
    },
    "another time zone (TZ)": {"TZ": "Other-11:30"},
    "a clock that is a year ahead": {"HALO_CHECK_CLOCK": "ahead"},
}
"""Environment variables of the other process, by words for a message."""

RANKED = "RANK=1 and LOCAL_RANK=1"
"""The circumstance that only components get which a training calls in each of its processes."""

VALUES = ("1", "0.25")
"""Values of an environment variable that a component reads, of which one may change a result."""

OF_MACHINES = re.compile(
    "(HOME|PATH|TMPDIR|TEMP|TMP|USERPROFILE|APPDATA|LOCALAPPDATA)$|XDG_|HF_|.*(TOKEN|KEY|SECRET|PASS)"
)
"""Names of variables for places and secrets. Other values of them are not tried."""

SHOWN = 80
"""Characters of a difference that a message shows."""

_PROBE = """
import json, os, sys
asked = json.loads(sys.argv[1])
sys.path[:] = asked["path"]
from halo_core.parent_death import die_with
die_with(asked["parent"])
from halo_core.testing.circumstances.elsewhere import answer
found = json.dumps(answer(asked))
print()  # The component may have begun a line.
print(found, flush=True)
os._exit(0)  # Functions at exit could print, too.
"""

Told = Mapping[str, str]
"""Texts by names for a message."""

Tell = Callable[[Any, Path], Told]
"""Returns what a component gives, with a folder for its files."""


class Answer(NamedTuple):
    """The results and the effects of a component in another process.

    Attributes:
        told: The texts by their names.
        does: A part of a sentence for each effect on other code, such as a file that it writes.
        variables: The environment variables that it reads.
        files: The files in the current folder at which it looks.
    """

    told: Told
    does: Sequence[str] = ()
    variables: Sequence[str] = ()
    files: Sequence[str] = ()


def check_elsewhere(
    component: Component,
    tell: Tell,
    folder: Path,
    *,
    ranked: bool = False,
    left_out: Collection[str] = (),
) -> None:
    """Checks that another process gives the same: with other sets, locale, clock and folder.

    If it does not, further processes find out which circumstance matters. A component that a
    training calls in each process may also have no effect in its first calls, depend on no
    environment variable, and look at no file of the current folder that its options do not name.

    Args:
        component: The component.
        tell: A function of a module that returns what the component gives.
        folder: A folder for its files, which the other process gets too.
        ranked: Whether a training calls it in each of its processes.
        left_out: Names of `CIRCUMSTANCES` that stay as they are.

    Raises:
        AssertionError: When the other process gives something else, or the component raises there.
    """
    here = tell(component, folder)
    without = {*left_out} if ranked else {*left_out, RANKED}
    names = [name for name in CIRCUMSTANCES if name not in without]
    answered = _ask(component, tell, folder, names)
    difference = _difference(here, answered.told)
    if difference:
        _explain(component, tell, folder, names, here, difference)
    if ranked:
        _check_first_calls(component, answered)
        _check_variables(component, tell, folder, here, answered.variables)


def _explain(
    component: Component,
    tell: Tell,
    folder: Path,
    names: Sequence[str],
    here: Told,
    difference: str,
) -> None:
    """Raises an error that names the circumstance that makes a difference."""
    alone = _difference(here, _ask(component, tell, folder, []).told)
    if alone:
        expect(
            False,
            component,
            f"in a new process, {alone}; expected the same. The order of a set and the result of "
            "hash() differ between processes (sort, or use hashlib); or it keeps something between "
            "calls, or depends on chance",
        )
    for name in names:
        found = _difference(here, _ask(component, tell, folder, [name]).told)
        if found:
            expect(False, component, f"in a process with {name}, {found}; expected the same")
    expect(
        False,
        component,
        f"in a process with {'; '.join(names)}; {difference}; expected the same",
    )


def _check_first_calls(component: Component, answered: Answer) -> None:
    """Checks what the first calls in a process do besides computing."""
    does = answered.does
    if isinstance(component, DataSource):  # It may connect, and its libraries set what they need.
        does = [each for each in does if each.startswith("writes")]
    expect(
        not does,
        component,
        f"its first call in a process {'; '.join(does)}; expected it to compute and do nothing "
        "else, because a training calls it in several processes",
    )
    expect(
        not answered.files,
        component,
        f"it looks for {', '.join(map(repr, answered.files[:3]))} in the current folder; expected "
        "it to depend on its options only. If it needs a file, let an option name it",
    )


def _check_variables(
    component: Component, tell: Tell, folder: Path, here: Told, variables: Sequence[str]
) -> None:
    """Checks that the environment variables that a component reads change nothing."""
    known = {name for each in CIRCUMSTANCES.values() for name in each}
    read = [name for name in variables if name not in known and not OF_MACHINES.match(name)]
    for value in VALUES if read else ():
        settings = dict.fromkeys(read, value)
        found = _difference(here, _ask(component, tell, folder, [], settings).told)
        expect(
            not found,
            component,
            f"in a process with {', '.join(f'{name}={value}' for name in read)}, {found}; expected "
            "the same, because a spec and its results do not name the variable. Make it an option",
        )


def _ask(
    component: Component,
    tell: Tell,
    folder: Path,
    names: Sequence[str],
    more: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    """Returns what a new process tells, in an empty current folder.

    Args:
        component: The component.
        tell: The function that says what the component gives.
        folder: The folder for its files.
        names: Names of the circumstances.
        more: Further environment variables.
    """
    settings = {key: value for name in names for key, value in CIRCUMSTANCES[name].items()}
    if "PYTHONHASHSEED" in settings:
        settings["PYTHONHASHSEED"] = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    asked = {
        "path": sys.path,
        "parent": os.getpid(),
        "component": described(component),
        "module": tell.__module__,
        "tell": tell.__name__,
        "folder": str(folder),
        "clock": settings.pop("HALO_CHECK_CLOCK", ""),
        "ranked": RANKED in names,
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
            env={**os.environ, **settings, **more},
        )
        said, failed = (_content(file) for file in (out, err))
    if done.returncode:
        return Answer({"the outcome": f"an error: {last_line(failed)}"})
    return Answer(*json.loads(said.splitlines()[-1]))


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def answer(asked: Mapping[str, Any]) -> Answer:
    """Returns what a described component gives in this process. An error is a text, too.

    Args:
        asked: The description, as `check_elsewhere` makes it.
    """
    from halo_core.testing.circumstances.told import call_otherwise

    if name := os.environ.get(MACHINE):  # Before the component's module is imported.
        socket.gethostname = platform.node = lambda: name
        count = (os.cpu_count() or 1) + 1
        os.cpu_count = lambda: count
    if os.environ.get(LANGUAGE):
        _change_language()
    inside = [Path(asked["folder"]), *caches()]
    with spied_reads() as reads:
        component = made(asked["component"])
        tell = getattr(importlib.import_module(asked["module"]), asked["tell"])
        own = modules_of(component)
        try:
            with (
                shifted_clock(own if asked["clock"] else []),
                _second_rank(asked["ranked"] and _may_ask_for_a_rank(component, own)),
                effects(inside, starts=True, imports=True, fresh=True) as found,
            ):
                call_otherwise(component)
                told: Told = tell(component, Path(asked["folder"]))
        except Exception as error:
            return Answer({"the outcome": f"{type(error).__name__}: {error}"})
    return Answer(told, list(found.done), reads.variables_of(own), reads.files_of(own, component))


def _change_language() -> None:
    """Lets the functions that sort by a language give the order of the last letters."""
    locale.strxfrm = lambda text: text[::-1]
    locale.strcoll = lambda one, other: (one[::-1] > other[::-1]) - (one[::-1] < other[::-1])


def _may_ask_for_a_rank(component: Component, own: Sequence[ModuleType]) -> bool:
    """Returns whether torch says which process this is. Its import takes a second."""
    files = [getattr(module, "__file__", None) for module in own]
    texts = [Path(file).read_bytes() for file in files if file and Path(file).is_file()]
    asks = isinstance(component, Loss) or any(b"distributed" in text for text in texts)
    return asks and importlib.util.find_spec("torch") is not None


@contextmanager
def _second_rank(is_second: bool) -> Iterator[None]:
    """Lets torch say, in a block, that this process is the second one of two."""
    if not is_second:
        yield
        return
    import torch.distributed as distributed

    answers = {"is_initialized": True, "get_rank": 1, "get_world_size": 2}
    real = {name: getattr(distributed, name) for name in answers if hasattr(distributed, name)}
    for name in real:
        setattr(distributed, name, lambda *_, said=answers[name], **__: said)
    try:
        yield
    finally:
        for name, function in real.items():
            setattr(distributed, name, function)


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
