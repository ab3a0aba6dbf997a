"""Encoded examples keep a few bytes each in memory, however many completions are cut."""

from __future__ import annotations

import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from halo_core.testing.processes.mapped_pages import mapped_bytes
from halo_trainer.encode.cut_rows import CONFLICTING, CutRules
from halo_trainer.encode.examples import (
    EncodedCompletion,
    EncodedData,
    EncodedExample,
    write,
    write_counts,
)

ROOM = 8
SIZES = (1_000, 5_000)


def cut(count: int) -> Iterator[EncodedExample]:
    """Yields examples that fill the room; the first two are two texts that the cut made one."""
    for number in range(count):
        ids = np.array([max(number, 1)] * (ROOM - 1), dtype=np.int32)
        completion = EncodedCompletion(ids[:1], ids, number % 2 == 0, f"{number:016x}")
        yield EncodedExample(f"train:{number}", f"{max(number, 1):016x}", (completion,))


def test_cut_completions_are_compared_in_little_memory() -> None:
    peaks = []
    for size in SIZES:
        dropped: Counter[str] = Counter()
        rules = CutRules(ROOM, dropped)
        tracemalloc.start()
        assert sum(1 for _ in rules.checked(cut(size))) == size
        assert len(rules.conflicts) == 1
        assert sum(1 for _ in rules.without_conflicts(cut(size))) == size - 2
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert dropped == {CONFLICTING: 2}
    assert (peaks[1] - peaks[0]) / (SIZES[1] - SIZES[0]) < 80


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the pages of a file")
def test_opening_examples_maps_no_page_of_their_file(tmp_path: Path) -> None:
    write_counts(tmp_path, write(tmp_path, cut(5_000)))
    file = tmp_path / "tokens.arrow"
    data = EncodedData(tmp_path, "binary")
    assert len(data) == 5_000
    assert mapped_bytes(file) == 0
    assert [data[i].completions[0].desirable for i in (0, 1, 4_999)] == [True, False, False]
    assert 0 < mapped_bytes(file) < file.stat().st_size
