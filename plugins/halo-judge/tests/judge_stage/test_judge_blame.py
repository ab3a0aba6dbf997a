"""Mistakes of a judge before it is asked: exit code 3, its name and a line of its file."""

import json
from pathlib import Path

import pytest

from halo_core.cli import call
from halo_core.judge import Quote

SOURCE = '''
from contextlib import nullcontext
from types import SimpleNamespace

from halo_core import Judge, Verdict
from halo_core.judge import Quote


class Wrong(Judge):
    """Does one thing wrong."""

    def check_ready(self):
        READY

    def quote(self, comparisons, shared):
        QUOTE

    def open(self, context):
        def compare(comparisons):
            return [Verdict(each.id, "A") for each in comparisons]

        OPEN
        return nullcontext(SimpleNamespace(compare=compare))
'''
SPEC = """
name: wrong
seed: 1
model: {hub: some/model, revision: main}
stages:
  answers: {use: "file:./fixed.py:Fixed"}
  win: {use: judge, judge: "file:./wrong.py:Wrong", of: answers, against: target}
"""


@pytest.fixture
def halo(judged, monkeypatch, capsys):
    """Runs a command with a judge that has one line of its own; returns the error about it."""
    folder = judged().folder
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HALO_WORKSPACE", "workspace")
    (folder / "spec.yaml").write_text(SPEC, encoding="utf-8")
    for name in "ab":
        row = {"instruction": "q", "output": f"text {name}"}
        Path(f"{name}.json").write_text(json.dumps([row]), encoding="utf-8")

    def go(arguments, **lines):
        source = SOURCE
        for name in ("READY", "QUOTE", "OPEN"):
            source = source.replace(name, lines.get(name, "pass"))
        path = folder / "wrong.py"
        path.write_text(source, encoding="utf-8")
        assert call([*arguments, "--json"]) == 3
        error = json.loads(capsys.readouterr().out)["error"]
        file, _, line = error["location"].rpartition(":")
        assert (error["type"], Path(file)) == ("PluginError", path)
        name = f"file:{path}:Wrong."
        assert error["message"].startswith(name)
        said = source.splitlines()[int(line) - 1].strip()
        return error["message"].removeprefix(name), said

    return go


JUDGE = ("judge", "--a", "a.json", "--b", "b.json", "--judge", "file:./wrong.py:Wrong")
PLAN = ("plan", "spec.yaml")
RUN = ("run", "spec.yaml")


def test_a_quote_that_raises_is_blamed_by_every_command_that_wants_one(halo):
    for arguments in ((*JUDGE, "--dry-run"), JUDGE, PLAN):
        message, line = halo(arguments, QUOTE="return 1 / 0")
        assert message == "quote() raised ZeroDivisionError: division by zero"
        assert line == "return 1 / 0"


@pytest.mark.parametrize(
    ("quote", "came"),
    [
        ('"free"', "'free'"),
        ('Quote(1, 0, 0, 0, -0.5, "m")', "the cost -0.5"),
        ('Quote(1, -1, 0, 0, None, "m")', "the kept -1"),
        ('Quote(1, 0, float("nan"), 0, None, "m")', "the tokens_in nan"),
        ("Quote(1, 0, 0, 0, None, None)", "the model None"),
    ],
)
def test_what_is_no_quote_is_told(halo, quote, came):
    message, line = halo((*JUDGE, "--dry-run"), QUOTE=f"return {quote}")
    assert message == (
        f"quote() returned {came}; expected None or a Quote, whose numbers are at least 0"
    )
    assert line == "def quote(self, comparisons, shared):"


def test_a_check_that_raises_by_accident_is_blamed_before_anything_is_computed(halo):
    message, line = halo(RUN, READY='{}["key"]')
    assert message == "check_ready() raised KeyError: 'key'"
    assert line == '{}["key"]'
    assert not list(Path("workspace").rglob("samples.jsonl"))


def test_a_check_that_returns_something_is_blamed(halo):
    message, _ = halo(RUN, READY="return False")
    assert message == (
        "check_ready() returned False; expected None: what is missing is raised, as a UserError"
    )


def test_a_quote_that_is_amiss_ends_a_run_before_the_judge_is_opened(halo):
    message, _ = halo(RUN, QUOTE='return "free"', OPEN='raise OSError("opened")')
    assert message.startswith("quote() returned 'free'")


def test_an_opening_that_raises_is_blamed(halo):
    for arguments in (JUDGE, RUN):
        message, line = halo(arguments, OPEN='raise OSError("no room")')
        assert message == "open() raised OSError: no room"
        assert line == 'raise OSError("no room")'


@pytest.mark.parametrize("arguments", [JUDGE, RUN])
def test_a_session_that_ends_python_does_not_end_halo_with_0(halo, arguments):
    lines = (
        "def compare(comparisons): raise SystemExit(0)",
        "def compare(comparisons): yield exit(0)",
    )
    for line in lines:
        message, said = halo(arguments, OPEN=line)
        assert message == "compare() raised SystemExit: 0"
        assert said == line


def test_a_quote_in_order_has_no_fault():
    assert Quote(1, 0, 900, 800, 0.081, "gpt-4-0613", "prices of mine.json").fault() is None
    assert Quote(0, 0, 0, 0, None, "m").fault() is None
