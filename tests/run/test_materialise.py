"""Rows on disk: checked, counted, held out."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from halo_core.errors import DataError, DiskError, PluginError, SpecErrors
from halo_core.rows import DataSet, RowWriter
from halo_core.run.materialise import Rows, materialise_set
from halo_core.spec.spec import load_spec
from halo_core.workspace.layout import Workspace

MADE = Path(__file__).parents[1] / "made_components.py"


def rows(spec_file: Path, tmp_path: Path, name: str = "train", **changes: str) -> list[Rows]:
    spec = load_spec(spec_file, {k.replace("__", "."): v for k, v in changes.items()})
    return materialise_set(spec.sets[name], Workspace(tmp_path / "w"))


def test_empty_completions_are_dropped_and_counted(spec_file: Path, tmp_path: Path) -> None:
    (found,) = rows(spec_file, tmp_path, data__train__empty="3")
    assert found.count == 4
    assert found.dropped == {"too odd": 2, "empty completion": 3}


def test_rows_have_ids_prompt_ids_and_their_columns(spec_file: Path, tmp_path: Path) -> None:
    (found,) = rows(spec_file, tmp_path)
    data = DataSet("train", found.feedback, [found.file])
    assert len(data) == 4
    assert data[1]["id"] == "Pairs/train/1"
    assert data[-1] == list(data)[3]
    assert set(data[0]) == {"id", "prompt_id", "source", "prompt", "chosen", "rejected"}
    assert len({row["prompt_id"] for row in data}) == 4
    with pytest.raises(IndexError):
        data[4]


def test_a_holdout_splits_every_prompt_to_one_side(spec_file: Path, tmp_path: Path) -> None:
    text = spec_file.read_text()
    start = text.index("  test: {use")
    spec_file.write_text(text[:start] + "  holdout: 0.3\n" + text[text.index("stages:") :])
    sides = {
        name: rows(spec_file, tmp_path, name, data__train__count="200")
        for name in ("train", "test")
    }
    prompts = {
        name: {r["prompt_id"] for r in DataSet(name, "paired", [found.file])}
        for name, (found,) in sides.items()
    }
    assert not prompts["train"] & prompts["test"]
    assert len(prompts["train"] | prompts["test"]) == 200
    assert 40 <= len(prompts["test"]) <= 80
    assert sides["test"][0].held_elsewhere == len(prompts["train"])


def test_a_holdout_splits_every_group_to_one_side(spec_file: Path, tmp_path: Path) -> None:
    text = spec_file.read_text()
    start = text.index("  test: {use")
    spec_file.write_text(text[:start] + "  holdout: 0.3\n" + text[text.index("stages:") :])
    options = {"data__train__count": "200", "data__train__groups": "20"}
    counts = {}
    groups = {}
    for name in ("train", "test"):
        (found,) = rows(spec_file, tmp_path, name, **options)
        counts[name] = found.count
        ids = [row["id"] for row in DataSet(name, "paired", [found.file])]
        groups[name] = {int(id_.rpartition("/")[2]) % 20 for id_ in ids}
    assert counts["train"] + counts["test"] == 200
    assert not groups["train"] & groups["test"]
    assert 2 <= len(groups["test"]) <= 10


def test_nothing_left_is_an_error_with_the_reasons(spec_file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows are left") as caught:
        rows(spec_file, tmp_path, data__train__count="0", data__train__empty="2")
    assert "2 dropped: empty completion" in str(caught.value)


def test_a_source_that_raises_is_a_plugin_error_with_its_line(
    spec_file: Path, tmp_path: Path
) -> None:
    changes = {
        "data__train": f"{{use: 'file:{MADE}:Broken'}}",
        "stages__learn": f"{{use: 'file:{MADE}:Answer', prompts: train, from: model}}",
        "stages__answers__from": "model",
    }
    with pytest.raises(PluginError, match="raised KeyError") as caught:
        rows(spec_file, tmp_path, **changes)
    assert "made_components.py:" in str(caught.value)


def test_wrong_columns_are_named(spec_file: Path, tmp_path: Path) -> None:
    changes = {
        "data__train": f"{{use: 'file:{MADE}:WrongColumns'}}",
        "stages__learn": f"{{use: 'file:{MADE}:Answer', prompts: train, from: model}}",
        "stages__answers__from": "model",
    }
    with pytest.raises(DataError, match="column 'completion' is missing; binary feedback has"):
        rows(spec_file, tmp_path, **changes)


ODD = """
from halo_core import DataInfo, DataSource, Loaded


