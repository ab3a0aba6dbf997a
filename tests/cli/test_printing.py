"""All that halo prints goes through one place, which shows control characters as text."""

from __future__ import annotations

import ast
import io
import json
import os
from pathlib import Path

import pytest

from halo_core import printing
from halo_core.cli import call
from halo_core.cli.terminal import Paint, drawn, grid

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT / "halo_core", *ROOT.glob("plugins/*/src"), *ROOT.glob("libraries/*/src")]
HOSTILE = "a\x1b]0;title\x07b\x1b[2Jc\x9b1md\x90e\u202ef\u2066g\x7fh\rI\u2028j\ud800"
SHOWN = r"a\x1b]0;title\x07b\x1b[2Jc\x9b1md\x90e\u202ef\u2066g\x7fh\rI\u2028j\ud800"


def test_control_characters_are_shown_as_python_writes_them() -> None:
    assert printing.visible(HOSTILE) == SHOWN
    assert printing.visible("tab\tand\r\nnewline\nstay: ä 😀 👩‍👩‍👧") == (
        "tab\tand\nnewline\nstay: ä 😀 👩‍👩‍👧"
    )


@pytest.mark.parametrize("err", [False, True])
def test_say_and_warn_print_nothing_raw(err: bool, capsys: pytest.CaptureFixture[str]) -> None:
    printing.say(HOSTILE, err=err)
    found = capsys.readouterr()
    assert (found.err if err else found.out) == f"{SHOWN}\n"
    printing.warn(HOSTILE)
    assert capsys.readouterr().err == f"warning: {SHOWN}\n"


def test_what_a_terminal_cannot_encode_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, "ascii"))
    printing.say("a ä 😀")
    assert written.getvalue() == b"a \\xe4 \\U0001f600\n"


def test_the_null_device_is_no_closed_terminal() -> None:
    """Otherwise the error of a disk that stdout leads to would be dropped with 2>/dev/null."""
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        left = printing.leave_closed_terminal()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)
    assert not left


def test_tables_keep_their_own_colours_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = drawn(grid(HOSTILE, ["run"], [["\x1b[31mred"]]), "\x1b[8mhidden")
    assert "\x1b[1m" in text
    assert r"\x1b[31mred" in text
    assert r"\x1b[8mhidden" in text
    assert "\x1b]" not in text
    assert "\x1b[8m" not in text.replace(r"\x1b[8m", "")
    # A text that is joined with a drawn one is not trusted because of it.
    joined = printing.Drawn.joined([text, "\x1b[31mraw"])
    assert joined.endswith(r"\x1b[31mraw")
    assert "\x1b[1m" in joined


def test_json_has_the_same_content_without_raw_control_characters(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = HOSTILE.replace("\ud800", "")
    made = json.dumps({"a": text}, ensure_ascii=False)
    assert json.loads(printing.json_visible(made)) == {"a": text}
    assert not set(printing.json_visible(made)) & set("\x7f\x9b\x90\u202e\u2066\u2028")


def test_an_error_about_a_spec_shows_its_escape_sequences_as_text(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text('name: a\nstages:\n  "b\\e]0;owned\\a": {use: "\\e[2Jtrain\\u202e"}\n')
    assert call(["validate", str(spec)]) == 2
    found = capsys.readouterr()
    assert not set(found.out + found.err) & set("\x1b\x07\u202e")
    assert "x1b" in found.err


PRINTING = {"print", "echo", "secho", "print_exception", "print_exc"}


def prints(path: Path) -> list[str]:
    """Returns the calls in a file that print by themselves."""
    found = []
    text = path.read_text()
    if not any(f"{name}(" in text for name in (*PRINTING, "write")):
        return []  # Parsing all files would take a second.
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
        writes = name == "write" and ast.unparse(called) in ("sys.stdout.write", "sys.stderr.write")
        if name in PRINTING or writes:
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(called)}")
    return found


def test_nothing_prints_around_the_one_place() -> None:
    found = [
        line for package in PACKAGES for path in package.rglob("*.py") for line in prints(path)
    ]
    # Consoles of rich, whose text was made visible before, and other people's plugins.
    own = (
        "halo_core/cli/terminal.py",
        "halo_core/display/surfaces.py",
        "halo_core/new/templates/",
    )
    assert [line for line in found if not line.startswith(own)] == []
    assert found  # the search itself finds something


def test_parts_of_a_line_are_coloured_and_the_rest_is_text() -> None:
    paint = Paint({"trained": "green", "cut": "red"})
    trained, cut = paint.part("b\x1b[2J", "trained"), paint.part("d", "cut")
    line = f"\x1b[8ma {trained} c {cut}"
    assert paint.line(line) == "\\x1b[8ma \x1b[32mb\\x1b[2J\x1b[0m c \x1b[31md\x1b[0m"
    # Each painter has a mark of its own.
    assert "\x1b" not in Paint({"trained": "green"}).line(paint.part("b", "trained"))
