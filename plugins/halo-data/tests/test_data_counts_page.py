"""The page of counts shows what its commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from halo_core.cli.group import halo
from halo_data.components import __all__ as names

PAGE = Path(__file__).parents[3] / "docs" / "evidence" / "data-counts.md"


def shown() -> dict[str, list[str]]:
    """The lines that the page shows below each command."""
    found: dict[str, list[str]] = {}
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        for part in block.strip().split("\n\n"):
            command, *lines = part.splitlines()
            found[command.removeprefix("$ halo ")] = lines
    return found


@pytest.mark.parametrize("command", shown())
def test_command_prints_the_counts_of_the_page(
    command: str, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(real_data)
    done = CliRunner().invoke(halo, [*shlex.split(command), "--show", "0"])
    assert done.exit_code == 0, done.output
    printed = [line for line in done.output.splitlines() if line.strip()]
    assert [line for line in printed if not line.endswith(" characters")] == shown()[command]


def test_page_has_every_source_and_conversion_but_those_without_real_files() -> None:
    used = {command.split()[1] for command in shown()}
    text = PAGE.read_text(encoding="utf-8")
    without = {"toy", "oracle", "hub", "ultrafeedback", "files"}
    classes = {name.lower() for name in names} - without
    missing = classes - {name.replace("-", "") for name in used}
    assert missing == {"binarytodemonstration", "pairedtoscored", "settlelabels", "splitof"}
    assert "There is no sample for `ultrafeedback`" in " ".join(text.split())
