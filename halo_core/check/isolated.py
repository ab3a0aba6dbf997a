"""Checks one component in a child process, whose end is a row and not the end of the command.

A component can end its process in ways that no `except` sees: `os._exit`, an error of the memory
in a library, a call that never returns to Python. The child is a fork, so it costs milliseconds
and already has the libraries that this process has imported. Where the system cannot fork, the
component is checked in this process.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from halo_core.check.findings import Finding, failed
from halo_core.check.listeners import listening, set_own_folder
from halo_core.deprecation import Use, uses
from halo_core.errors import UserError
from halo_core.process_end import signal_name
from halo_core.supervised import supervised_fork
from halo_core.testing.processes.patience import Patience

GRACE = 10.0
"""Seconds that a rule may take over its limit before its process is killed.

The child ends a rule in time by itself, unless it is in a call that does not return to Python.
"""

FIRST = 60.0
"""Seconds that a component may take before its first rule."""

PROCESSES = 3
"""Number of processes in which one component is checked, if each of them ends too early."""

SETTINGS = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
"""A check uses no GPU, whose memory may belong to others, and downloads no data or models."""

Work = Callable[[], Iterable[Finding]]
"""Function that yields the findings of a component."""


@dataclass
class _Rule:
    """The rule that a child is checking."""

    name: str
    limit: float
    place: str


def isolated(subject: str, work: Work, origin: str) -> Iterator[Finding]:
    """Yields the findings of a component that is checked in a child process.

    If the process ends, the rule that was checked is broken. Another process checks the others.

    Args:
        subject: The kind and name of the component.
        work: Yields the findings.
        origin: The file of the component, for a rule that is broken before its class is known.

    Raises:
        UserError: When the work raises one.
    """
    if not hasattr(os, "fork"):
        yield from work()
        return
    told: set[str] = set()
    for _ in range(PROCESSES):
        rule = _Rule("made", FIRST, origin)
        with _child(subject, work, frozenset(told)) as (child, reading):
            for finding in _findings(child, reading, rule):
                if finding.rule not in told:
                    yield finding
                told.add(finding.rule)
            end = _end_of(child, rule)
        if not end:
            return
        if rule.name not in told:
            told.add(rule.name)
            yield Finding(subject, rule.name, "fail", end, rule.place)
    reason = f"{PROCESSES} processes ended during its rules; the rules after them were not checked"
    yield Finding(subject, "the-rest", "skip", reason)


@contextmanager
def _child(subject: str, work: Work, left_out: Collection[str]) -> Iterator[tuple[int, int]]:
    """Starts a child, and yields its id and the end of its pipe. Its processes end with the block.

    Its current folder is an empty one, which is removed at the end.

    Args:
        subject: The component.
        work: The work of the child.
        left_out: Rules that it does not check.
    """
    reading, writing = os.pipe()
    folder = tempfile.mkdtemp(prefix="halo-check-")

    def check() -> None:
        os.close(reading)
        _enter(folder)
        _run_child(subject, work, left_out, writing)

    def tidy() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    try:
        # The component may have started processes, also in sessions of their own.
        with supervised_fork(check, grace_s=0.0, close=(reading, writing), after=tidy) as child:
            os.close(writing)
            yield child, reading
    finally:
        os.close(reading)
        tidy()


def _enter(folder: str) -> None:
    """Makes an empty folder the current one, so that a component leaves nothing in the user's.

    Temporary files are next to it, so that they are removed too if the process is killed.
    """
    here, temporary = os.path.join(folder, "here"), os.path.join(folder, "tmp")
    for each in (here, temporary):
        os.mkdir(each)
    sys.path[:] = [os.path.abspath(each) for each in sys.path]
    os.environ["TMPDIR"] = tempfile.tempdir = temporary
    os.chdir(here)
    set_own_folder(os.path.realpath(here))


def _run_child(subject: str, work: Work, left_out: Collection[str], writing: int) -> None:
    """Does the work, tells each rule and finding through a pipe, and ends the process.

    An error outside of all rules breaks a rule of its own, ``end``.
    """

    def tell(line: dict[str, Any]) -> None:
        os.write(writing, json.dumps(line).encode() + b"\n")

    def begins(name: str, limit: float, place: str) -> None:
        tell({"begins": name, "limit": limit, "place": place, "process": os.getpid()})

    try:
        # A group of its own: Ctrl-C reaches only the parent, which then ends the group.
        os.setpgid(0, 0)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        os.environ.update(SETTINGS)
        with listening(begins, left_out):
            for finding in work():
                tell(asdict(finding))
        tell({"uses": [*uses]})
        tell({"end": True})
    except UserError as error:
        tell({"mistake": error.message, "location": error.location})
    except BaseException as error:
        tell(asdict(failed(subject, "end", error, None)))
        tell({"end": True})
    finally:
        os._exit(0)


def _findings(child: int, reading: int, rule: _Rule) -> Iterator[Finding]:
    """Yields what a child finds, and notes the rule that it checks and the old names that it uses.

    At the end, the limit of the rule is 0 if the child took too long, and -1 if it did all.
    """
    rest, patience = b"", Patience(rule.limit + GRACE, child)
    while _has_more(reading, patience):
        content = os.read(reading, 1 << 16)
        if not content:
            return
        *whole, rest = (rest + content).split(b"\n")
        for line in map(json.loads, whole):
            if "end" in line:
                rule.limit = -1
                return
            if "uses" in line:
                came = [Use(*use) for use in line["uses"]]
                uses.extend(use for use in came if use not in uses)
                continue
            if "mistake" in line:
                raise UserError(line["mistake"], location=line["location"])
            if "begins" in line:
                rule.name, rule.limit = line["begins"], line["limit"]
                rule.place = line["place"] or rule.place
                child = line["process"]  # The one that works. Its supervisor only waits.
            else:
                yield Finding(**line)
        patience = Patience(rule.limit + GRACE, child)
    rule.limit = 0


def _has_more(reading: int, patience: Patience) -> bool:
    """Waits for the next line of a child, as long as the child may take for it."""
    while (left := patience.left()) > 0:
        if select.select([reading], [], [], left)[0]:
            return True
    return False


def _end_of(child: int, rule: _Rule) -> str:
    """Returns how a child ended too early; "" if it did not."""
    if rule.limit < 0:
        return ""
    if rule.limit == 0:
        return "it takes too long, in a call that cannot be stopped, so its process was killed"
    for _ in range(200):  # It may have closed the pipe and still run.
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            how = f"exit code {code}" if code >= 0 else f"{signal_name(-code)}"
            return (
                f"its process ended with {how} while the rule was checked; expected it to continue"
            )
        time.sleep(0.01)
    return "it closed the files of its process, which was killed; expected it to leave them open"
