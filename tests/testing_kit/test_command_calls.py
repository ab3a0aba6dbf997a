"""The calls of a command's body: what the kit does not let it do, and which arguments it finds."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import warnings
import webbrowser
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from halo_core.testing import check_command
from halo_core.testing.advice import KitAdvice
from halo_core.testing.commands.command_calls import check_calls, check_writes, check_wrong_run
from halo_core.testing.commands.command_examples import examples_of
from halo_core.testing.commands.command_outcomes import NotCalledError
from halo_core.testing.commands.command_parameters import check_parameters


def command_of(body: Callable[[], object]) -> click.Command:
    @click.command("odd")
    def command() -> None:
        """Does something."""
        body()

    return command


def test_a_default_file_may_be_missing_in_the_folder_of_the_check() -> None:
    def words(default: str) -> click.Command:
        kind = click.Path(exists=True)
        return click.Command("odd", params=[click.Option(["--words"], type=kind, default=default)])

    check_parameters(words("no-such.txt"), "odd")
    with pytest.raises(
        AssertionError, match=r"the default of --words is not valid: .*/no-such\.txt"
    ):
        check_parameters(words("/no-such.txt"), "odd")


def connects() -> None:
    socket.create_connection(("127.0.0.1", 9), timeout=1)


def serves() -> None:
    socket.socket().bind(("127.0.0.1", 0))


def starts() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (connects, "looks up a host"),
        (serves, "waits for connections"),
        (starts, f"starts the process {sys.executable}"),
    ],
)
def test_a_command_without_examples_does_nothing_to_others(
    body: Callable[[], object], said: str
) -> None:
    with pytest.raises(NotCalledError, match="does not let it do; to have it called") as caught:
        check_calls(command_of(body))
    assert str(caught.value).startswith(f"odd {said}")


def test_a_command_without_examples_writes_no_file_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("mine")
    with pytest.raises(NotCalledError, match="odd writes or removes"):
        check_calls(command_of(lambda: file.write_text("yours")))
    with pytest.raises(NotCalledError, match="odd writes or removes"):
        check_calls(command_of(file.unlink))
    assert file.read_text() == "mine"


def test_an_author_vouches_for_examples(tmp_path: Path) -> None:
    command = command_of(lambda: (tmp_path / "made.txt").write_text("made"))
    command.examples = [""]  # type: ignore[attr-defined]
    check_calls(command)
    assert (tmp_path / "made.txt").read_text() == "made"


def test_a_command_that_cannot_be_called_is_named_in_an_advice() -> None:
    @click.command("odd")
    @click.argument("word")
    def command(word: str) -> None:
        """Says a word."""

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", KitAdvice)
        check_command(command)
    assert "the rule 'calls' was not checked" in str(told[0].message)


def test_the_folder_of_a_run_is_known_by_its_name_or_by_the_help() -> None:
    folder = click.Path(path_type=Path)
    help_ = "Shows the run in FOLDER."
    cases = [
        (click.Command("a", params=[click.Argument(["run"])]), ["RUN"]),
        (click.Command("b", params=[click.Argument(["folder"], type=folder)]), None),
        (click.Command("c", params=[click.Argument(["folder"], type=folder)], help=help_), ["RUN"]),
        (
            click.Command(
                "d",
                params=[click.Argument([name], type=folder) for name in ("run", "target")],
                help=help_,
            ),
            None,
        ),
        (
            click.Command(
                "e",
                params=[
                    click.Option(["--run-folder"], required=True),
                    click.Option(["--most"], type=click.IntRange(min=3), required=True),
                    click.Option(["--as", "form"], type=click.Choice(["md", "csv"]), required=True),
                    click.Option(["--free"]),
                ],
            ),
            ["--run-folder", "RUN", "--most", "3", "--as", "md"],
        ),
    ]
    for command, words in cases:
        command.callback = lambda **_: None
        assert [each.words for each in examples_of(command)] == ([words] if words else [])


def test_a_command_is_called_in_a_folder_and_a_workspace_of_its_own(tmp_path: Path) -> None:
    def body() -> None:
        runs = Path(os.environ["HALO_WORKSPACE"], "runs")
        if [*Path.cwd().iterdir()] != [runs.parent] or not any(runs.iterdir()):
            raise RuntimeError("another folder")
        if sys.stdin.buffer.read():
            raise RuntimeError("an answer")

    check_calls(command_of(body))
    check_wrong_run(command_of(body))


def opening(body: Callable[[str], object], name: str = "page") -> click.Command:
    @click.command(name)
    @click.option("--browser", is_flag=True, help="Whether a browser shows the page.")
    def command(browser: bool) -> None:
        """Writes a page."""
        click.echo("page.html")
        body("page.html")

    return command


def with_xdg(file: str) -> None:
    subprocess.Popen(["xdg-open", file])


BODIES = (webbrowser.open, with_xdg, lambda file: os.system(f"open {file}"), click.launch)


@pytest.mark.parametrize("body", BODIES)
def test_a_command_that_opens_its_file_with_another_program_is_found(
    body: Callable[[str], object],
) -> None:
    for examples in (None, [""]):
        command = opening(body)
        if examples:
            command.examples = examples  # type: ignore[attr-defined]
        with pytest.raises(AssertionError, match=r"it opens (a browser for|xdg-open|open)"):
            check_calls(command)


def test_a_command_may_open_a_program_if_its_user_says_so() -> None:
    for name, examples in (("open-page", [""]), ("page", ["--browser"])):
        command = opening(webbrowser.open, name)
        command.examples = examples  # type: ignore[attr-defined]
        check_calls(command)


@click.command("words")
@click.argument("file", type=click.Path(path_type=Path))
def counts_words(file: Path) -> None:
    """Counts the words of a file."""
    click.echo(len(file.read_text("utf-8").split()))


def test_a_function_of_the_author_writes_the_files_of_the_examples() -> None:
    counts_words.examples = ["words.txt"]  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="it raised FileNotFoundError"):
        check_calls(counts_words)
    again = click.Command("words", params=counts_words.params, callback=counts_words.callback)
    again.examples = ["words.txt"]  # type: ignore[attr-defined]
    again.prepare = lambda folder: (folder / "words.txt").write_text("a b")  # type: ignore[attr-defined]
    check_calls(again)
    check_writes(again)


def test_a_library_that_a_call_imports_is_there_for_the_next_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def imports() -> None:
        import colorsys  # noqa: F401

    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    check_calls(command_of(imports))
    assert "colorsys" in sys.modules


def test_each_call_imports_the_own_modules_of_a_command_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme_command.py").write_text(
        "import click\n\n\n@click.command()\ndef odd():\n"
        '    """Does something."""\n    import acme_near\n    import colorsys\n'
    )
    (tmp_path / "acme_near.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    command = importlib.import_module("acme_command").odd
    check_calls(command)
    assert ("colorsys" in sys.modules, "acme_near" in sys.modules) == (True, False)
    sys.modules.pop("acme_command")
