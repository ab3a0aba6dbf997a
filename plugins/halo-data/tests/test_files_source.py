"""The formats of files, folders, globs and lists that the source `files` reads."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import feather, parquet

from halo_core.cli.group import halo
from halo_core.errors import DataError, PathError
from halo_core.testing import check_data_source
from halo_data.components import Files, Jsonl

ROWS = [
    {"prompt": "Sky?", "completion": "Blue, mostly.", "label": True},
    {"prompt": 'A "word"\nof two lines?', "completion": "Grün.", "label": False},
]
READ = [
    {
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "completion": row["completion"],
        "desirable": row["label"],
    }
    for row in ROWS
]


def as_text(path: Path, separator: str, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)


def as_csv(path: Path) -> None:
    as_text(path, ",", ROWS)


def as_tsv(path: Path) -> None:
    as_text(path, "\t", ROWS)


def with_semicolons(path: Path) -> None:
    as_text(path, ";", ROWS)


def gzipped(write: Callable[[Path], None]) -> Callable[[Path], None]:
    def write_gzipped(path: Path) -> None:
        write(path)
        path.write_bytes(gzip.compress(path.read_bytes()))

    return write_gzipped


def as_lines(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def as_array(path: Path) -> None:
    path.write_text(json.dumps(ROWS, indent=1))


def as_parquet(path: Path) -> None:
    parquet.write_table(pa.Table.from_pylist(ROWS), path)


def as_stream(path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)


def as_feather(path: Path) -> None:
    feather.write_feather(pa.Table.from_pylist(ROWS), str(path))


def as_saved(path: Path) -> None:
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(str(path), num_shards=2)


WRITERS: dict[str, Callable[[Path], None]] = {
    "thumbs.jsonl": as_lines,
    "thumbs.json": as_array,
    "thumbs.csv": as_csv,
    "semicolons.csv": with_semicolons,
    "thumbs.tsv": as_tsv,
    "thumbs.csv.gz": gzipped(as_csv),
    "thumbs.tsv.gz": gzipped(as_tsv),
    "thumbs.jsonl.gz": gzipped(as_lines),
    "thumbs.parquet": as_parquet,
    "thumbs.arrow": as_stream,
    "thumbs.feather": as_feather,
    "saved": as_saved,
}


def rows_of(path: str | list[str], split: str = "train", **options: Any) -> list[dict[str, Any]]:
    rows = Files(path=path, **options).load(split).rows
    return [{k: v for k, v in row.items() if k != "id"} for row in rows]


def message_of(path: str | Path | list[str], **options: Any) -> str:
    with pytest.raises((DataError, PathError)) as caught:
        list(
            Files(path=path if isinstance(path, list) else str(path), **options).load("train").rows
        )
    return str(caught.value)


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    assert rows_of(str(path)) == READ
    source = Files(path=str(path))
    assert source.inspect().feedback == "binary"
    check_data_source(source)


def test_jsonl_is_the_same_component() -> None:
    assert Jsonl is Files


def test_a_saved_data_set_of_several_splits_has_them(tmp_path: Path) -> None:
    import datasets

    train, test = (datasets.Dataset.from_list([row]) for row in ROWS)
    datasets.DatasetDict({"train": train, "test": test}).save_to_disk(str(tmp_path / "both"))
    source = Files(path=str(tmp_path / "both"))
    assert source.inspect().splits == ("train", "test")
    assert source.inspect().passed_over == ()
    assert rows_of(str(tmp_path / "both"), "test") == READ[1:]


def test_a_saved_data_set_that_lost_a_file_is_an_error(tmp_path: Path) -> None:
    as_saved(tmp_path / "saved")
    next((tmp_path / "saved").glob("data-00001*")).unlink()
    assert "names the file data-00001-of-00002.arrow, which is missing" in message_of(
        tmp_path / "saved"
    )


def test_a_folder_of_tables_has_a_split_per_file_and_joins_parts(tmp_path: Path) -> None:
    as_parquet(tmp_path / "train-00000-of-00002.parquet")
    as_parquet(tmp_path / "train-00001-of-00002.parquet")
    as_csv(tmp_path / "test.csv")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "dataset_infos.json").write_text("{}")
    info = Files(path=str(tmp_path)).inspect()
    assert info.splits == ("test", "train")
    assert info.passed_over == ("README.md", "dataset_infos.json")
    assert rows_of(str(tmp_path)) == READ * 2
    ids = [row["id"] for row in Files(path=str(tmp_path)).load("train").rows]
    assert ids[0] == "train:train-00000-of-00002.parquet:1"
    assert len(set(ids)) == 4


def test_parts_of_json_lines_are_joined_and_each_keeps_its_own_name(tmp_path: Path) -> None:
    as_lines(tmp_path / "train-00000-of-00002.jsonl")
    as_lines(tmp_path / "train-00001-of-00002.jsonl")
    assert rows_of(str(tmp_path)) == READ * 2
    assert rows_of(str(tmp_path), "train-00001-of-00002") == READ


def test_a_glob_is_one_split_without_its_test_files(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "test.csv"):
        as_csv(tmp_path / name)
    path = str(tmp_path / "*.csv")
    assert sorted(Files(path=path).inspect().splits) == ["test", "train"]
    ids = [row["id"] for row in Files(path=path).load("train").rows]
    assert ids == ["train:a.csv:2", "train:a.csv:3", "train:b.csv:2", "train:b.csv:3"]
    assert rows_of(path, "test") == READ


def test_a_list_is_read_in_its_order_over_formats_and_folders(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    as_csv(tmp_path / "more" / "x.csv")
    as_lines(tmp_path / "x.jsonl")
    paths = [str(tmp_path / "x.jsonl"), str(tmp_path / "more" / "*.csv")]
    assert rows_of(paths) == READ * 2
    ids = [row["id"] for row in Files(path=paths).load("train").rows]
    assert ids == ["train:x.jsonl:1", "train:x.jsonl:2", "train:more/x.csv:2", "train:more/x.csv:3"]


def test_the_digest_is_of_all_files_and_their_order(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        as_csv(tmp_path / name)
    a, b, glob = str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), str(tmp_path / "*.csv")
    digest = Files(path=glob).inspect().digest
    assert Files(path=[a, b]).inspect().digest == digest
    (tmp_path / "b.csv").write_text("prompt,completion,label\nx,y,1\n")
    assert Files(path=glob).inspect().digest != digest
    assert Files(path=[a, b]).inspect().digest != Files(path=[b, a]).inspect().digest


def test_the_digest_of_json_files_is_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n')
    # The value that the source gave when it read nothing but JSON.
    assert Jsonl(path=str(path)).inspect().digest == "1fe6eee5dca7ae8ab00c5888895cdeb8"


def test_lists_in_a_table_of_texts_are_json(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Sky?"}, {"role": "assistant", "content": "Blue."}]
    path = tmp_path / "train.csv"
    as_text(path, ",", [{"messages": json.dumps(messages), "label": 1}])
    (row,) = rows_of(str(path))
    assert (row["prompt"], row["completion"]) == (messages[:1], "Blue.")
    as_text(path, ",", [{"prompt": "a", "chosen": json.dumps(messages[1:]), "rejected": "b"}])
    assert rows_of(str(path))[0]["chosen"] == "Blue."
    as_text(path, ",", [{"messages": str(messages), "label": 1}])
    assert f"{path}:2: column 'messages' is" in message_of(path)
    assert "Python's own way to write a list" in message_of(path)
    as_text(path, ",", [{"prompt": "a", "completions": '["x", "y"]', "scores": "[1, 0.5]"}])
    assert rows_of(str(path))[0]["scores"] == [1.0, 0.5]


def test_texts_of_a_table_stay_texts_and_empty_cells_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("prompt,completion,label,group\n007,NA,1,\n\n12,,0,\nx,y,,3\n,,,\n")
    source = Files(path=str(path))
    loaded = source.load("train")
    (row,) = loaded.rows
    assert (row["prompt"][0]["content"], row["completion"]) == ("007", "NA")
    assert "group" not in row
    assert loaded.dropped == {"empty completion": 1, "no label": 2}


def test_paths_in_a_spec_are_relative_to_the_spec(tmp_path: Path) -> None:
    as_csv(tmp_path / "a.csv")
    as_lines(tmp_path / "b.jsonl")
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: own\n"
        "model: {hub: someone/small}\n"
        "data: {train: {use: files, path: [a.csv, '*.jsonl']}}\n"
        "stages: {kto: {use: train, loss: kto, data: train}}\n"
    )
    done = CliRunner().invoke(halo, ["data", str(spec)])
    assert "train: 4 rows of binary feedback, 2 prompts" in done.output, done.exception
