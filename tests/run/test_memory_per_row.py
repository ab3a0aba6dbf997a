"""The checks of rows before a run keep a few bytes per row, whatever is in the rows."""

from __future__ import annotations

import mmap
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from halo_core.cli.data import _describe
from halo_core.feedback import prompt_id
from halo_core.mapped import mapped_table
from halo_core.rows import DataSet, RowWriter
from halo_core.run.data_checks import class_counts, warn_of_both_labels
from halo_core.run.groups import Groups
from halo_core.run.materialise import Rows
from halo_core.run.overlap import check_overlap
from halo_core.testing.processes.mapped_pages import mapped_bytes

SIZES = (1_000, 4_000)
MOST = 64
"""Bytes of Python's memory per row."""


def rows(folder: Path, name: str, count: int) -> DataSet:
    file = folder / f"{name}-{count}.arrow"
    with RowWriter(file, "binary") as writer:
        for start in range(0, count, 1000):
            numbers = range(start, start + 1000)
            prompts = [[{"role": "user", "content": f"{name} {i} " * 9}] for i in numbers]
            writer.write(
                [
                    {
                        "id": f"{start + i}",
                        "source": name,
                        "prompt": prompt,
                        "prompt_id": prompt_id(prompt),  # type: ignore[arg-type]
                        "completion": f"an answer of some length to {start + i}",
                        "desirable": i % 2 == 0,
                    }
                    for i, prompt in enumerate(prompts)
                ]
            )
    return DataSet(name, "binary", [file])


def grown(act: Callable[[int], object]) -> float:
    """Returns the bytes by which the peak of Python's memory grows per row."""
    peaks = []
    for size in SIZES:
        tracemalloc.start()
        act(size)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return (peaks[1] - peaks[0]) / (SIZES[1] - SIZES[0])


def test_labels_are_compared_in_little_memory(tmp_path: Path) -> None:
    sets = {size: rows(tmp_path, "train", size) for size in SIZES}
    assert grown(lambda size: warn_of_both_labels(sets[size], pytest.fail)) < MOST


def test_overlap_is_found_in_little_memory(tmp_path: Path) -> None:
    test = rows(tmp_path, "test", 1000)
    sets = {size: rows(tmp_path, "train", size) for size in SIZES}
    assert grown(lambda size: check_overlap([sets[size]], [test], pytest.fail)) < MOST


def test_groups_are_counted_in_little_memory() -> None:
    def count(size: int) -> None:
        groups = Groups()
        for number in range(size):
            groups.add(f"{number:016x}", {"group": f"a name of some length {number}"}, [])
        groups.check(size // 10, 0.1, "here")

    assert grown(count) < MOST


def test_rows_are_read_in_little_memory(tmp_path: Path) -> None:
    sets = {size: rows(tmp_path, "train", size) for size in SIZES}
    assert grown(lambda size: sum(1 for _ in sets[size])) < MOST


def test_a_set_is_described_in_little_memory(tmp_path: Path) -> None:
    def describe(size: int) -> None:
        found = _describe([Rows("made", sets[size].files[0], "binary", size, {}, 0, "")], 1)
        assert (found["rows"], found["prompts"], found["repeated"]) == (size, size, 0)
        assert found["labels"] == {"desirable": size / 2, "undesirable": size / 2, "both": 0}

    sets = {size: rows(tmp_path, "train", size) for size in SIZES}
    assert grown(describe) < MOST


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the pages of a file")
def test_rows_that_are_counted_and_read_in_order_map_no_page(tmp_path: Path) -> None:
    data = rows(tmp_path, "train", 4_000)
    (file,) = data.files
    assert class_counts(data) == (2_000, 2_000)
    assert len(data.column("completion")) == sum(1 for _ in data) == 4_000
    assert mapped_bytes(file) == 0
    assert data[3_999]["id"] == "3999"
    assert 0 < mapped_bytes(file) < file.stat().st_size


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the pages of a file")
def test_opening_a_file_never_maps_much_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rows.arrow"
    batch = pa.record_batch({"text": ["x" * 70_000]})  # The system maps 64 KB at a time.
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        for _ in range(100):
            writer.write_batch(batch)
    seen = []

    class Watched(mmap.mmap):
        def madvise(self, *given: int) -> None:
            seen.append(mapped_bytes(file))
            super().madvise(*given)

    monkeypatch.setattr(mmap, "mmap", Watched)
    table = mapped_table(file)
    assert table.num_rows == 100
    assert 0 < max(seen) < file.stat().st_size / 3
    assert mapped_bytes(file) == 0
