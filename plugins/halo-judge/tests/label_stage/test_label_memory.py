"""A stage `label` reads texts and token ids from files when they are needed."""

from __future__ import annotations

import gc
import json
import math
import tracemalloc
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from halo_core.scoring_judge import Score, ScoringJudge
from halo_core.testing.context import stage_context
from halo_core.workspace import spool
from halo_judge.files.token_store import TokenStore
from halo_judge.label_stage.options import Label

SIZES = (70, 270)
TOKENS = 100
MOST = 200
"""Bytes of Python's memory per sample: 40, and up to 100 more by chance with so few samples. Its
texts have 500, and its ids and log-probabilities take 6,000 as objects."""


class ByNumber(ScoringJudge):
    """Scores a completion by the number in it."""

    def open_scoring(self, context: Any) -> Any:
        return nullcontext(self)

    def score(self, answers: Any) -> Any:
        for answer in answers:
            yield Score(answer.id, float(answer.completion.split()[-1]))


def write(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    with (folder / "samples.jsonl").open("w") as file:
        for number in range(count):
            sample = {
                "prompt_id": f"{number // 2:016x}",
                "prompt": [{"role": "user", "content": f"question {number // 2} " * 40}],
                "completion": f"answer {number}",
                "tokens": TOKENS,
                "finish": "stop",
                "token_ids": [1000 + number * i for i in range(TOKENS)],
                "token_logps": [-number / (i + 1) for i in range(TOKENS)],
                "tokenizer": "a",
                "template": "b",
            }
            file.write(json.dumps(sample) + "\n")


@pytest.mark.parametrize(("feedback", "name"), [("binary", ""), ("paired", "samples.jsonl")])
def test_texts_and_token_ids_take_little_memory_and_come_back(
    feedback: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 1)
    peaks, folder = [], tmp_path
    for size in (40, *SIZES):
        folder = tmp_path / str(size)
        write(folder / "answers", size)
        context = stage_context(folder / "label", inputs={"of": folder / "answers" / name})
        stage = Label(
            judge=ByNumber(),
            of="answers",
            feedback=feedback,
            threshold=9.0 if feedback == "binary" else None,
        )
        gc.collect()
        tracemalloc.start()
        stage.run(context)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[2] - peaks[1]) / (SIZES[1] - SIZES[0]) < MOST
    given = [json.loads(line) for line in (folder / "answers/samples.jsonl").open()]
    rows = [json.loads(line) for line in (folder / "label/feedback.jsonl").open()]
    column = "completion" if feedback == "binary" else "chosen"
    chosen = given if feedback == "binary" else given[1::2]
    for key in ("token_ids", "token_logps"):
        assert [row[f"{column}_{key}"] for row in rows] == [sample[key] for sample in chosen]


@pytest.mark.parametrize(
    ("ids", "logps"),
    [
        ([0, -1, 2**31 - 1], None),
        ([], []),
        ([1, 2], [-0.1, math.inf]),
        ([7] * 1000, [1e-300] * 1001),
    ],
)
def test_tokens_come_back_as_they_were(ids: list[int], logps: list[float] | None) -> None:
    with TokenStore() as store:
        store.put([5], [-0.5])
        stored = store.put(ids, logps)
        last = store.put([6], None)
        assert stored is not None
        assert last is not None
        assert stored.read() == (ids, logps)
        assert last.read() == ([6], None)


@pytest.mark.parametrize(
    "sample",
    [
        {"token_ids": [2**31]},
        {"token_ids": [True]},
        {"token_ids": ["1"]},
        {"token_ids": 1},
        {"token_ids": {}},
        {"token_ids": [1], "token_logps": 0.5},
        {"token_ids": [1], "token_logps": [-1]},
        {"token_logps": [-1.0]},
        {"token_ids": None},
    ],
)
def test_odd_tokens_stay_where_they_are(sample: dict[str, Any]) -> None:
    with TokenStore() as store:
        assert store.set_aside(sample) is sample
