"""The command-line frame: help, misspellings, exit codes, one JSON object, closed pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from halo_core import __version__
from halo_core.cli import call
from halo_core.cli.group import COMMANDS
from halo_core.cli.output import Output, finish
from halo_core.errors import DataError, Interrupted, PluginError, SpecErrors, UserError
from halo_core.stop_flag import BySignal

Halo = Callable[..., Any]
Registers = Callable[..., str]

HEAVY = ("pydantic", "pyarrow", "rich", "ruamel", "torch", "mlflow", "importlib.metadata", "email")


def ended(error: BaseException, *, json: bool = False, debug: bool = False) -> int:
    def command() -> None:
        raise error

    return finish(Output(json=json, debug=debug), command)


def test_help_lists_every_command_and_those_of_plugins(halo: Halo) -> None:
    done = halo("--help")
    assert done.code == 0
    for name, (_, help_text) in COMMANDS.items():
        assert f"  {name} " in done.out
        assert help_text in done.out
    assert "Commands from plugins:" in done.out
    assert "  ui " in done.out
    assert "worker" not in done.out


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"], ["plugins", "--json"]])
def test_a_light_command_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys, halo_core.cli\n"
        f"halo_core.cli.call({arguments!r})\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_imported_and_takes_json_and_debug(name: str, halo: Halo) -> None:
    from halo_core.cli.group import halo as group

    command = group.get_command(click.Context(group), name)
    assert command is not None
    assert command.name == name
    called = [command]
    if isinstance(command, click.Group) and not command.invoke_without_command:
        called = [*command.commands.values()]
    for each in called:
        assert {"--json", "--debug"} <= {option for p in each.params for option in p.opts}
    assert called


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["--version"]) == 0
    assert capsys.readouterr().out == f"halo {__version__}\n"


def test_no_command_prints_the_help_and_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert call([]) == 2
    assert "Commands:" in capsys.readouterr().err


def test_a_misspelt_command_gets_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["valdate", "spec.yaml"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "no command named 'valdate'. Did you mean 'validate'? Commands: halo --help\n"
    )


def test_a_file_without_a_command_says_how_to_run_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = Path(__file__).parents[2] / "examples" / "quickstart.yaml"
    for file, said in ((spec, f"halo run {spec}"), (__file__, f"halo file:{__file__}:COMMAND")):
        assert call([str(file)]) == 2
        assert said in capsys.readouterr().err


def test_a_wrong_option_exits_2_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["plugins", "--avalable"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("Usage: halo plugins [OPTIONS]")
    assert "Did you mean '--available'?" in error


def test_a_wrong_option_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["plugins", "--json", "--avalable"]) == 2
    captured = capsys.readouterr()
    error = {
        "type": "NoSuchOption",
        "message": "No such option '--avalable'. Did you mean '--available'?",
        "location": "halo plugins",
    }
    assert json.loads(captured.out) == {"schema": 1, "error": error, "errors": [error]}
    assert captured.err == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("x"), 2),
        (SpecErrors([UserError("x")]), 2),
        (SpecErrors([PluginError("x")]), 3),
        (PluginError("x"), 3),
        (Interrupted("x", signal_number=2), 130),
        (Interrupted("x", signal_number=15), 143),
        (KeyboardInterrupt(), 130),
        (BySignal(15), 143),
        (ZeroDivisionError("x"), 1),
        (click.UsageError("x"), 2),
    ],
)
def test_the_exit_code_says_whose_fault_it_is(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(error) == code
    assert ended(error, json=True) == code
    assert len(json.loads(capsys.readouterr().out)["errors"]) == 1


def test_an_error_is_one_message_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    ended(DataError("no rows; expected at least one", location="a.jsonl:1"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "a.jsonl:1: no rows; expected at least one\n"


def test_an_unexpected_error_is_one_line_and_a_traceback_with_debug(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended(ZeroDivisionError("a\nb"))
    assert capsys.readouterr().err == (
        "halo: internal error: ZeroDivisionError: a; run again with --debug for the traceback\n"
    )
    assert ended(ZeroDivisionError("a"), debug=True) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_all_mistakes_of_a_spec_are_in_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    mistakes = [UserError("one", location="s.yaml:1:1"), PluginError("two")]
    ended(SpecErrors(mistakes), json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["error"]["type"] == "SpecErrors"
    assert found["error"]["message"] == "2 mistakes in the spec"
    assert found["errors"] == [
        {"type": "UserError", "message": "one", "location": "s.yaml:1:1"},
        {"type": "PluginError", "message": "two", "location": None},
    ]


def test_a_failure_reports_what_was_reached(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(json=True)

    def command() -> None:
        output.attach(stages=[{"id": "sft", "status": "computed"}])
        raise UserError("x")

    assert finish(output, command) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["stages"] == [{"id": "sft", "status": "computed"}]
    assert found["error"]["message"] == "x"


def test_code_that_ends_python_ends_no_command_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(SystemExit(0), json=True) == 1
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "SystemExit"
    assert ended(SystemExit(0)) == 1
    assert "internal error: SystemExit: 0" in capsys.readouterr().err


def test_with_json_whatever_else_is_printed_goes_to_stderr() -> None:
    code = """
import os, subprocess, sys
from halo_core.cli.output import Output, finish
output = Output(json=True)
def command():
    print("a library chats")
    os.write(1, b"so does its C code\\n")
    subprocess.run([sys.executable, "-c", "print('and a child')"], check=True)
    output.emit({"answer": 42})
sys.exit(finish(output, command))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"schema": 1, "answer": 42}
    for chat in ("a library chats", "so does its C code", "and a child"):
        assert chat in done.stderr


def test_a_reader_that_leaves_early_is_no_error_message() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "halo_core", "plugins"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == ""


