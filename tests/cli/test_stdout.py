"""Prints during a statement go to stderr, also if threads overlap."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

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
