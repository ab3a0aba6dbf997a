"""Checks the body of a command: it is called on a small run, on wrong folders, and with --json."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import click

from halo_core.testing.advice import advise
from halo_core.testing.commands.command_examples import Example
from halo_core.testing.commands.command_json import check_json
from halo_core.testing.commands.command_numbers import check_numbers
from halo_core.testing.commands.command_openers import is_asked_for
from halo_core.testing.commands.command_options import check_other_options
from halo_core.testing.commands.command_outcomes import (
    ABOUT_RUN,
    DECLARE,
    NotCalledError,
    because,
    called,
    check_end,
    check_question,
    given_base,
    observed,
)
from halo_core.testing.commands.command_process import Outcome, outcome_of, workspace_in
from halo_core.testing.component import expect
from halo_core.testing.made_runs import without_numbers
from halo_core.testing.run_texts import WORD
from halo_core.workspace.records import EVENTS

MISTAKE = re.compile(
    r"\b(no|not|cannot|can't|missing|error|failed|invalid|unknown|nothing|expected)\b",
    re.IGNORECASE,
)
"""Words of a text about a mistake."""

UNFINISHED: Mapping[str, int] = {
    "a run that has just begun": 2,
    "a run that is not over": -2,
}
"""States of a run, and how many of its events there are. In the first one, no stage has ended."""

NO_NUMBERS = "a run whose stages have no metrics"
"""A run that is over."""

FORCE = {"--force", "--overwrite", "--replace"}
"""Options without which a command replaces no file."""

OWN = "a file of the user"
"""The content of a file that already exists."""

FOLLOWED_S = 3.0
"""Seconds that a command may take for a run that is not over, on a quiet machine."""


def check_calls(command: click.Command) -> None:
    """Calls a command, with the examples of its author or with what it requires.

    Args:
        command: The command.

    Raises:
        AssertionError: When a call opens another program although neither a name nor an option says
            so, raises anything but an error of halo or click, leaves with `SystemExit`, does not
            end, ends the process, asks a question although ``--json`` was given, or has an exit
            code that the table of `halo_core.errors` has not; or when an example of its author
            fails.
        NotCalledError: When no call can be made or judged.
    """
    reasons, judged = [], False
    for example, outcome, _ in observed(command):
        said = called(command, example)
        expect(
            not outcome.shown or is_asked_for(command, example.leaf, [*example.words]),
            said,
            f"it opens {outcome.shown}, which nobody sees who works on another machine, and which "
            "a script does not want; print the name of the file, and let an option such as --open "
            "ask for more",
        )
        reason = check_end(said, outcome, ABOUT_RUN if example.has_run() else "")
        if not reason and outcome.how == "asks":
            check_question(said, example, outcome)
            judged = True
            continue
        if not reason and outcome.how == "error" and not example.given:
            reason = f"{said} refuses the run of the kit: {outcome.text}"
        if reason:
            reasons.append(reason)
            continue
        judged = True
        expect(
            outcome.code == 0,
            said,
            f"it ends with exit code {outcome.code}{because(outcome)}; expected an example of its "
            "author to work"
            if example.given
            else f"it ends with exit code {outcome.code} and no error; raise a HaloError that says "
            "what is wrong",
        )
        _check_encoding(command, example)
        if example.has_run():
            _check_relative(command, example)
        if example.has_run(times=2):
            _check_two_runs(command, example)
    if not judged:
        raise NotCalledError(f"{reasons[0] if reasons else 'no call is known'}; {DECLARE}")


def _check_encoding(command: click.Command, example: Example) -> None:
    """Checks that a call does not depend on the encoding of the user's language."""
    with given_base() as base:
        for file in base.rglob(EVENTS.name):
            text = file.read_text("utf-8").replace("learned", f"learned {WORD}")
            file.write_text(text, "utf-8")
        outcome = outcome_of(
            command, example.placed(base), base, fenced=not example.given, plain=True
        )
    expect(
        outcome.how != "crash" or not outcome.text.startswith("Unicode"),
        called(command, example),
        f"with other letters in the events, and a language whose encoding has only ASCII, it "
        f"raised {outcome.text}. The files of halo are UTF-8: write encoding='utf-8'",
    )