def test_ctrl_c_ends_any_command_with_130(site: Any, halo_process: Halo) -> None:
    source = """
import os, signal, click
from halo_core.hooks import hookimpl

@click.command()
def wait():
    # Ignored where the tests run in the background of a script.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.kill(os.getpid(), signal.SIGINT)

@hookimpl
def halo_register(registry):
    registry.command("wait", "halo_acme_plugin:wait", help="Wait.")
"""
    site.add("halo-acme", source)
    done = halo_process("acme/wait", env=site.env)
    assert done.code == 128 + signal.SIGINT
    assert done.err.strip() == "interrupted"


def test_a_stranger_s_command_runs_and_its_bug_is_its_own_fault(site: Any, halo: Halo) -> None:
    source = """
import click
from halo_core.hooks import hookimpl

@click.command()
@click.option("--bug", is_flag=True)
@click.option("--leave", is_flag=True)
@click.option("--json", is_flag=True)
def greet(bug, leave, json):
    if bug:
        raise KeyError("name")
    if leave:
        raise SystemExit(0)
    click.echo("hello")

@hookimpl
def halo_register(registry):
    registry.command("greet", "halo_acme_plugin:greet", help="Say hello.")
    registry.command("odd", "halo_acme_plugin:__name__", help="Is no command.")
"""
    module = site.add("halo-acme", source)
    listed = halo("--help", env=site.env)
    assert "acme/greet  Say hello." in listed.out
    assert halo("acme/greet", env=site.env).out == "hello\n"
    failed = halo("acme/greet", "--bug", env=site.env)
    assert failed.code == 3
    assert failed.err == (
        f"{site.folder / module}.py:11: the command 'acme/greet' failed: KeyError: 'name'\n"
    )
    left = halo("acme/greet", "--leave", "--json", env=site.env)
    assert left.code == 3
    assert left.json["error"] == {
        "type": "PluginError",
        "message": "the command 'acme/greet' failed: SystemExit: 0; end it with click's ctx.exit()",
        "location": f"{site.folder / module}.py:13",
    }
    odd = halo("acme/odd", env=site.env)
    assert odd.code == 3
    assert "expected a click command" in odd.err


COMMAND = """
import json, click
from halo_core import PathError

@click.command()
@click.argument("place")
@click.option("--json", "as_json", is_flag=True)
def command(place, as_json):
    print("reading", place) if place == "loud" else None
    if place == "gone":
        raise PathError("does not exist", location=place)
    click.echo(json.dumps({"place": place}) if as_json else f"it is {place}")
    if place == "odd":
        raise KeyError(place)

class Other:
    pass
"""


def test_a_command_in_a_file_is_tried_without_a_package(tmp_path: Path, halo: Halo) -> None:
    (tmp_path / "own.py").write_text(COMMAND)
    name = f"file:{tmp_path}/own.py:command"
    assert halo(name, "here").out == "it is here\n"
    printed = halo(name, "\u00fcber", "--json")
    assert (printed.code, printed.out, printed.err) == (0, '{"place": "\\u00fcber"}\n', "")
    gone = halo(name, "gone", "--json")
    assert gone.code == 2
    assert (gone.json["error"]["type"], gone.json["error"]["location"]) == ("PathError", "gone")
    odd = halo(name, "odd", "--json")  # The text before its error is not the result.
    assert (odd.code, odd.json["error"]["type"]) == (3, "PluginError")
    assert odd.err == '{"place": "odd"}\n'


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("own.py:Other", 3, "Other is a class; expected a click command. To check a component in"),
        ("own.py:none", 3, "own.py has no 'none'"),
        ("own.py", 2, "expected file:PATH:COMMAND, as in halo file:./times.py:command"),
        ("gone.py:command", 2, "no such file"),
    ],
)
def test_a_mistaken_name_of_a_command_in_a_file_is_explained(
    end: str, code: int, said: str, tmp_path: Path, halo: Halo
) -> None:
    (tmp_path / "own.py").write_text(COMMAND)
    done = halo(f"file:{tmp_path}/{end}")
    assert done.code == code
    assert said in done.err


def test_the_command_of_an_absent_plugin_says_what_to_install(halo: Halo) -> None:
    without = {"HALO_PLUGINS": "halo-methods"}
    assert "In halo-mlflow: not installed, or broken" in halo("--help", env=without).out
    done = halo("ui", env=without)
    assert done.code == 2
    assert "the command 'ui' is in halo-mlflow, which HALO_PLUGINS leaves out" in done.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["plan", "spec.yaml"], 0),
        (["validate", "spec.yaml", "--set", "stages.learn.rate=0", "--json"], 2),
        (["run", "spec.yaml", "--dry-run", "--json"], 0),
        (["compare", "small"], 2),
    ],
)
@pytest.mark.usefixtures("spec_file")
def test_a_command_says_the_same_in_a_process_of_its_own(
    arguments: list[str], code: int, halo: Halo, halo_process: Halo
) -> None:
    here, apart = halo(*arguments), halo_process(*arguments)
    assert (apart.code, apart.out, apart.err) == (here.code, here.out, here.err)
    assert apart.code == code


@pytest.mark.parametrize("group", ["runs", "plugins", "new"])
def test_the_list_of_subcommands_cuts_no_sentence(
    group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call([group, "--help"]) == 0
    _, _, listed = capsys.readouterr().out.partition("Commands:")
    assert len(listed.splitlines()) > 1
    assert "..." not in listed


def test_python_without_docstrings_is_refused() -> None:
    """Docstrings describe components and options, and transformers reads its own ones."""
    done = subprocess.run(
        [sys.executable, "-OO", "-m", "halo_core", "plugins"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Python removes all docstrings here")
    assert "unset PYTHONOPTIMIZE" in done.stderr
