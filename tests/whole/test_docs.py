"""The docs describe the command line as it is, and the guides show tested files."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import click
import pytest

from halo_core.cli.group import COMMANDS, halo
from halo_core.plugins.discovery import discover

ROOT = Path(__file__).parents[2]
SHARED = {"--json", "--debug", "--help"}


def section_of(command: str) -> str:
    text = (ROOT / "docs" / "reference" / "cli.md").read_text()
    found = re.search(rf"^## halo {command}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/reference/cli.md has no section '## halo {command}'"
    return found[1]


def commands() -> list[str]:
    """Returns the names of the core's commands and of those that the built-in plugins add."""
    added = (r for r in discover().registrations if r.kind == "command")
    return [*COMMANDS, *sorted(r.canonical for r in added)]


def options_of(command: click.Command) -> set[str]:
    """Returns the names of the options of a command and of its subcommands."""
    subcommands = command.commands.values() if isinstance(command, click.Group) else ()
    parameters = [p for c in (command, *subcommands) for p in c.params]
    shown = [p for p in parameters if isinstance(p, click.Option) and not p.hidden]
    return {o for p in shown for o in (*p.opts, *p.secondary_opts)}


def command_called(name: str) -> click.Command:
    command = halo.get_command(click.Context(halo), name)
    assert command is not None
    return command


def test_every_command_is_known() -> None:
    assert {"run", "judge", "label", "compare", "report", "inspect", "ui"} <= {*commands()}


@pytest.mark.parametrize("name", commands())
def test_the_reference_names_every_option_of_a_command(name: str) -> None:
    section = section_of(name)
    named = set(re.findall(r"--?[a-z][a-z-]*", section))
    long = {o for o in options_of(command_called(name)) if o.startswith("--")}
    assert long - SHARED - named == set()


@pytest.mark.parametrize("name", commands())
def test_the_reference_names_no_option_that_does_not_exist(name: str) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", section_of(name)))
    assert named - options_of(command_called(name)) - SHARED == set()


@pytest.mark.parametrize("name", commands())
def test_the_table_of_commands_leads_to_the_section_of_each(name: str) -> None:
    table = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert f"| [`halo {name}`](#halo-{name}) |" in table


@pytest.mark.parametrize("name", commands())
def test_the_help_of_commands_and_options_is_made_of_sentences(name: str) -> None:
    command = command_called(name)
    commands = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
    options = [o for c in commands for o in c.params if isinstance(o, click.Option)]
    texts = [*(c.help or "" for c in commands), *(o.help or "" for o in options if not o.hidden)]
    shown = [text.partition("\n\n")[0].strip() for text in texts]
    assert [text for text in shown if not is_a_sentence(text)] == []


def test_the_description_of_each_option_is_made_of_sentences() -> None:
    index = json.loads((ROOT / "registry" / "index.json").read_text(encoding="utf-8"))
    components = [c for entry in index["distributions"] for c in entry["components"]]
    options = [option for component in components for option in component.get("options", ())]
    assert len(options) > 100
    bad = [
        (option["name"], option["description"])
        for option in options
        if not is_a_sentence(option["description"])
        # Some begin with a value of the option: "adjacent: each reply with the next lower one."
        and not re.match(r"[\w.-]+(:| keeps| is) .*\.$", option["description"])
    ]
    assert bad == []


def is_a_sentence(text: str) -> bool:
    """Returns whether a text begins with a capital letter, a number or a quote, and ends as one."""
    return bool(re.match(r"[A-Z0-9'\"`].*[.?)]$", text, re.DOTALL))


def test_every_public_name_is_described(blocks: ModuleType) -> None:
    table = importlib.import_module("public_names").names_table()
    assert re.findall(r"^\| `(\w+)` \|\s*\|$", table, re.MULTILINE) == []


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "registry"))
    return importlib.import_module("blocks")


def test_tables_and_code_in_pages_are_those_of_the_code(blocks: ModuleType) -> None:
    for page, text in blocks.pages_with_blocks().items():
        assert page.read_text(encoding="utf-8") == text, f"{page}: python registry/build.py"


@pytest.mark.parametrize("name", ["write-a-plugin", "write-a-stage", "write-a-tracker"])
def test_code_stands_in_the_guide_itself_and_equals_the_tested_file(name: str) -> None:
    page = (ROOT / "docs" / "how-to" / f"{name}.md").read_text(encoding="utf-8")
    files = re.findall(r"<!-- from: (\S+) -->", page)
    assert any(file.endswith(".py") for file in files)
    for file in files:
        assert file.startswith("tests/strangers/")
        assert f"\n{(ROOT / file).read_text(encoding='utf-8').rstrip()}\n```" in page


def test_a_block_whose_source_is_gone_is_found(blocks: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"no file tests/gone\.py"):
        blocks.filled("<!-- from: tests/gone.py -->\n<!-- end -->")
    with pytest.raises(
        ValueError, match="no table 'gone'; expected one of public-names, spec-keys"
    ):
        blocks.filled("<!-- made: gone -->\n<!-- end -->")


def test_no_page_includes_what_only_the_site_would_show() -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        assert "--8<" not in page.read_text(encoding="utf-8"), page


def test_every_table_has_a_head() -> None:
    # A blank line within a table ends it, and the rows below it are shown as text.
    row_after_no_row = re.compile(r"(?<!\|)\n(\|.*)\n(?!\|[ :-]*-[ |:-]*\n)")
    pages = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/*/README.md"), *ROOT.glob("*.md")]
    found = [
        (page.name, row)
        for page in pages
        for row in row_after_no_row.findall("\n" + page.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_tables_of_options_are_on_the_generated_page_alone() -> None:
    table = re.compile(r"^\| (source \| )?option \| (type \| )?default ", re.MULTILINE)
    pages = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/*/README.md"), ROOT / "README.md"]
    found = [page.name for page in pages if table.search(page.read_text(encoding="utf-8"))]
    assert found == ["components.md"]


def anchors_of(page: Path) -> set[str]:
    """Returns the anchors of a page's headings, as code hosts and the site make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"\s", "-", heading) for heading in plain}


READMES = [*ROOT.glob("*.md"), *ROOT.glob("*/*/README.md"), ROOT / "registry" / "README.md"]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_from_outside_of_the_docs_lead_somewhere(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#:\s]+)(?:#([^)\s]+))?\)", text):
        file = (readme.parent / target).resolve()
        assert file.exists(), target
        assert not anchor or anchor in anchors_of(file), f"{target}#{anchor}"
