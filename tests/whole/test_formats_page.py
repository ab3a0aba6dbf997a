"""The page of files and formats is generated from the records, and has all of them."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from halo_core.run.machines.meeting import join_folder
from halo_core.run.rank_warnings import FOLDER
from halo_core.workspace.formats import LineFile, ObjectFile
from halo_core.workspace.lock import locked, recorded_needs, sender_lock, turn
from halo_core.workspace.records import PARTIAL_SAMPLES
from halo_trainer.reference_store.overview import REMOVED
from halo_trainer.reference_store.store import IN_USE, USED

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


def test_hidden_files_are_listed_by_the_names_that_the_code_gives_them(
    page: ModuleType, tmp_path: Path
) -> None:
    folder = tmp_path / "NAME"
    with (
        locked(folder, ""),
        turn(folder, first=list, check=list),
        recorded_needs(tmp_path),
        sender_lock(tmp_path, "mlflow"),
    ):
        made = [re.sub("sends-.*[.]", "sends-HASH.", path.name) for path in tmp_path.glob(".*")]
    assert len(made) == 4
    for name in (*made, FOLDER, join_folder(tmp_path).name, IN_USE, USED, REMOVED):
        assert f"`{name}" in page.HIDDEN
