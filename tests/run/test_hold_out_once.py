"""A source with a hold-out is read once for both sides, with the files of two readings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.run.materialise import Rows, materialise_set, sides_of
from halo_core.spec.data_sets import SetSpec
from halo_core.spec.spec import load_spec
from halo_core.workspace.layout import Workspace


def both_sides(spec_file: Path, **options: object) -> Mapping[str, SetSpec]:
    """Returns the set `train`, with a hold-out, and the set `test`, which is held out."""
    text = spec_file.read_text()
    before, after = text[: text.index("  test: {use")], text[text.index("stages:") :]
    spec_file.write_text(f"{before}  holdout: 0.3\n{after}")
    changes = {f"data.train.{name}": str(value) for name, value in options.items()}
    sets = load_spec(spec_file, changes).sets
    return {name: sets[name] for name in ("train", "test")}


def count_readings(sets: Mapping[str, SetSpec], patch: pytest.MonkeyPatch) -> list[str]:
    """Returns a list that grows by the name of the split whenever a source is read."""
    read: list[str] = []
    kind = type(sets["train"].sources[0].component)
    load = kind.load

    def counted(self: Any, split: str) -> Any:
        read.append(split)
        return load(self, split)

    patch.setattr(kind, "load", counted)
    return read


def files_of(rows: Rows) -> tuple[bytes, bytes]:
    return rows.file.read_bytes(), (rows.file.parent / "data.json").read_bytes()


@pytest.mark.parametrize("first", ["train", "test"])
@pytest.mark.parametrize("spare", [False, True])
def test_one_reading_writes_the_files_of_two(
    first: str, spare: bool, spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More than one chunk of rows on one side, and fewer than one on the other.
    sets = both_sides(spec_file, count=2500, empty=3)
    read = count_readings(sets, monkeypatch)
    apart = {n: materialise_set(s, Workspace(tmp_path / "apart"))[0] for n, s in sets.items()}
    assert read == ["train", "train"]
    read.clear()
    together = Workspace(tmp_path / "together", spare=tmp_path / "spare" if spare else None)
    names = sorted(sets, key=lambda name: name != first)
    told: list[int] = []
    found = {
        name: materialise_set(sets[name], together, told.append, sides_of(sets.values()))[0]
        for name in names
    }
    assert read == ["train"]
    assert sum(told) == found[first].count
    for name in names:
        assert files_of(found[name]) == files_of(apart[name])
        assert found[name].dropped == {"empty completion": 3, "too odd": 2}
        assert found[name].file.is_relative_to(tmp_path / ("spare" if spare else "together"))
    assert found["train"].held_elsewhere == found["test"].count > 0


def test_a_side_that_nobody_wants_is_not_written(
    spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = both_sides(spec_file, count=200)
    read = count_readings(sets, monkeypatch)
    workspace = Workspace(tmp_path / "w")
    materialise_set(sets["train"], workspace, wanted=sides_of([sets["train"]]))
    assert len(list((tmp_path / "w" / "data").glob("*/rows.arrow"))) == 1
    materialise_set(sets["test"], workspace, wanted=sides_of(sets.values()))
    assert read == ["train", "train"]


def test_a_lost_side_is_read_again_and_the_other_is_left_alone(
    spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = both_sides(spec_file, count=200)
    read = count_readings(sets, monkeypatch)
    workspace, wanted = Workspace(tmp_path / "w"), sides_of(sets.values())
    rows = {name: materialise_set(each, workspace, wanted=wanted)[0] for name, each in sets.items()}
    kept = rows["train"].file.stat().st_mtime_ns
    rows["test"].file.write_bytes(b"")
    (again,) = materialise_set(sets["test"], workspace, wanted=wanted)
    assert again.damage
    assert again.count == rows["test"].count
    assert rows["train"].file.stat().st_mtime_ns == kept
    assert read == ["train", "train"]


def test_an_error_leaves_no_rows_of_either_side(spec_file: Path, tmp_path: Path) -> None:
    sets = both_sides(spec_file, count=20, groups=1)
    with pytest.raises(DataError, match="more than half"):
        materialise_set(sets["train"], Workspace(tmp_path / "w"), wanted=sides_of(sets.values()))
    assert not list((tmp_path / "w").rglob("rows.arrow"))
    assert not list((tmp_path / "w").rglob("data.json"))
