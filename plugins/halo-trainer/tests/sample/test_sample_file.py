"""Samples stay on disk while a stage runs, and come out in the order of the prompts."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from halo_core.errors import DiskError
from halo_core.workspace.records import PARTIAL_SAMPLES, SAMPLES, SampleLine
from halo_trainer.sample.sample_file import (
    LEAST_BYTES,
    SampleFile,
    check_room_for_samples,
    sampling_result,
)

TOKENS = 400


def line(prompt: str, number: int = 0, tokens: int = TOKENS) -> SampleLine:
    return SampleLine(
        prompt_id=prompt,
        prompt=[{"role": "user", "content": f"Ask {prompt} 🙂"}],
        completion=f"answer {number} \ud83d",
        tokens=tokens,
        finish="stop" if number % 2 == 0 else "length",
        token_ids=None if number == 1 else [1000 + number * i for i in range(tokens)],
        token_logps=[-0.1 * (i + number) for i in range(tokens)],
    )


IDS = ["a", "b", "c"]
BATCHES = [[2, 2], [0, 0], [1, 1]]


def batch(numbers: list[int], ids: list[str] = IDS) -> list[SampleLine]:
    return [line(ids[number], place) for place, number in enumerate(numbers)]


def test_samples_come_out_by_prompt_and_as_they_went_in(tmp_path: Path) -> None:
    file = SampleFile(tmp_path, IDS, BATCHES)
    for numbers in BATCHES:
        file.append(batch(numbers), numbers)
    assert (len(file), file.batches_done, file.texts, file.lacking) == (6, 3, 3, 0)
    path = file.finish()
    wanted = [sample for number in range(3) for sample in batch([number, number])]
    assert [{**sample, "v": 1} for sample in wanted] == [*SAMPLES.read(path)]
    direct = tmp_path / "direct.jsonl"
    SAMPLES.write(direct, wanted)
    assert path.read_bytes() == direct.read_bytes()
    assert not (tmp_path / PARTIAL_SAMPLES.name).exists()
    metrics = {"n": 6.0, "len": float(TOKENS), "len_mean": float(TOKENS), "stopped": 0.5}
    assert sampling_result(file).metrics == metrics


@pytest.mark.parametrize("cut", [0, 30])
def test_complete_batches_of_an_earlier_call_go_on(cut: int, tmp_path: Path) -> None:
    ids = ["c", "b", "a"]
    batches = [[0, 0], [2, 2], [1, 1]]
    first = SampleFile(tmp_path, ids, batches)
    first.append(batch(batches[0], ids), batches[0])
    first.append(batch(batches[1], ids), batches[1])
    first.append(batch(batches[2], ids)[:1], batches[2][:1])
    partial = tmp_path / PARTIAL_SAMPLES.name
    partial.write_bytes(partial.read_bytes()[: -cut or None])
    again = SampleFile(tmp_path, ids, batches)
    assert (len(again), again.batches_done, [*again.prompts]) == (4, 2, [0, 0, 2, 2])
    assert len(partial.read_text().splitlines()) == 4
    again.append(batch(batches[2], ids), batches[2])
    path = again.finish()
    assert [sample["prompt_id"] for sample in SAMPLES.read(path)] == [*"ccbbaa"]
    assert json.loads(path.read_text().splitlines()[2])["prompt"][0]["content"] == "Ask b 🙂"


def test_more_samples_than_any_disk_has_room_for_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"no room for 1,000,000,000,000 samples of at least 200"):
        check_room_for_samples(tmp_path, 10**12)
    check_room_for_samples(tmp_path, 10)
    assert len(json.dumps(line("a" * 16, tokens=0))) > LEAST_BYTES


@pytest.mark.slow
def test_a_sample_takes_little_memory(tmp_path: Path) -> None:
    peaks = []
    for size in (20, 120):
        ids = [f"{number:016x}" for number in range(size)]
        batches = [[number] for number in range(size)]
        folder = tmp_path / f"{size}"
        folder.mkdir()
        tracemalloc.start()
        file = SampleFile(folder, ids, batches)
        for number, id_ in enumerate(ids):
            file.append([line(id_, number)], [number])
        file = SampleFile(folder, ids, batches)  # A later call continues from there.
        file.finish()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 100 < 150
