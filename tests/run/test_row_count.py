"""The approximate number of rows of a set: counted if they are on disk, otherwise as published."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import PluginError
from halo_core.plugins.discovery import discover
from halo_core.run.forecast import about_rows
from halo_core.run.materialise import materialise
from halo_core.spec.data_sets import Part, SetSpec, Source, resolve_set
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.resolver import Resolver
from halo_core.workspace.layout import Workspace

MADE = Path(__file__).parents[1] / "made_components.py"

SIZED = """
from halo_core import DataInfo, DataSource, Loaded


class Sized(DataSource):
    def inspect(self) -> DataInfo:
        return DataInfo("paired", ("train",), None)

    def load(self, split: str) -> Loaded:
        raise NotImplementedError

    def about_rows(self, split: str) -> int | None:
        return SAID
"""


def made_set(**options: Any) -> SetSpec:
    value = {"use": f"file:{MADE}:Pairs", **options}
    found = resolve_set(
        Resolver(discover(), Mistakes(Document("x", MADE.parent, {}))), "d", value, ()
    )
    assert found is not None
    return found


class Published(DataSource):
    def inspect(self) -> DataInfo:
        return DataInfo("paired", ("train",), None)

    def load(self, split: str) -> Loaded:
        raise NotImplementedError

    def about_rows(self, split: str) -> int | None:
        return 1000 if split == "train" else None


def published(split: str = "train", part: Part | None = None) -> Source:
    component = Published()
    resolved: Any = SimpleNamespace(component=component)
    return Source(resolved, split, component.inspect(), part)


def test_rows_on_disk_are_counted_and_others_are_unknown(tmp_path: Path) -> None:
    workspace, data = Workspace(tmp_path), made_set(count=7)
    assert about_rows(data, workspace) is None
    materialise(data.sources[0], workspace)
    assert about_rows(data, workspace) == 7


def test_a_published_size_is_told_without_reading(tmp_path: Path) -> None:
    assert about_rows(SetSpec("d", (published(),)), Workspace(tmp_path)) == 1000
    assert about_rows(SetSpec("d", (published("test"),)), Workspace(tmp_path)) is None


def test_a_hold_out_takes_its_share(tmp_path: Path) -> None:
    held, rest = (published(part=Part(side, 0.1)) for side in ("held", "rest"))
    assert about_rows(SetSpec("d", (held,)), Workspace(tmp_path)) == 100
    assert about_rows(SetSpec("d", (rest,)), Workspace(tmp_path)) == 900


def test_one_unknown_source_makes_the_set_unknown(tmp_path: Path) -> None:
    workspace, unknown = Workspace(tmp_path), made_set(count=7).sources[0]
    assert about_rows(SetSpec("d", (published(), published())), workspace) == 2000
    assert about_rows(SetSpec("d", (published(), unknown)), workspace) is None


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("1 // 0", "raised ZeroDivisionError"),
        ("'many'", "returned 'many'; expected a number of rows, or None"),
        ("-1", "returned -1; expected a number of rows, or None"),
        ("True", "returned True; expected a number of rows, or None"),
    ],
)
def test_a_size_that_is_none_is_the_plugins_fault(tmp_path: Path, said: str, message: str) -> None:
    path = tmp_path / "sized.py"
    path.write_text(SIZED.replace("SAID", said))
    document = Document("x", tmp_path, {})
    found = resolve_set(Resolver(discover(), Mistakes(document)), "d", f"file:{path}:Sized", ())
    assert found is not None
    with pytest.raises(PluginError, match=rf"Sized\.about_rows\(\) {message}") as caught:
        about_rows(found, Workspace(tmp_path))
    assert str(caught.value.location).startswith(f"{path}:")
