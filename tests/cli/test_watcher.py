"""A command that ends its process is reported by the process that watches it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a watcher")

BEGIN = (
    "import os, signal, sys, time\n"
    "from halo_core import watched\n"
    "from halo_core.cli.watcher import watch\n"
    "watch(['run', *sys.argv[1:]])\n"
)
COUNTS = (
    "count, said = [], 0\n"
    "for number in (signal.SIGINT, signal.SIGTERM):\n"
    "    signal.signal(number, lambda number, _: count.append(number))\n"
    "print(os.getpid(), flush=True)\n"
    "until = time.monotonic() + 120\n"
    "while time.monotonic() < until and signal.SIGTERM not in count:\n"
    "    while said < len(count): print(count[said], flush=True); said += 1\n"
    "    time.sleep(0.02)\n"
    "time.sleep(0.1)\n"
    "print(*count[said:], flush=True)\n"
    "watched.ended(0)\n"
)
"""Prints its id, and the signals that it gets until SIGTERM."""


def ended(code: str, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BEGIN + code, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []

    def begin(code: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", BEGIN + code],
            stdin=stdin,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


Start = Callable[..., subprocess.Popen[str]]


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def wait_for(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def let_pass_on(watcher: int) -> None:
    """Waits until a watcher has read its SIGINT, and longer than it waits before it passes it on.

    Otherwise the next SIGINT and this one could be one signal for it.
    """

    def has_read() -> bool:
        lines = Path(f"/proc/{watcher}/status").read_text().splitlines()
        waiting = (int(line.split()[1], 16) for line in lines if line[:7] in ("ShdPnd:", "SigPnd:"))
        return not any(signals >> (signal.SIGINT - 1) & 1 for signals in waiting)

    wait_for(has_read)
    time.sleep(0.5)


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("os._exit(0)", "code of a plugin or of a library ended it with exit code 0"),
        ("os._exit(7)", "code of a plugin or of a library ended it with exit code 7"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "signal 11 (SIGSEGV); a library crashed"),
        ("os.kill(os.getpid(), signal.SIGXCPU)", "signal 24 (SIGXCPU), which ended it"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "signal 9 (SIGKILL); it was killed, possibly"),
    ],
)
def test_an_end_without_a_message_is_exit_code_1_and_names_the_stage(code: str, how: str) -> None:
    noted = "watched.note('stage 2 of 3, kto (train), was running', 'stages.kto')\n"
    noted += "call = watched.within('the import of odd')\ncall.__enter__()\n"
    done = ended(f"{noted}{code}", "--json")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert (error["type"], error["location"]) == ("WorkerError", "stages.kto")
    assert error["message"].startswith(
        "the process ended without an error message while stage 2 of 3, kto (train), was running, "
        f"in the import of odd: {how}"
    )
    assert "Saved results are kept; run the same command again" in error["message"]
    assert done.stderr == ""


def test_without_json_the_message_is_on_stderr() -> None:
    done = ended("os._exit(0)")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("halo run: the process ended without an error message: code of")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("code", [0, 3, 130])
def test_a_command_that_ends_by_itself_keeps_its_exit_code_and_its_output(code: int) -> None:
    work = f"print(sys.stdin.read().upper())\nwatched.ended({code})\nsys.exit({code})"
    done = ended(work, given="words")
    assert (done.returncode, done.stdout, done.stderr) == (code, "WORDS\n", "")


def test_code_that_ends_the_process_at_its_exit_does_not_change_the_exit_code() -> None:
    late = "import atexit\natexit.register(os._exit, 0)\nwatched.ended(3)\nsys.exit(3)"
    assert ended(late).returncode == 3
    crash = (
        "import atexit\natexit.register(os.kill, os.getpid(), signal.SIGSEGV)\nwatched.ended(0)\n"
    )
    done = ended(crash)
    assert done.returncode == 1
    assert "the command was done, but its process did not end well: signal 11" in done.stderr


def test_a_process_that_the_command_forked_cannot_end_it_well() -> None:
    forks = "if os.fork() == 0:\n    watched.ended(0); os._exit(0)\nos.wait(); os._exit(0)"
    assert ended(forks).returncode == 1


def test_a_program_that_takes_the_place_of_the_command_keeps_its_exit_code() -> None:
    replaced = "watched.will_be_replaced()\nos.execv('/bin/sh', ['sh', '-c', 'exit 5'])"
    done = ended(replaced)
    assert (done.returncode, done.stderr) == (5, "")


def test_a_program_that_a_plugin_puts_in_the_place_of_the_command_is_an_end_without_a_message() -> (
    None
):
    done = ended("os.execv('/bin/true', ['true'])", "--json")
    assert done.returncode == 1
    assert "or another program took its place" in json.loads(done.stdout)["error"]["message"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_process_that_a_signal_ends_ends_its_watcher_in_the_same_way(
    number: signal.Signals, start: Start
) -> None:
    code = f"signal.signal({int(number)}, signal.SIG_DFL)\nprint(flush=True)\ntime.sleep(120)"
    process = start(code)
    first_line(process)
    process.send_signal(number)
    assert process.wait(60) == -number


@pytest.mark.slow
def test_a_signal_to_both_counts_once_and_one_to_the_watcher_is_passed_on(start: Start) -> None:
    process = start(COUNTS)
    child = int(first_line(process))
    os.killpg(process.pid, signal.SIGINT)
    assert first_line(process) == "2\n"
    let_pass_on(process.pid)
    process.send_signal(signal.SIGINT)
    assert first_line(process) == "2\n"
    process.send_signal(signal.SIGTERM)
    assert first_line(process) == "15\n"
    assert process.wait(60) == 0
    assert state(child) == "gone"


def test_a_killed_watcher_takes_the_process_with_it(start: Start) -> None:
    process = start("print(os.getpid(), flush=True)\ntime.sleep(120)")
    child = int(first_line(process))
    assert state(child) not in ("gone", "Z")
    process.kill()
    process.wait()
    wait_for(lambda: state(child) in ("gone", "Z"))


SHELL = (
    "import os, signal, sys\n"
    "job = os.fork()\n"
    "if job == 0:\n"
    "    os.setpgid(0, 0)\n"
    "    signal.signal(signal.SIGTTOU, signal.SIG_IGN)\n"
    "    os.tcsetpgrp(0, os.getpid())\n"
    "    signal.signal(signal.SIGTTOU, signal.SIG_DFL)\n"
    "    os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])\n"
    "os._exit(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]))\n"
)
"""Does what a shell does for a job in the foreground."""


REPLACED = (
    f"program = {COUNTS.replace('watched.ended(0)', '')!r}\n"
    "watched.will_be_replaced()\n"
    "os.execv(sys.executable, [sys.executable, '-c', 'import os, signal, time\\n' + program])\n"
)
"""Is replaced by a program that counts signals, and that cannot tell its watcher about them."""


def test_a_program_of_halo_in_its_place_reports_its_signals(start: Start) -> None:
    reports = "from halo_core import watched; watched.continue_reports(); "
    process = start(REPLACED.replace("'import os, ", f"'{reports}import os, "))
    first_line(process)
    os.killpg(process.pid, signal.SIGINT)  # as `kill -INT -PGID` does
    assert first_line(process) == "2\n"
    let_pass_on(process.pid)
    os.killpg(process.pid, signal.SIGTERM)
    assert first_line(process) == "15\n"
    assert process.wait(60) == 0


@pytest.mark.slow
def test_ctrl_c_and_a_signal_to_the_watcher_each_reach_a_program_in_its_place_once() -> None:
    shell, terminal = pty.fork()
    if shell == 0:
        os.execv(sys.executable, [sys.executable, "-c", SHELL, BEGIN + REPLACED])
    with os.fdopen(terminal, "rb+", buffering=0) as keyboard:
        process = parent_of(int(keyboard.readline()))
        os.write(terminal, b"\x03")
        assert said_until(keyboard, b"2") == [b"2"]
        let_pass_on(process)
        os.kill(process, signal.SIGINT)  # only this process gets it, although there is a terminal
        assert said_until(keyboard, b"2") == [b"2"]
        os.kill(process, signal.SIGTERM)
        assert said_until(keyboard, b"15") == [b"15"]
        assert os.waitstatus_to_exitcode(os.waitpid(shell, 0)[1]) == 0


def test_a_signal_to_the_watcher_alone_reaches_such_a_program(start: Start) -> None:
    process = start(REPLACED)
    first_line(process)
    process.send_signal(signal.SIGINT)
    assert first_line(process) == "2\n"
    process.send_signal(signal.SIGTERM)
    assert first_line(process) == "15\n"
    assert process.wait(60) == 0


def test_ctrl_c_counts_once_if_the_process_reports_it_late() -> None:
    shell, terminal = pty.fork()
    if shell == 0:
        # It never reports its signals, as if the system gave it no time until the watcher's ended.
        late = "signal.set_wakeup_fd(-1)\n" + COUNTS
        os.execv(sys.executable, [sys.executable, "-c", SHELL, BEGIN + late])
    with os.fdopen(terminal, "rb+", buffering=0) as keyboard:
        process = parent_of(int(keyboard.readline()))
        os.write(terminal, b"\x03")
        assert said_until(keyboard, b"2") == [b"2"]
        let_pass_on(process)
        os.kill(process, signal.SIGTERM)
        assert said_until(keyboard, b"15") == [b"15"]
        assert os.waitstatus_to_exitcode(os.waitpid(shell, 0)[1]) == 0


def said_until(keyboard: IO[bytes], last: bytes) -> list[bytes]:
    """Returns the next words on a terminal, up to a line that ends with a word."""
    said = b""
    while not said.endswith(last + b"\r\n"):
        said += keyboard.read(1)
    return said.replace(b"^Z", b"").replace(b"^C", b"").split()


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def test_ctrl_c_and_ctrl_z_of_a_terminal_reach_both_once() -> None:
    shell, terminal = pty.fork()
    if shell == 0:
        os.execv(sys.executable, [sys.executable, "-c", SHELL, BEGIN + COUNTS])
    with os.fdopen(terminal, "rb+", buffering=0) as keyboard:
        child = int(keyboard.readline())
        process = parent_of(child)
        os.write(terminal, b"\x1a")
        wait_for(lambda: (state(process), state(child)) == ("T", "T"))
        os.killpg(process, signal.SIGCONT)
        wait_for(lambda: "T" not in (state(process), state(child)))
        os.write(terminal, b"\x03")
        assert said_until(keyboard, b"2") == [b"2"]
        let_pass_on(process)
        os.kill(process, signal.SIGTERM)
        assert said_until(keyboard, b"15") == [b"15"]
        assert os.waitstatus_to_exitcode(os.waitpid(shell, 0)[1]) == 0


MAIN = "import sys\nfrom halo_core.cli import main\nsys.argv = ['halo', *sys.argv[1:]]\n"


def pressed(module: str, number: int) -> subprocess.CompletedProcess[str]:
    """Returns the end of a command that gets a signal while it imports a module."""
    press = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "for each in (signal.SIGTERM, signal.SIGHUP): signal.signal(each, signal.SIG_DFL)\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    return subprocess.run(
        [sys.executable, "-c", press + MAIN + "main()", "validate", "none.yaml"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("module", ["halo_core.cli.watcher", "halo_core.cli.output", "click"])
def test_ctrl_c_while_halo_is_still_being_imported_has_no_traceback(module: str) -> None:
    done = pressed(module, signal.SIGINT)
    assert done.returncode in (-signal.SIGINT, 130)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "code"), [("INT", 130), ("TERM", 143), ("HUP", 143)])
def test_a_signal_within_a_command_is_one_line(number: str, code: int) -> None:
    done = pressed("halo_core.cli.validate", signal.Signals[f"SIG{number}"])
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "interrupted\n")


CLOSED = (
    "from halo_core.cli.terminal import stopping\n"
    "from halo_core.display.board import Board\n"
    "from halo_core.display.surfaces import DrawnSurface\n"
    "from halo_core.display.view import View\n"
    "from halo_core.printing import say\n"
    "from halo_core.stage import StopFlag\n"
    "stop, surface = StopFlag(), DrawnSurface()\n"
    "with stopping(stop):\n"
    "    surface.open()\n"
    "    say('ready')\n"
    "    while not stop.is_set(): time.sleep(0.02)\n"
    "    signal.raise_signal(signal.SIGHUP)\n"
    "    say('saved')\n"
    "    say('saved', err=True)\n"
    "    print('by a library')\n"
    "    surface.show([View()])\n"
    "    surface.close()\n"
    "watched.ended(128 + stop.signal_number)\n"
    "sys.exit(128 + stop.signal_number)\n"
)


def test_a_run_whose_terminal_is_closed_saves_its_state() -> None:
    shell, terminal = pty.fork()
    if shell == 0:
        for number in (signal.SIGHUP, signal.SIGTTOU):
            signal.signal(number, signal.SIG_DFL)
        os.execv(sys.executable, [sys.executable, "-c", BEGIN + CLOSED])
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 1024)
    os.close(terminal)  # It is the leader of its session, so the system sends it SIGHUP.
    assert os.waitstatus_to_exitcode(os.waitpid(shell, 0)[1]) == 143


def test_ctrl_c_after_a_command_has_no_traceback() -> None:
    press = "import atexit, os, signal\natexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
    done = subprocess.run(
        [sys.executable, "-c", press + MAIN + "main()", "--version"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