class Odd(DataSource):
    def inspect(self):
        return INFO

    def load(self, split):
        rows = [{"text": "a"}]
        return LOADED
"""


def odd_rows(tmp_path: Path, loaded: str, info: str = "DataInfo('text', (), '1')") -> list[Rows]:
    source = tmp_path / "odd.py"
    source.write_text(ODD.replace("INFO", info).replace("LOADED", loaded))
    spec = tmp_path / "odd.yaml"
    spec.write_text(
        f"name: odd\nseed: 1\nmodel: {{hub: a/b, revision: main}}\n"
        f"data: {{train: 'file:{source}:Odd'}}\n"
        f"stages: {{learn: {{use: 'file:{MADE}:Learn', data: train, loss: sft}}}}\n"
    )
    return materialise_set(load_spec(spec).sets["train"], Workspace(tmp_path / "w"))


@pytest.mark.parametrize(
    ("loaded", "told"),
    [
        ("Loaded(['a'])", "load() gave the row 'a'; expected a mapping from columns to values"),
        ("Loaded([None])", "load() gave the row None; expected a mapping from columns to values"),
        ("Loaded(rows, {'a': 'b'})", "load() returned dropped={'a': 'b'}; expected reason to"),
        ("Loaded(rows, {1: 2})", "load() returned dropped={1: 2}; expected reason to number of"),
        ("Loaded(rows, None)", "load() returned dropped=None; expected reason to number of rows"),
    ],
)
def test_a_source_that_gives_no_rows_is_blamed(tmp_path: Path, loaded: str, told: str) -> None:
    with pytest.raises(PluginError) as caught:
        odd_rows(tmp_path, loaded)
    assert told in caught.value.message
    assert caught.value.location == f"{tmp_path}/odd.py:9"


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ("None", "inspect() returned None; expected a DataInfo with one of text, prompts"),
        (
            "DataInfo('nice', (), '1')",
            "inspect() returned the feedback 'nice'; expected a",
        ),
        ("DataInfo('text', 'train', '1')", "inspect() returned the splits 'train'; expected a"),
        (
            "DataInfo('text', (), 1)",
            "inspect() returned the digest 1; expected a DataInfo with",
        ),
    ],
)
def test_a_source_that_says_nothing_usable_is_blamed(tmp_path: Path, info: str, told: str) -> None:
    with pytest.raises(SpecErrors) as caught:
        odd_rows(tmp_path, "Loaded(rows)", info)
    (error,) = caught.value.errors
    assert isinstance(error, PluginError)
    assert told in error.message
    assert f"{tmp_path}/odd.py:6" in str(error)


def test_half_a_character_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"column 'text': got '\\ud800'; expected text"):
        odd_rows(tmp_path, r"Loaded([{'text': '\ud800'}])")


def held(spec_file: Path, tmp_path: Path, share: str = "0.3", **options: str) -> dict[str, Rows]:
    """Returns the rows of both sides of a hold-out."""
    text = spec_file.read_text()
    start = text.index("  test: {use")
    spec_file.write_text(text[:start] + f"  holdout: {share}\n" + text[text.index("stages:") :])
    return {
        name: rows(
            spec_file, tmp_path, name, **{f"data__train__{k}": v for k, v in options.items()}
        )[0]
        for name in ("train", "test")
    }


def test_a_group_above_half_cannot_be_held_out(spec_file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        held(spec_file, tmp_path, count="20", groups="1")
    assert caught.value.location == "Pairs, split 'train'"
    assert caught.value.message == (
        "the group '0' has 20 of 20 rows, more than half; expected smaller groups, since a "
        "hold-out takes whole groups. Rows with the same `group` stay together; without a group, "
        "rows with the same messages up to the first user message. Name other groups in a column "
        "group (jsonl and hub map a column with columns: {group: NAME} and leave one out with "
        "ignore_columns: [group])"
    )


@pytest.mark.parametrize(("share", "told"), [("0.001", "none"), ("0.999", "all")])
def test_a_hold_out_of_no_rows_is_an_error_that_names_group(
    spec_file: Path, tmp_path: Path, share: str, told: str
) -> None:
    with pytest.raises(DataError, match=f"takes {told} of 20 rows") as caught:
        held(spec_file, tmp_path, share, count="20", groups="4")
    assert "(4 groups, by their hashes)" in caught.value.message
    assert "column group" in caught.value.message


def test_further_columns_of_rows_are_counted_and_kept_with_the_set(tmp_path: Path) -> None:
    loaded = "Loaded([{**rows[0], 'topic': 'a', 'id': '1', 'mark': None}] * 2, {}, {'flair': 3})"
    for _ in range(2):  # The second time from the workspace.
        (found,) = odd_rows(tmp_path, loaded)
        assert found.ignored == {"flair": 3, "topic": 2}


def test_columns_that_are_no_counts_are_the_fault_of_the_source(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"load\(\) returned ignored=\{'a': 'b'\}; expected col"):
        odd_rows(tmp_path, "Loaded(rows, {}, {'a': 'b'})")


def test_what_a_source_passes_over_is_a_tuple_of_names(tmp_path: Path) -> None:
    for name in ("right", "wrong"):
        (tmp_path / name).mkdir()
    info = "DataInfo('text', (), '1', ('raw/',))"
    (found,) = odd_rows(tmp_path / "right", "Loaded(rows)", info)
    assert found.passed_over == ("raw/",)
    with pytest.raises(SpecErrors) as caught:
        odd_rows(tmp_path / "wrong", "Loaded(rows)", "DataInfo('text', (), '1', 'raw/')")
    assert "returned the passed_over 'raw/'; expected" in caught.value.errors[0].message


def test_how_a_source_reads_its_columns_is_a_tuple_of_lines(tmp_path: Path) -> None:
    for name in ("right", "wrong"):
        (tmp_path / name).mkdir()
    info = "DataInfo('text', (), '1', (), ('a.csv: text',))"
    (found,) = odd_rows(tmp_path / "right", "Loaded(rows)", info)
    assert found.read_as == ("a.csv: text",)
    with pytest.raises(SpecErrors) as caught:
        odd_rows(tmp_path / "wrong", "Loaded(rows)", "DataInfo('text', (), '1', (), 'a.csv')")
    assert "returned the read_as 'a.csv'; expected" in caught.value.errors[0].message


def test_options_without_effect_on_the_split_are_told(tmp_path: Path) -> None:
    for name in ("right", "wrong"):
        (tmp_path / name).mkdir()
    idle = "(('train', 'size'), ('train', 'noise'), ('test', 'seed'))"
    info = f"DataInfo('text', (), '1', (), ('a.csv: text',), {idle})"
    (found,) = odd_rows(tmp_path / "right", "Loaded(rows)", info)
    assert found.read_as == ("a.csv: text", "size and noise have no effect on 'train'")
    with pytest.raises(SpecErrors) as caught:
        odd_rows(tmp_path / "wrong", "Loaded(rows)", "DataInfo('text', (), '1', idle=('train',))")
    assert "returned the idle ('train',); expected" in caught.value.errors[0].message


def test_rows_for_which_the_disk_has_no_room_are_refused_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halo_core.workspace.disk.free_bytes", lambda folder: 1000)
    with pytest.raises(
        DiskError, match=r"no room for more rows of Odd, split 'train': .* 1,000 bytes are"
    ):
        odd_rows(tmp_path, "Loaded(rows)")
    assert not list((tmp_path / "w").rglob("rows.arrow*"))


def test_a_disk_that_fills_up_while_rows_are_written_is_told_and_gets_its_room_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: RowWriter, rows: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RowWriter, "write", full)
    with pytest.raises(DiskError, match=r"the disk is full: .*No space left on device; [0-9,]+"):
        odd_rows(tmp_path, "Loaded(rows)")
    assert not list((tmp_path / "w").rglob("rows.arrow*"))
