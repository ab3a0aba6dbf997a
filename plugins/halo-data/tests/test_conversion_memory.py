"""Conversions and sources keep a few bytes per row in memory, however long the rows are."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from pydantic import Field

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.feedback import Feedback
from halo_core.workspace import spool
from halo_data.components import (
    BinaryToDemonstration,
    KeepFraction,
    LabelNoise,
    Mixture,
    PairedToBinary,
    PairedToDemonstration,
    PairedToScored,
    ScoredToBinary,
    SettleLabels,
)
from halo_data.rows.forms import Record
from halo_data.sources.oasst_replies import ReplyGroups
from halo_data.sources.oasst_trees import messages_of
from halo_data.sources.shp_pairs import pairs_of_posts

SIZES = (50, 300)
MOST = 200
"""Bytes of Python's memory per row, whose texts take 3,000. Tables double their size at times."""


class Long(DataSource):
    """Rows with long texts, which no list holds."""

    feedback: Feedback = Field(default="paired", description="The kind of the rows.")
    rows: int = Field(default=1, description="Number of rows.")

    def inspect(self) -> DataInfo:
        return DataInfo(self.feedback, ("train",), f"{self.feedback} {self.rows}")

    def load(self, split: str) -> Loaded:
        return Loaded(self._rows())

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        for number in range(self.rows):
            prompt = [{"role": "user", "content": f"{number}? " * 200}]
            texts = [f"{word} {number} " * 100 for word in ("one", "two")]
            columns: Mapping[str, Any] = {
                "paired": {"chosen": texts[0], "rejected": texts[1]},
                "binary": {"completion": texts[0], "desirable": number % 2 == 0},
                "scored": {"completions": texts, "scores": [1.0, 0.0]},
            }
            yield {"id": f"train:{number}", "prompt": prompt, **columns[self.feedback]}


def read(source: DataSource) -> int:
    return sum(1 for _ in source.load("train").rows)


def posts(count: int) -> int:
    def records() -> Iterator[Record]:
        for number in range(count):
            sides = {f"c_root_id_{side}": f"{side} {number}" for side in "AB"}
            sides |= {f"human_ref_{side}": f"{side} {number} " * 100 for side in "AB"}
            post = {"post_id": f"post {number // 3}", "history": f"{number // 3}? " * 200}
            scores = {"score_A": 9, "score_B": 3, "score_ratio": 3.0, "labels": 1}
            yield Record(f"{number}", f"file:{number}", {**post, **sides, **scores})

    return sum(1 for _ in pairs_of_posts(records, 2.0, 5))


def trees(count: int) -> int:
    def records() -> Iterator[Record]:
        common = {"message_tree_id": "tree", "lang": "en"}
        for number in range(count):
            role = "assistant" if number % 3 else "prompter"
            parent = f"m{number - number % 3}" if number % 3 else None
            given = {**common, "message_id": f"m{number}", "parent_id": parent, "role": role}
            given |= {"text": f"{number} " * 500, "rank": number % 3 if number % 3 else None}
            yield Record(f"{number}", f"file:{number}", given)

    with ReplyGroups(messages_of(records())) as groups:
        assert groups.lost() == 0
        return sum(len(group.replies) + 1 for group in groups)


def around(make: Callable[..., DataSource], feedback: Feedback, **options: Any) -> Any:
    return lambda count: read(make(source=Long(feedback=feedback, rows=count), **options))


@pytest.mark.parametrize(
    "read_all",
    [
        pytest.param(around(SettleLabels, "binary"), id="settle-labels"),
        pytest.param(around(PairedToBinary, "paired"), id="paired-to-binary"),
        pytest.param(around(PairedToDemonstration, "paired"), id="paired-to-demonstration"),
        pytest.param(around(PairedToDemonstration, "paired", take="first"), id="first"),
        pytest.param(around(BinaryToDemonstration, "binary"), id="binary-to-demonstration"),
        pytest.param(around(PairedToScored, "paired"), id="paired-to-scored"),
        pytest.param(around(ScoredToBinary, "scored"), id="scored-to-binary"),
        pytest.param(around(KeepFraction, "binary", desirable=0.5), id="keep-fraction"),
        pytest.param(around(LabelNoise, "paired", share=0.5), id="label-noise"),
        pytest.param(
            lambda count: read(Mixture(sources=[Long(rows=count)], weights=[1.5])), id="mixture"
        ),
        pytest.param(posts, id="shp"),
        pytest.param(trees, id="oasst"),
    ],
)
def test_rows_take_little_memory(
    read_all: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 1)
    read_all(10)  # What is imported and cached at the first call does not count.
    peaks = []
    for size in SIZES:
        gc.collect()
        tracemalloc.start()
        assert read_all(size) >= size // 2
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / (SIZES[1] - SIZES[0]) < MOST
