"""Token files are written by column, with the same bytes as if they were written row by row."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from halo_trainer.encode.examples import _SCHEMA, EncodedCompletion, EncodedExample, write


def completion(rng: random.Random, *, scored: bool, with_logps: bool) -> EncodedCompletion:
    ids = np.array([rng.randrange(1000) for _ in range(rng.randint(1, 9))], dtype=np.int32)
    logps = np.array([-rng.random() for _ in ids], dtype=np.float32)
    return EncodedCompletion(
        np.array([1, 2, 3][: rng.randint(1, 3)], dtype=np.int32),
        ids,
        rng.random() < 0.5,
        hashlib.sha256(ids.tobytes()).hexdigest()[:16],
        score=rng.random() if scored else None,
        sampler_logps=logps if with_logps and rng.random() < 0.7 else None,
    )


def examples(seed: int, sides: int, *, scored: bool, with_logps: bool) -> list[EncodedExample]:
    rng = random.Random(seed)
    return [
        EncodedExample(
            f"row {number} é",
            f"{number:016x}",
            tuple(
                completion(rng, scored=scored, with_logps=with_logps)
                for _ in range(sides or rng.randint(1, 4))
            ),
        )
        for number in range(2500)
    ]


def written_by_row(path: Path, given: list[EncodedExample]) -> bytes:
    def unless_none(values: list[object]) -> list[object] | None:
        return None if all(value is None for value in values) else values

    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        for start in range(0, len(given), 1024):
            rows = [
                {
                    "id": example.id,
                    "prompt_id": example.prompt_id,
                    "prompt": example.completions[0].prompt_ids,
                    "completions": [c.completion_ids for c in example.completions],
                    "desirable": [c.desirable for c in example.completions],
                    "completion_ids": [c.completion_id for c in example.completions],
                    "scores": unless_none([c.score for c in example.completions]),
                    "sampler_logps": unless_none([c.sampler_logps for c in example.completions]),
                }
                for example in given[start : start + 1024]
            ]
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=_SCHEMA))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("sides", "scored", "with_logps"),
    [(1, False, False), (2, False, True), (0, True, False), (0, True, True)],
)
def test_the_bytes_are_those_of_rows(
    tmp_path: Path, sides: int, scored: bool, with_logps: bool
) -> None:
    given = examples(1, sides, scored=scored, with_logps=with_logps)
    counts = write(tmp_path, given)
    assert counts.examples == len(given)
    assert (tmp_path / "tokens.arrow").read_bytes() == written_by_row(tmp_path / "rows", given)
