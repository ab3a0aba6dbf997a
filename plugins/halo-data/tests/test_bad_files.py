"""Bad files: one clear error, which names the file and the line."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from halo_core.data import DataSource
from halo_core.errors import DataError, PathError
from halo_data.components import HH, Files

HEADER = "prompt,completion,label\n"


def message_of(path: str | Path | list[str], **options: Any) -> str:
    with pytest.raises((DataError, PathError)) as caught:
        list(
            Files(path=path if isinstance(path, list) else str(path), **options).load("train").rows
        )
    return str(caught.value)


def csv_of(tmp_path: Path, text: str | bytes, name: str = "train.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_decimal_comma_without_quotes_is_a_cell_too_many(tmp_path: Path) -> None:
    path = csv_of(tmp_path, "prompt,completion,label,score\na,b,1,0.5\na,b,1,0,5\n")
    assert message_of(path) == (
        f"{path}:3: the row has 5 cells, and the header names 4 columns (prompt, completion, "
        "label, score), separated by ','; expected one cell per column: put a text with ',', a "
        'line break or a decimal comma in it into "quotes"'
    )


def test_a_decimal_comma_as_a_label_is_named(tmp_path: Path) -> None:
    path = csv_of(tmp_path, "prompt;completion;label\na;b;1,0\n")
    assert f"{path}:2: column 'label' is '1,0' (str); expected true or false, 0 or 1" in message_of(
        path
    )


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = csv_of(tmp_path, "\ufeff" + HEADER + "a,b,1\n")
    (row,) = Files(path=str(path)).load("train").rows
    assert row["prompt"][0]["content"] == "a"


def test_another_encoding_is_an_error(tmp_path: Path) -> None:
    path = csv_of(tmp_path, HEADER.encode() + "Größe?,b,1\n".encode("cp1252"))
    assert f"{path}: cannot be read as UTF-8 text" in message_of(path)
    path = csv_of(tmp_path, (HEADER + "a,b,1\n").encode("utf-16"))
    assert "save the file with the encoding UTF-8" in message_of(path)


def test_quoted_line_breaks_are_text_and_lines_are_still_counted(tmp_path: Path) -> None:
    path = csv_of(tmp_path, HEADER + '"a\n\nb",c,1\nd,e,maybe\n')
    assert f"{path}:5: column 'label' is 'maybe'" in message_of(path)
    path = csv_of(tmp_path, HEADER + '"a\r\nb",c,1\n')
    (row,) = Files(path=str(path)).load("train").rows
    assert row["prompt"][0]["content"] == "a\r\nb"


def test_a_quote_that_never_closes_names_the_line_that_opens_it(tmp_path: Path) -> None:
    path = csv_of(tmp_path, HEADER + 'a,b,1\n"c,d,1\ne,f,0\n')
    assert f"{path}:3: not a row of a table: the quote that opens in this row" in message_of(path)


def test_a_column_of_mixed_types_names_the_first_value_that_is_no_label(tmp_path: Path) -> None:
    path = csv_of(tmp_path, HEADER + "a,b,1\na,c,true\na,d,0.0\na,e,3\n")
    assert f"{path}:4: column 'label' is '0.0'" in message_of(path)
    lines = '{"prompt": "a", "completion": "b"}\n{"prompt": 3, "completion": "b"}\n'
    path = csv_of(tmp_path, lines, "train.jsonl")
    assert f"{path}:2: column 'prompt' is 3; expected text or a list of messages" in message_of(
        path
    )


@pytest.mark.parametrize("name", ["train.csv", "train.tsv", "train.jsonl", "train.json"])
@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_is_an_error(name: str, text: str, tmp_path: Path) -> None:
    path = csv_of(tmp_path, text, name)
    assert message_of(path) == f"{path}: the file has no rows; expected at least one row"


def test_a_table_with_a_header_alone_is_empty(tmp_path: Path) -> None:
    path = csv_of(tmp_path, HEADER)
    assert message_of(path) == f"{path}: the file has no rows; expected at least one row"


def test_an_empty_parquet_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    parquet.write_table(pa.table({"prompt": pa.array([], pa.string())}), path)
    assert message_of(path) == f"{path}: the file has no rows; expected at least one row"
    path.write_bytes(b"")
    assert f"{path}: cannot be read as a parquet file" in message_of(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ": the file has no rows; expected at least one row"),
        ("question,answer\na,b\n", ":2: the columns 'question', 'answer' are of no known form"),
        ("chosen,rejected\na b,a c\n", ":2: a row of paired feedback (chosen + rejected) among"),
        (HEADER + "a,b,1,2\n", ":2: the row has 4 cells"),
    ],
)
def test_one_bad_file_among_a_hundred_is_named(text: str, expected: str, tmp_path: Path) -> None:
    for number in range(100):
        csv_of(tmp_path, HEADER + "a,b,1\n", f"part{number:03}.csv")
    bad = csv_of(tmp_path, text, "part057.csv")
    with pytest.raises(DataError) as caught:
        Files(path=str(tmp_path / "*.csv")).inspect()
    assert str(caught.value).startswith(f"{bad}{expected}")


def test_a_glob_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    path = str(tmp_path / "*.csv")
    assert message_of(path) == f"{path}: the glob matches no file; expected at least one file"
    (tmp_path / "a.xlsx").write_text("")
    assert "the glob matches only a.xlsx, which end in none of .jsonl" in message_of(
        str(tmp_path / "*")
    )


def test_a_list_with_a_missing_file_a_folder_or_a_file_twice_is_an_error(tmp_path: Path) -> None:
    path = str(csv_of(tmp_path, HEADER + "a,b,1\n"))
    assert "there is no such file or folder. Did you mean train.csv?" in message_of(
        [path, str(tmp_path / "trian.csv")]
    )
    assert f"{path}: the list reads this file twice" in message_of([str(tmp_path / "*.csv"), path])
    assert "is a folder; expected files in a list" in message_of([str(tmp_path)])


def test_parquet_with_nested_lists_is_read(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    path = tmp_path / "train.parquet"
    parquet.write_table(pa.Table.from_pylist([{"messages": turns}]), path)
    (row,) = Files(path=str(path)).load("train").rows
    assert (row["prompt"], row["completion"]) == (turns[:1], "b")
    parquet.write_table(pa.Table.from_pylist([{"messages": [turns]}]), path)
    assert f"{path} row 1: messages[0] is" in message_of(path)


@pytest.mark.parametrize("name", ["train.csv.gz", "train.jsonl.gz", "train.tsv.gz"])
def test_a_gzip_file_that_is_cut_off_is_an_error(name: str, tmp_path: Path) -> None:
    table = HEADER.replace(",", "\t") if "tsv" in name else HEADER
    row = table.splitlines()[0].replace("label", "1") + "\n"
    text = '{"text": "a"}\n' * 1000 if "json" in name else table + row * 1000
    path = csv_of(tmp_path, gzip.compress(text.encode())[:-10], name)
    assert message_of(path).startswith(f"{path}: cannot be read as gzipped")
    csv_of(tmp_path, text, name)
    assert message_of(path).startswith(f"{path}: cannot be read as gzipped")


def test_a_parquet_or_arrow_file_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    parquet.write_table(pa.table({"text": ["a" * 9] * 1000}), path)
    path.write_bytes(path.read_bytes()[:-20])
    assert f"{path}: cannot be read as a parquet file" in message_of(path)
    other = csv_of(tmp_path, b"ARROW1 and no more", "train.arrow")
    assert f"{other}: cannot be read as an Arrow file" in message_of(other)


def test_a_header_with_a_name_twice_is_an_error(tmp_path: Path) -> None:
    path = csv_of(tmp_path, "prompt,completion,prompt\na,b,c\n")
    assert message_of(path).startswith(f"{path}:1: the header names the column 'prompt' twice")


def test_pickles_and_unknown_files_are_never_read(tmp_path: Path) -> None:
    for name in ("train.pkl", "train.pt", "train.py"):
        path = csv_of(tmp_path, b"x", name)
        assert "expected a file that ends in .jsonl, .json, .csv, .tsv" in message_of(path)


@pytest.mark.parametrize("source", [Files, HH])
@pytest.mark.parametrize(
    ("make", "kind"), [(os.mkfifo, "pipe"), (lambda path: path.symlink_to("/dev/zero"), "device")]
)
def test_a_pipe_or_device_is_refused_and_not_read_without_end(
    tmp_path: Path, source: type[DataSource], make: Callable[[Path], None], kind: str
) -> None:
    path = tmp_path / "rows.jsonl"
    make(path)
    with pytest.raises(PathError, match=f"this is a {kind}; expected a file. Write the content"):
        source(path=str(path)).inspect()
