"""Prints during a statement go to stderr, also if threads overlap."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from halo_core.stdout import stdout_to_stderr


def test_stdout_comes_back_at_the_end_of_the_last_statement(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sys.stdout
    first, second = ExitStack(), ExitStack()
    first.enter_context(stdout_to_stderr())
    second.enter_context(stdout_to_stderr())
    first.close()  # As another thread does: not in the order of a nesting.
    print("between")
    second.close()
    assert sys.stdout is before
    print("after")
    assert capsys.readouterr() == ("after\n", "between\n")


def test_the_descriptor_is_redirected_and_what_was_printed_before_keeps_its_place() -> None:
    code = (
        "import os\nfrom halo_core.stdout import stdout_to_stderr\nprint('a')\n"
        "with stdout_to_stderr():\n    os.write(1, b'b')\n    print('c')\nprint('d')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, sorted(done.stderr.split("\n")[0])) == ("a\nd\n", ["b", "c"])


def finished(command: str, name: str, reader: int) -> subprocess.CompletedProcess[str]:
    """Runs a command with one line as `halo NAME` does."""
    code = (
        "import sys, click\nfrom halo_core.cli import group\n"
        "from halo_core.cli.output import Output, finish\n\n"
        f"@click.command()\ndef command():\n    {command}\n\n"
        "group.LazyGroup.get_command = lambda *_: command\n"
        f"call = lambda: group.halo.main([{name!r}], standalone_mode=False)\n"
        "sys.exit(finish(Output(), call))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], stdout=reader, stderr=subprocess.PIPE, text=True, check=False
    )


BREAKS = "raise BrokenPipeError(32, 'Broken pipe')"


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("chat", 1, "halo chat: a process or a connection that the command wrote to has closed"),
        ("odd/talk", 3, "the command 'odd/talk' failed: BrokenPipeError"),
    ],
)
def test_a_broken_pipe_of_a_command_s_own_is_an_error_with_a_message(
    name: str, code: int, said: str
) -> None:
    done = finished(BREAKS, name, subprocess.PIPE)
    assert done.returncode == code
    assert said in done.stderr


def test_a_reader_that_has_closed_the_output_gets_no_message() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = finished("print('x', flush=True)", "odd/talk", writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("closed", ["0", "1", "2", "012"])
def test_a_closed_stream_is_as_good_as_the_null_device(closed: str, tmp_path: Path) -> None:
    """Otherwise a file that halo opens would get its number, and prints would go into it."""
    script = (
        "import os\n"
        "from halo_core.stdout import open_closed_streams\n"
        "open_closed_streams()\n"
        "with open('file', 'w') as file:\n"
        "    for number in (1, 2):\n"
        "        os.write(number, b'printed')\n"
        "    print('printed')\n"
        "    file.write(f'{file.fileno() > 2} {[*map(os.get_inheritable, (0, 1, 2))]}')\n"
    )
    closing = " ".join(f"{number}>&-" for number in closed)
    subprocess.run(
        ["sh", "-c", f'exec "$@" {closing}', "sh", sys.executable, "-c", script],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "file").read_text(encoding="utf-8") == "True [True, True, True]"


def test_what_is_printed_after_the_end_goes_to_stderr() -> None:
    code = (
        "import atexit, os\nfrom halo_core.stdout import end_stdout\nprint('a')\n"
        "atexit.register(os.write, 1, b'c')\natexit.register(print, 'b', flush=True)\n"
        "end_stdout()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("a\n", "b\nc")
