"""The tutorial about own thumbs: its program and its commands work as the page shows them."""

from __future__ import annotations

import re
import shlex
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from halo_core.cli import call

PAGE = (Path(__file__).parents[2] / "docs" / "tutorials" / "own-thumbs.md").read_text()
COMMANDS = re.findall(r"^\$ (halo .*)$", PAGE, re.MULTILINE)
SMALL = re.search(r'^SMALL="(.*)"$', PAGE, re.MULTILINE)


def command(name: str) -> list[str]:
    line = next(line for line in COMMANDS if line.startswith(f"halo {name} "))
    assert SMALL is not None
    return shlex.split(line.replace("$SMALL", SMALL[1]))[1:]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the file of thumbs that the page's program makes, and a model's header."""
    monkeypatch.chdir(tmp_path)
    program = re.search(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert program is not None
    Path("make_thumbs.py").write_text(program[1])
    subprocess.run([sys.executable, "make_thumbs.py"], check=True)
    Path("smollm2.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))


def test_the_page_has_seven_steps() -> None:
    numbered = re.findall(r"^\*\*(\d)\. ", PAGE, re.MULTILINE)
    assert numbered == list("1234567")
    shown = [line.split()[1] for line in COMMANDS]
    assert shown == ["data", "init", "plan", "run", "chat", "chat", "export"]


def test_halo_data_shows_what_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(command("data")) == 0
    for line in capsys.readouterr().out.strip().splitlines():
        assert line in PAGE


def test_halo_init_writes_a_spec_that_is_valid_with_the_settings_of_the_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(command("init")) == 0
    assert capsys.readouterr().out.strip() in PAGE
    planned, run = command("plan"), command("run")
    assert planned[1:] == run[1:]
    assert call(["validate", *run[1:]]) == 0
