"""Makes the calls of a command, and judges how each of them ended."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from halo_core.hashing import file_hash
from halo_core.testing.advice import advise
from halo_core.testing.commands.command_examples import Example, examples_of, make_workspace
from halo_core.testing.commands.command_files import prepare
from halo_core.testing.commands.command_process import CALL_S, Outcome, can_call, outcome_of
from halo_core.testing.component import HEAVY, expect

CODES = (0, 1, 2, 3, 130, 143)
"""The exit codes that a command may have; the table in `halo_core.errors` says what they mean."""

TRACEBACK = "Traceback (most recent call last)"

YES = {"--yes", "-y", "--force", "-f", "--no-input", "--batch"}
"""Switches with which a command asks no question."""

DECLARE = "to have it called, give the command an attribute `examples` with arguments that work"


class NotCalledError(Exception):
    """A command that the kit cannot call. The text says why, and what its author can do."""


ABOUT_RUN = (
    ". The run of the kit failed once and was resumed. It has a warning of no stage (null), an "
    "event of an unknown type, and a step that comes twice"
)
"""A sentence about rare events of the finished run."""

Observed = tuple[Example, Outcome, Mapping[str, bool]]
"""A call, how it ended, and the files that it changed: whether each is new."""


def observed(command: click.Command) -> Sequence[Observed]:
    """Returns the calls of a command with their outcomes. They are made once.

    Args:
        command: The command.

    Raises:
        NotCalledError: When this system cannot fork a process, or no call is known.
    """
    if not can_call():
        raise NotCalledError("this system cannot fork a process, in which the command is called")
    found = _all_observed(command)
    if not found:
        raise NotCalledError(f"the kit knows no value of an argument that it requires; {DECLARE}")
    return found


@functools.lru_cache(maxsize=8)
def _all_observed(command: click.Command) -> Sequence[Observed]:
    return [_observed(command, example) for example in examples_of(command)]


def _observed(command: click.Command, example: Example) -> Observed:
    with given_base() as base:
        (base / "here").mkdir(exist_ok=True)
        prepare(command, base / "here")  # These files are not those of the call.
        before = _files(base)
        outcome = outcome_of(command, example.placed(base), base, fenced=not example.given)
        after = _files(base)
    changes = {name: False for name, digest in before.items() if after.get(name) != digest}
    return example, outcome, changes | {name: True for name in after if name not in before}


@contextmanager
def given_base() -> Iterator[Path]:
    """Yields a folder with a workspace of two runs, and removes it."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        base = Path(name).resolve()
        make_workspace(base)
        yield base


def _files(base: Path) -> Mapping[str, str]:
    """Returns the hashes of the files in the current folder of a call, with its workspace."""
    here = base / "here"
    files = [path for path in here.rglob("*") if path.is_file()]
    return {str(path.relative_to(here)): file_hash(path) for path in files}


def called(command: click.Command, example: Example) -> str:
    """Returns the name and the arguments of a call, for a message."""
    return f"{command.name or 'command'} {example.shown}".strip()


def because(outcome: Outcome) -> str:
    """Returns the text of an error in parentheses, with a space; "" if there is none."""
    return f" ({outcome.text})" if outcome.text else ""


def check_end(said: str, outcome: Outcome, about: str = "") -> str:
    """Returns why a call cannot be judged; "" if it can.

    Args:
        said: The call.
        outcome: How it ended.
        about: A sentence about a possible cause of an error.

    Raises:
        AssertionError: When it ended in a way in which no call may end.
    """
    if outcome.fenced and outcome.how != "done":
        return f"{said} {outcome.fenced}, which the check does not let it do"
    if outcome.missing in HEAVY:
        return f"the package {outcome.missing} is not installed"
    expect(outcome.how != "late", said, f"it does not end within {CALL_S:g} s")
    expect(
        outcome.how != "ended",
        said,
        f"its process ended with {outcome.code}, as os._exit() or a crash of a library does; "
        "expected it to return",
    )
    expect(
        outcome.how != "left",
        said,
        f"it raised {outcome.text}, which halo takes for a mistake of the plugin; raise a "
        "HaloError such as UserError, whose message is printed, or call click's ctx.exit()",
    )
    expect(
        outcome.how != "crash",
        said,
        f"it raised {outcome.text}, which halo takes for a mistake of the plugin; if it is one of "
        f"the user, raise a HaloError such as PathError, whose message is printed{about}",
    )
    expect(
        TRACEBACK not in outcome.out + outcome.err,
        said,
        "it prints a traceback; raise a HaloError, whose message is printed. With --debug, halo "
        "shows its traceback",
    )
    expect(
        outcome.code in CODES,
        said,
        f"it ends with exit code {outcome.code}; expected 0, or 1, 2 or 3 after an error. halo "
        "takes a whole number that the function returns for the exit code",
    )
    return ""


def check_question(said: str, example: Example, outcome: Outcome) -> None:
    """Checks that a script can call a command that asks a question."""
    options = [each for each in example.leaf.params if isinstance(each, click.Option)]
    flags = {flag for each in options for flag in each.opts}
    expect(
        "--json" not in example.words or bool(YES & flags),
        said,
        "it asks a question, which nobody answers in a script that wants JSON; add an option such "
        "as --yes, or give the option that it asks for a default",
    )
    if not YES & flags and not any(each.prompt for each in options):
        advise(said, "it asks a question, so no script can use it; add an option such as --yes")


__all__ = [
    "ABOUT_RUN",
    "DECLARE",
    "NotCalledError",
    "because",
    "called",
    "check_end",
    "check_question",
    "given_base",
    "observed",
]