def _check_relative(command: click.Command, example: Example) -> None:
    """Checks that a call also works with the name of the run, in the folder of the runs."""
    with given_base() as base:
        run = Path(workspace_in(base).run("toy-aaaaaa").name)
        runs = workspace_in(base).run(run.name).parent
        words = example.placed(base, run)
        outcome = outcome_of(command, words, base, fenced=not example.given, here=runs)
    said = f"{called(command, example)} with the name of the run for RUN, in the folder of the runs"
    if not check_end(said, outcome) and outcome.how != "asks":
        expect(
            outcome.code == 0,
            said,
            f"it ends with exit code {outcome.code}{because(outcome)}; with the whole path, it "
            "works. A relative path has no more parents than its words: use run.resolve()",
        )


def _check_two_runs(command: click.Command, example: Example) -> None:
    """Checks that a call with several runs also works if they have other stages."""
    with given_base() as base:
        words = example.placed(base, second=workspace_in(base).run("toy-bbbbbb"))
        outcome = outcome_of(command, words, base, fenced=not example.given)
    about = ". The second run lacks a stage of the first one"
    check_end(f"{called(command, example)} with two different runs", outcome, about)


def check_wrong_run(command: click.Command) -> None:
    """Calls a command with wrong folders and with runs that are not finished.

    Args:
        command: The command.

    Raises:
        AssertionError: When it raises anything but an error of halo or click, ends with exit code 0
            as if nothing were wrong, leaves something new in the workspace although it fails, or
            works without an end for a run that is not over.
        NotCalledError: When no call can be made.
    """
    for example in (each for each, _, _ in observed(command) if each.has_run()):
        for what in (*UNFINISHED, NO_NUMBERS):
            _check_not_over(command, example, what)
        for what in ("a folder that does not exist", "an empty folder", "a run in progress"):
            with given_base() as base:
                folder = _wrong(base, what)
                there = {*workspace_in(base).root.rglob("*")}
                outcome = outcome_of(
                    command, example.placed(base, folder), base, fenced=not example.given
                )
                made = sorted({*workspace_in(base).root.rglob("*")} - there)
            said = f"{called(command, example)} with {what} for RUN"
            if what == "a run in progress":
                expect(
                    outcome.how not in ("crash", "left") or bool(outcome.fenced),
                    said,
                    f"it raised {outcome.text}. halo may be writing the last line of "
                    "events.jsonl: leave out a line without an end",
                )
                continue
            if check_end(said, outcome) or outcome.how == "asks":
                continue
            expect(
                not made or outcome.code == 0,
                said,
                f"it fails and leaves {', '.join(each.name for each in made)} in the workspace; "
                "look at the folder first, and make nothing",
            )
            if outcome.code == 0:
                _check_success(said, outcome, is_there=what == "an empty folder")
                continue
            expect(
                bool((outcome.text + outcome.out + outcome.err).strip()),
                said,
                f"it ends with exit code {outcome.code} and prints nothing; raise a PathError that "
                "says what was expected",
            )
            if what == "an empty folder":
                _check_with_json(command, example)


def _check_with_json(command: click.Command, example: Example) -> None:
    """Checks that a call that fails with an empty folder also fails with ``--json``."""
    with_json = example.with_json()
    if with_json is None:
        return
    with given_base() as base:
        words = with_json.placed(base, _wrong(base, "an empty folder"))
        outcome = outcome_of(command, words, base, fenced=not example.given)
    said = f"{called(command, with_json)} with an empty folder for RUN"
    if not check_end(said, outcome) and outcome.how != "asks":
        expect(
            outcome.code != 0,
            said,
            "it ends with exit code 0, and without --json with another one, so a script takes the "
            "mistake for a success. Raise the HaloError in both cases: halo prints it as JSON",
        )


