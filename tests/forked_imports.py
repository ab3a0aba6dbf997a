"""Lets the tests try imports in forks of one process, not in a new interpreter for each class.

`check_import_budget` starts an interpreter for each class, which takes 0.2 s of CPU time, mostly to
import pydantic and halo_core. The tests try about seventy classes. A fork of a process that has
imported both takes a tenth of that. It has none of the libraries that a component must not import,
so the answer is the same. `test_component_checks.py` uses new interpreters.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

IMPORTS = ("component", "data", "judge", "loss", "reference_point", "registry", "stage", "tracker")
"""Modules of halo_core that the process imports."""

PROGRAM = """
import importlib, json, os, sys, tempfile, traceback
import click
for name in json.loads(sys.argv[1]):
    importlib.import_module(f"halo_core.{name}")
for line in sys.stdin:
    code, *arguments = json.loads(line)
    files = [tempfile.TemporaryFile("w+") for _ in range(2)]
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for number, file in enumerate(files, 1):
                os.dup2(file.fileno(), number)
            sys.argv[1:] = arguments
            exec(code, {"__name__": "__main__"})
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    answer = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]
    for file in files:
        file.seek(0)
        answer.append(file.read())
        file.close()
    print(json.dumps(answer), flush=True)
"""


class ForkedImports:
    """Has the function `run` in place of `run_supervised` for ``python FILE``, or ``-c CODE``."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        """Runs the code in a fork, and returns its exit code and what it printed."""
        python, file, *asked = command
        assert python == sys.executable
        if file != "-c":
            asked = [Path(file).read_text("utf-8"), *asked]
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, json.dumps(IMPORTS)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        code, out, err = json.loads(self._process.stdout.readline())
        return subprocess.CompletedProcess(command, code, out, err)

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.communicate()
