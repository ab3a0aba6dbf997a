from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_judge.files.outputs import read_outputs
from halo_judge.judge_stage.old_samples import FEWEST
from halo_judge.judge_stage.sample_duels import pair_samples
from halo_judge.label_stage.candidates import of_samples

MESSAGE = (
    "all 5 completions are empty, or repeat the first token of the vocabulary; expected "
    "completions. An earlier version of halo sampled this from a model with NaN in its logits. "
    "Sample again: halo then names what is wrong with the model"
)


def samples(folder: Path, *ids: list[int], **columns: Any) -> Path:
    folder.mkdir()
    with (folder / "samples.jsonl").open("w") as file:
        for number, sampled in enumerate(ids):
            line = {
                "prompt_id": f"p{number}",
                "prompt": [{"role": "user", "content": f"What {number}?"}],
                "completion": "!" * len(sampled),
                "target": "moo",
                "tokens": len(sampled),
                "token_ids": sampled,
                "finish": "length" if sampled else "stop",
            }
            file.write(json.dumps(line | columns) + "\n")
    return folder


EMPTY, FIRST = [[]] * 5, [[0, 0, 0]] * 5


@pytest.mark.parametrize("ids", [EMPTY, FIRST])
def test_samples_of_a_model_without_finite_logits_are_refused(
    tmp_path: Path, ids: list[list[int]]
) -> None:
    old = samples(tmp_path / "old", *ids)
    good = samples(tmp_path / "good", *[[3]] * 5)
    for read in (
        lambda: pair_samples(old, None),
        lambda: pair_samples(good, old),
        lambda: read_outputs(str(old)),
        lambda: read_outputs(str(old), tokens=False),
        lambda: list(of_samples(old, None, targets=True)),
        lambda: list(of_samples(old / "samples.jsonl", None, targets=True)),
    ):
        with pytest.raises(DataError) as raised:
            read()
        assert str(raised.value) == f"{old}/samples.jsonl: {MESSAGE}"


@pytest.mark.parametrize(
    ("ids", "columns"),
    [
        # Newer samples: their logits were finite.
        (EMPTY, {"tokenizer": "abc"}),
        ([*EMPTY, [7]], {}),
        (EMPTY[: FEWEST - 1], {}),
        ([[0, 0], [0, 5], [0], [0]], {}),
    ],
)
def test_other_samples_are_read(
    tmp_path: Path, ids: list[list[int]], columns: dict[str, Any]
) -> None:
    folder = samples(tmp_path / "samples", *ids, **columns)
    assert len(pair_samples(folder, None)[0]) == len(ids)
    assert len(read_outputs(str(folder)).outputs) == len(ids)
