"""The page of files and formats is generated from the records, and has all of them."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from halo_core.workspace.formats import LineFile, ObjectFile
from halo_core.workspace.records import PARTIAL_SAMPLES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "registry"))
    return importlib.import_module("formats_page")


def test_the_page_is_what_the_records_give(page: ModuleType) -> None:
    written = (ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")
    assert written == page.formats_page(), "python registry/build.py writes it"


def test_every_file_has_a_section_with_every_field(page: ModuleType) -> None:
    from halo_core.workspace import records

    sections = page.formats_page().split("\n## ")
    for file in vars(records).values():
        if not isinstance(file, LineFile | ObjectFile) or file is PARTIAL_SAMPLES:
            continue
        (section,) = [text for text in sections if text.startswith(f"`{file.name}`\n")]
        assert all(f"| `{field}` |" in section for field in file.fields.__annotations__)


def test_a_field_that_may_be_missing_is_marked(page: ModuleType) -> None:
    lines = page.formats_page().splitlines()
    assert any(line.startswith("| `calls` | `int` | yes | ") for line in lines)
    assert any(
        line.startswith("| `winner` | `Literal['A', 'B', 'tie'] \\| None` |  | ") for line in lines
    )
