"""A fork that takes the place of a new process is like one; see `tests/warm_start.py`."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TELLS = """
import atexit, gc, json, os, signal, sys, threading
path = sys.path[0]
facts = {
    "arguments": sys.argv,
    "environment": {k: v for k, v in os.environ.items() if k != "LC_CTYPE"},
    "files": [os.readlink(f"/proc/self/fd/{n}") for n in range(2)],
    "folder": os.getcwd(),
    "found in": path,
    "garbage": gc.isenabled(),
    "group": os.getpgid(0) == os.getpid(),
    "input": sys.stdin.read(),
    "name": __name__,
    "open": len(os.listdir("/proc/self/fd")) > 4,
    "parent": os.getppid(),
    "session": os.getsid(0) == os.getpid(),
    "signals": [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
    "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "threads": threading.active_count(),
}
print(json.dumps(facts), flush=True)
print("an error", file=sys.stderr)
atexit.register(print, "at the end")
thread = threading.Thread(target=lambda: os.write(1, b"in a thread\\n"))
thread.start()
end = sys.argv[-1]
if end == "signal":
    thread.join()
    os.kill(os.getpid(), signal.SIGTERM)
sys.exit(int(end)) if end.isdigit() else exec(end)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, processes are new ones"),
]


@pytest.fixture
def fork_of(warm: Any) -> Any:
    """Starts a fork of a server that need not have imported torch."""
    return functools.partial(warm.start, imports=())


def told(start: Any, command: list[str], folder: Path, **options: Any) -> tuple[Any, ...]:
    (folder / "in.txt").write_text("asked")
    with (folder / "in.txt").open() as given, (folder / "out.txt").open("w+") as out:
        environment = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:/more"}
        process = start(
            [sys.executable, *command],
            cwd=folder,
            env=environment,
            stdin=given,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        err = process.stderr.read()
        code = process.wait(timeout=60)
        out.seek(0)
        facts, *lines = out.read().splitlines()
    return json.loads(facts), lines, err, code


@pytest.mark.parametrize("end", ["0", "3", "1 // 0", "sys.exit('no')", "signal"])
def test_code_in_a_fork_finds_and_leaves_what_it_does_in_a_new_process(
    fork_of: Any, end: str, tmp_path: Path
) -> None:
    new, fork = (
        told(start, ["-c", TELLS, "first", end], tmp_path, start_new_session=end == "3")
        for start in (subprocess.Popen, fork_of)
    )
    facts, lines, err, code = fork
    if end == "1 // 0":  # The traceback has lines of the server before those of the program.
        assert err.splitlines()[0] == new[2].splitlines()[0]
        assert (
            err.splitlines()[-1]
            == new[2].splitlines()[-1]
            == "ZeroDivisionError: " + (err.rpartition(": ")[2].strip())
        )
    else:
        assert err == new[2]
    assert facts == new[0]
    assert (sorted(lines), code) == (sorted(new[1]), new[3])


def test_a_module_and_a_file_are_found_where_a_new_process_finds_them(
    fork_of: Any, tmp_path: Path
) -> None:
    (tmp_path / "tells.py").write_text(TELLS)
    for command in (["-m", "tells"], [str(tmp_path / "tells.py")], ["-P", "-m", "json.tool", "-h"]):
        if "-h" in command:
            new, fork = (
                start([sys.executable, *command], stdout=subprocess.PIPE, text=True)
                for start in (subprocess.Popen, fork_of)
            )
            assert fork.communicate() == new.communicate()
            continue
        new, fork = (
            told(start, [*command, "0"], tmp_path) for start in (subprocess.Popen, fork_of)
        )
        assert fork == new


def test_a_fork_is_ended_by_its_id_and_others_can_be_asked_for_afterwards(
    warm: Any, fork_of: Any
) -> None:
    first, second = (
        fork_of([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(2)
    )
    assert first.poll() is None
    first.kill()
    assert first.wait(60) == -signal.SIGKILL
    second.communicate(b"\n", timeout=60)
    assert second.returncode == 0
    assert warm.run([sys.executable, "-c", "print(1)"], imports=(), timeout=60).stdout == "1\n"


CALLS = """
import os, subprocess, sys

def code():
    command = [sys.executable, "-m", "halo_core.cli", "validate", "none.yaml"]
    return subprocess.call(command, stderr=subprocess.DEVNULL)

fork = os.fork()
if fork == 0:
    os._exit(code())
print(os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]), code())
"""


def test_a_fork_of_a_fork_learns_how_the_processes_that_it_starts_end(
    warm: Any, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", CALLS]
    done = warm.run(command, imports=(), ready=(1,), cwd=tmp_path, timeout=60)
    assert done.stdout == "2 2\n"