def _check_not_over(command: click.Command, example: Example, what: str) -> None:
    """Checks that a command does something about a run that is not over, and does not only work.

    A command that follows a run may wait for its end, and then it sleeps most of the time.
    """
    with given_base() as base:
        outcome = outcome_of(
            command,
            example.placed(base, _wrong(base, what)),
            base,
            fenced=not example.given,
            seconds=FOLLOWED_S,
        )
    said = f"{called(command, example)} with {what} for RUN"
    if outcome.how != "late":
        if outcome.how != "ended":  # Otherwise, the finished run shows it, too.
            check_end(said, outcome)
        return
    expect(
        outcome.worked_s < FOLLOWED_S / 2,
        said,
        f"it works for {outcome.worked_s:.1f} s and does not end; if it waits for the end of the "
        "run, sleep between two looks at its events",
    )
    advise(
        said,
        f"it does not end within {FOLLOWED_S:g} s, so a script waits as long as the run takes; if "
        "it follows a run on purpose, let an option such as --follow ask for it",
    )


def check_writes(command: click.Command) -> None:
    """Checks that a command changes no run, and leaves no file that it does not name.

    Args:
        command: The command.

    Raises:
        AssertionError: When it changes or removes a file of a run, or writes one into a run or into
            the current folder without printing its name.
    """
    for example, outcome, changes in observed(command):
        said = called(command, example)
        changed = sorted(name for name, is_new in changes.items() if not is_new)
        expect(not changed, said, f"it changes or removes {', '.join(changed)}; expected to read")
        _check_force(command, example, changes)
        printed = outcome.out + outcome.err
        silent = [name for name, is_new in changes.items() if is_new]
        silent = sorted(name for name in silent if Path(name).name not in printed)
        expect(
            not silent,
            said,
            f"it writes {', '.join(silent)} and does not say so; write only where the user wants "
            "it, and print the name of the file",
        )


def _check_force(command: click.Command, example: Example, changes: Mapping[str, bool]) -> None:
    """Checks that a command with an option ``--force`` replaces no file without it."""
    flags = {flag for each in example.leaf.params for flag in each.opts}
    written = [name for name, is_new in changes.items() if is_new]
    if not written or not FORCE & flags or FORCE & {*example.words}:
        return
    with given_base() as base:
        file = base / "here" / written[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(OWN, "utf-8")
        outcome_of(command, example.placed(base), base, fenced=not example.given)
        kept = file.is_file() and file.read_text("utf-8", "replace") == OWN
    expect(
        kept,
        called(command, example),
        f"it replaces the existing file {written[0]}, although "
        f"{min(FORCE & flags, key=len)} was not given; raise a PathError",
    )


def _check_success(said: str, outcome: Outcome, *, is_there: bool) -> None:
    """Checks that a call with a wrong folder does not end well although it names the mistake.

    A command may have reasons to take every folder, for example to count the files in it. It has
    none to take a path that does not exist.
    """
    text = (outcome.out + outcome.err).strip()
    problem = "it ends with exit code 0, so a script takes the mistake for a success; raise a "
    problem += "PathError that says what was expected"
    expect(is_there and not MISTAKE.search(text), said, f"it prints {text[:80]!r}, and {problem}")
    advise(said, problem)


def _wrong(base: Path, what: str) -> Path:
    """Returns a folder that is not that of a finished run."""
    if what == NO_NUMBERS:
        run = workspace_in(base).run("toy-aaaaaa")
        without_numbers(run)
        return run
    if what in UNFINISHED:
        run = workspace_in(base).run("toy-aaaaaa")
        lines = (run / EVENTS.name).read_text("utf-8").splitlines(keepends=True)
        (run / EVENTS.name).write_text("".join(lines[: UNFINISHED[what]]), "utf-8")
        return run
    if what == "a run in progress":
        run = workspace_in(base).run("toy-aaaaaa")
        with (run / EVENTS.name).open("a", encoding="utf-8") as events:
            events.write('{"type": "met')
        return run
    folder = workspace_in(base).run("wrong")
    if what == "an empty folder":
        folder.mkdir()
    return folder


CALL_CHECKS = {
    "calls": check_calls,
    "wrong-run": check_wrong_run,
    "json": check_json,
    "writes": check_writes,
    "other-options": check_other_options,
    "numbers": check_numbers,
}
"""The checks of a command's body by the names of their rules."""

__all__ = ["CALL_CHECKS"]
