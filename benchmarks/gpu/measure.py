"""Runs the program of a measurement, and returns what it found, whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

SHOWN = 4000
"""Characters of an error that are shown."""


def measured(name: str, command: Sequence[str], seconds: float) -> dict[str, Any]:
    """Returns the result of a measurement.

    The last line of its output that is a JSON object is the result. A program may print several, so
    that one that is ended too early has told what it found until then. Its children end with it.

    Args:
        name: Name of the measurement.
        command: The program.
        seconds: Time after which it is ended.

    Returns:
        The result with ``name`` and ``took_s``, and ``failed`` if it ended with an error, was
        killed, took too long or printed no result.
    """
    start = time.monotonic()
    # Files, because a child of the program could hold a pipe open after its end.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        code = _run(command, out, errors, seconds)
        printed, said = _text(out), _text(errors)
    result = {"name": name, "took_s": round(time.monotonic() - start, 1), **_last_object(printed)}
    if code != 0 and said:
        print(said[-SHOWN:], file=sys.stderr, flush=True)
    if failed := _failure(code, seconds, said):
        return result | {"failed": failed}
    return result if len(result) > 2 else result | {"failed": "it printed no result"}


def _run(command: Sequence[str], out: IO[str], errors: IO[str], seconds: float) -> int | None:
    """Returns the exit code of a program; None if it took too long."""
    process = subprocess.Popen(command, stdout=out, stderr=errors, start_new_session=True)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:  # also after Ctrl-C, and for children that outlive a killed program
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def _failure(code: int | None, seconds: float, said: str) -> str:
    """Returns why a measurement failed, as a text; empty if it did not."""
    if code == 0:
        return ""
    if code is None:
        return f"took longer than {seconds:.0f} s"
    last = (said.strip().splitlines() or ["it printed no error"])[-1][:300]
    if code < 0:
        return f"killed by signal {-code}: {last}"
    return f"exit code {code}: {last}"


def _last_object(printed: str) -> Mapping[str, Any]:
    for line in reversed(printed.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return {}


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
