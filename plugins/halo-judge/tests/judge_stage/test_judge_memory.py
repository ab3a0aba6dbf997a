"""Duels keep the texts of samples, and not their token ids, which take far more memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from halo_judge.files.output_pairs import pair_with_targets
from halo_judge.files.outputs import read_outputs
from halo_judge.judge_stage.duels import later_samples, pair_samples

SIZES = (10, 60)
TOKENS = 200


def write_samples(folder: Path, count: int) -> None:
    """Writes samples whose token ids and log-probabilities take some 10,000 bytes as objects."""
    folder.mkdir()
    with (folder / "samples.jsonl").open("w") as file:
        for number in range(count):
            sample = {
                "prompt_id": f"{number:016x}",
                "prompt": [{"role": "user", "content": f"question {number}"}],
                "completion": f"answer {number}",
                "target": f"target {number}",
                "tokens": TOKENS,
                "finish": "stop",
                "token_ids": [1000 + number * i for i in range(TOKENS)],
                "token_logps": [-number / (i + 1) for i in range(TOKENS)],
                "tokenizer": "a digest",
            }
            file.write(json.dumps(sample) + "\n")


def of_stage(folder: Path, size: int) -> None:
    duels, unpaired = pair_samples(folder, None)
    assert (len(duels), unpaired, later_samples(folder)) == (size, 0, 0)


def of_command(folder: Path, size: int) -> None:
    outputs = read_outputs(str(folder), tokens=False)
    assert len(pair_with_targets(outputs).duels) == size


@pytest.mark.parametrize("read", [of_stage, of_command])
def test_duels_of_samples_take_the_memory_of_their_texts(
    read: Callable[[Path, int], None], tmp_path: Path
) -> None:
    peaks = []
    for size in SIZES:
        folder = tmp_path / f"{size}"
        write_samples(folder, size)
        tracemalloc.start()
        read(folder, size)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / (SIZES[1] - SIZES[0]) < 4_000
