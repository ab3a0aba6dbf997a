"""The docs say what the command line does, and the how-to shows what is tested."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from halo_core.cli.group import COMMANDS, halo

ROOT = Path(__file__).parents[2]
SHARED = {"--json", "--debug", "--help"}


def section_of(command: str) -> str:
    text = (ROOT / "docs" / "reference" / "cli.md").read_text()
    found = re.search(rf"^## halo {command}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/reference/cli.md has no section '## halo {command}'"
    return found[1]


@pytest.mark.parametrize("name", [*COMMANDS, "inspect", "report", "ui"])
def test_the_reference_names_every_option_of_a_command(name: str) -> None:
    command = halo.get_command(click.Context(halo), name)
    assert command is not None
    section = section_of(name)
    options = {o for p in command.params if isinstance(p, click.Option) for o in p.opts}
    for option in options - SHARED:
        assert option in section


def test_the_reference_names_no_option_that_does_not_exist() -> None:
    for name in [*COMMANDS, "inspect", "report", "ui"]:
        command = halo.get_command(click.Context(halo), name)
        assert command is not None
        parameters = list(command.params)
        if isinstance(command, click.Group):
            parameters += [p for sub in command.commands.values() for p in sub.params]
        known = {o for p in parameters for o in (*p.opts, *p.secondary_opts)}
        assert set(re.findall(r"--[a-z][a-z-]*", section_of(name))) <= known, name


def test_every_file_that_a_page_includes_is_there() -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        assert "--8 <" not in page.read_text(), page
        for file in re.findall(r'--8<-- "([^"]+)"', page.read_text()):
            assert (ROOT / file).is_file(), f"{page.name} includes {file}"
