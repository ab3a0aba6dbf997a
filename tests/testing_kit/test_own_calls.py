"""The import of a module shows prints, threads, seeds, replaced functions and moving defaults."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
import threading
import types
import warnings
from pathlib import Path

import click
import pytest

from halo_core.testing.processes import shifted_clock
from halo_core.testing.processes.import_probe import moving_defaults
from halo_core.testing.processes.own_calls import own_calls


def told(folder: Path, text: str) -> list[str]:
    file = folder / "odd_module.py"
    file.write_text(text)
    spec = importlib.util.spec_from_file_location("odd_module", file)
    assert spec is not None
    assert spec.loader is not None
    with own_calls(str(file)) as found:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import random\nrandom.seed(1)", "seeds random"),
        ("import warnings\nwarnings.simplefilter('ignore')", "hides all warnings of the process"),
        ("import warnings\nwarnings.filterwarnings('ignore')", "hides all warnings of the process"),
        (
            "import threading\nthreading.Thread(target=stop.wait, name='idle').start()",
            "starts the thread 'idle'",
        ),
        ("import sys\nsys.stderr.write('moo\\n')", "prints 'moo\\n' on stderr"),
        ("import click\nclick.echo('moo', err=True)", "prints 'moo\\n' on stderr"),
        ("import click\nclick.echo = print", "replaces click.echo"),
        ("import json\njson.dumps = str\njson.loads = int", "replaces json.dumps, json.loads"),
    ],
)
def test_what_a_module_does_is_told(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, names in ((json, ("dumps", "loads")), (click, ("echo",))):
        for name in names:  # Set back at the end.
            monkeypatch.setattr(module, name, getattr(module, name))
    stop, state = threading.Event(), random.getstate()
    monkeypatch.setattr("builtins.stop", stop, raising=False)
    try:
        with warnings.catch_warnings():
            assert told(tmp_path, text) == [said]
    finally:
        stop.set()
        random.setstate(state)


def test_usual_modules_do_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loud_library.py").write_text(
        "import json, sys, warnings\nprint('moo', file=sys.stderr)\n"
        "warnings.simplefilter('ignore')\njson.dumps = lambda *_: ''\n"
    )
    monkeypatch.setattr(json, "dumps", json.dumps)  # Set back at the end.
    text = (
        f"import sys, threading, warnings\nsys.path.insert(0, {str(tmp_path)!r})\n"
        "import loud_library\nsys.path.pop(0)\nwarnings.warn('an old name')\n"
        "warnings.filterwarnings('ignore', message='an old name')\n"
        "warnings.filterwarnings('ignore', category=DeprecationWarning)\n"
        "short = threading.Thread(target=print, args=('',))\nshort.start()\nshort.join()\n"
    )
    state = random.getstate()
    with warnings.catch_warnings():
        assert told(tmp_path, text) == []
    assert random.getstate() == state
    del sys.modules["loud_library"]


COMMAND = """
import datetime, time
import click
from pydantic import BaseModel, Field

class Rows(BaseModel):
    since: {type} = Field(default={default}, description="Time.")

@click.command()
@click.option("--since", default={default}, help="Time.")
def command(since):
    "Shows rows."
"""


@pytest.mark.parametrize(
    ("type_", "default", "moving"),
    [
        ("float", "time.time()", ["Rows.since", "--since"]),
        ("str", "str(datetime.date.today())", ["Rows.since", "--since"]),
        ("int", "5", []),
        ("object", "object()", []),
    ],
)
def test_a_default_that_is_the_time_of_the_import_is_found(
    type_: str, default: str, moving: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "timed_module.py"
    file.write_text(COMMAND.format(type=type_, default=default))
    spec = importlib.util.spec_from_file_location("timed_module", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "timed_module", module)
    spec.loader.exec_module(module)
    assert moving_defaults("timed_module", str(file), shifted_clock) == moving
    assert isinstance(sys.modules["timed_module"], types.ModuleType)
    assert sys.modules["timed_module"] is module
