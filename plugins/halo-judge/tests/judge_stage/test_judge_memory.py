"""A stage `judge` reads texts when they are needed, and keeps a few bytes of each sample."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from halo_core import scoring_judge
from halo_core.errors import DataError
from halo_core.judge import Judge, Verdict
from halo_core.testing.context import stage_context
from halo_core.workspace import spool
from halo_judge.files.output_pairs import pair_with_targets
from halo_judge.files.outputs import read_outputs
from halo_judge.judge_stage.duels import Comparisons, assign_orders, comparison
from halo_judge.judge_stage.on_disk import Numbered
from halo_judge.judge_stage.options import JudgeStage
from halo_judge.judge_stage.sample_duels import pair_samples
from halo_judge.judges.longest import Longest

SIZES = (64, 264)
MOST = 150
"""Bytes of Python's memory per sample, of which 90 are there while the correlation of points and
lengths is computed at the end. A sample has more bytes of text."""


class Alternating(Judge):
    """Prefers the text whose number is even."""

    def check_ready(self) -> None:
        pass

    def quote(self, comparisons: Any, shared: Any) -> None:
        return None

    def open(self, context: Any) -> Any:
        return nullcontext(self)

    def compare(self, comparisons: Any) -> Iterator[Verdict]:
        for each in comparisons:
            yield Verdict(each.id, "A" if int(each.a.split()[-1]) % 2 == 0 else "B")


def write_samples(folder: Path, count: int, *, ids: int = 1, offset: int = 0) -> None:
    folder.mkdir(parents=True)
    with (folder / "samples.jsonl").open("w") as file:
        for number in range(count):
            sample = {
                "prompt_id": f"{number:016x}",
                "prompt": [{"role": "user", "content": f"question {number}" * 9}],
                "completion": f"answer{' ' * (number % 50)} {number + offset}",
                "target": f"target {number + 1}",
                "tokens": ids,
                "finish": "stop",
                "token_ids": [1000 + number * i for i in range(ids)],
                "token_logps": [-number / (i + 1) for i in range(ids)],
                "tokenizer": "a digest",
            }
            file.write(json.dumps(sample) + "\n")


@pytest.mark.parametrize(
    ("judge", "rival"),
    [
        (Alternating(), "target"),
        pytest.param(Alternating(), "other", marks=pytest.mark.slow),
        pytest.param(Longest(), "target", marks=pytest.mark.slow),
    ],
)
def test_judging_takes_few_bytes_per_sample(
    judge: Judge, rival: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 1)
    monkeypatch.setattr(scoring_judge, "REMEMBERED", 10)
    peaks = []
    for size in (40, *SIZES):  # What is imported and cached at the first call does not count.
        folder = tmp_path / str(size)
        write_samples(folder / "of", size)
        inputs = {"of": folder / "of"}
        if rival == "other":
            write_samples(folder / "other", size, offset=1)
            inputs["against"] = folder / "other"
        context = stage_context(folder / "stage", inputs=inputs)
        gc.collect()
        tracemalloc.start()
        found = JudgeStage(judge=judge, of="of", against=rival).run(context)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.metrics["n"] == size
    assert (peaks[2] - peaks[1]) / (SIZES[1] - SIZES[0]) < MOST


def test_outputs_of_a_command_take_the_memory_of_their_texts(tmp_path: Path) -> None:
    peaks = []
    for size in (10, 60):
        write_samples(tmp_path / f"{size}", size, ids=200)
        tracemalloc.start()
        outputs = read_outputs(str(tmp_path / f"{size}"), tokens=False)
        assert len(pair_with_targets(outputs).duels) == size
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 50 < 4_000


def test_duels_in_a_file_are_those_of_a_recomputation_with_lists(tmp_path: Path) -> None:
    ids = ["b", "a", "b", "c", "a", "\ud83d", "d", "c"]
    for name, order in (("of", ids), ("other", ids[::-1][2:])):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "samples.jsonl").open("w") as file:
            for number, id_ in enumerate(order):
                prompt = [{"role": "user", "content": f"q {id_}"}]
                line = {"prompt_id": id_, "prompt": prompt, "tokens": number, "finish": "stop"}
                line |= {"completion": f"{name} {number}"}
                line |= {} if id_ == "a" else {"target": f"t {id_}"}
                file.write(json.dumps(line) + "\n")
    paired = pair_samples(tmp_path / "of", tmp_path / "other")
    found = [(d.prompt_id, d.completion, d.baseline, d.baseline_tokens) for d in paired.duels]
    assert found == [
        ("b", "of 0", "other 3", 3),
        ("a", "of 1", "other 1", 1),
        ("c", "of 3", "other 2", 2),
        ("\ud83d", "of 5", "other 0", 0),
    ]
    assert (paired.unpaired, paired.later, paired.later_rivals) == (1, 3, 2)
    own = pair_samples(tmp_path / "of", None)
    assert [d.baseline for d in own.duels] == ["t b", "t c", "t \ud83d", "t d"]
    assert (own.unpaired, own.later) == (1, 3)
    orders = assign_orders(own.duels, both=False)
    asked = Comparisons(own.duels, orders)
    one_by_one = [comparison(d, o) for d, own in zip(own.duels, orders, strict=True) for o in own]
    assert [*asked] == one_by_one == [asked[n] for n in range(len(asked))]
    assert asked[-1] == one_by_one[-1]
    assert own.duels[1:3] == [*own.duels][1:3]
    with pytest.raises(IndexError):
        own.duels[4]


def test_ids_with_the_same_digest_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo_judge.judge_stage.on_disk.digest_of", len)
    ids = ["ab", "cd", "e", "fg"]
    numbered = Numbered(ids, ids.__getitem__)
    assert [numbered.get(id_) for id_ in [*ids, "xy", "none"]] == [0, 1, 2, 3, None, None]


def test_prompts_with_the_same_digest_are_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_samples(tmp_path / "of", 1)
    write_samples(tmp_path / "both", 2)
    second = (tmp_path / "both" / "samples.jsonl").read_text().splitlines()[1]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "samples.jsonl").write_text(f"{second}\n")
    monkeypatch.setattr("halo_judge.judge_stage.sample_duels.digest_of", lambda _: 7)
    paired = pair_samples(tmp_path / "of", tmp_path / "other")
    with pytest.raises(DataError, match="have the same digest; expected different ones"):
        paired.duels[0]
    with pytest.raises(DataError, match="have the same digest; expected different ones"):
        pair_samples(tmp_path / "both", None)
