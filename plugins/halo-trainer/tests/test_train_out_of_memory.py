"""If a process runs out of memory, both end, with one sentence and the last checkpoint."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.stage import ModelInput

LOSS = """\
import os
from typing import ClassVar

from halo_core import Loss, LossOutput

calls = {"loss": 0, "first pass": 0}


def eat(where):
    rank, call, wanted = os.environ.get("HUNGRY", "-1:0:loss").split(":")
    calls[where] += 1
    if os.environ.get("RANK") == rank and wanted == where and calls[where] == int(call):
        import torch

        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class Hungry(Loss):
    \"\"\"Runs out of memory on a process, at a call.\"\"\"

    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "reference_logps", "reference_point")
    default_reference_point: ClassVar = "matched-kl"

    def change_logratios(self, token_logratios):
        if not token_logratios.requires_grad:
            eat("first pass")
        return token_logratios

    def __call__(self, batch):
        eat("loss")
        return LossOutput((batch.logratios - batch.reference_point) ** 2 - batch.policy_logps)
"""
STEPS = 6


@pytest.fixture
def spec(tmp_path: Path, tiny_model: ModelInput) -> Path:
    rows = [
        {"prompt": f"What {i}?", "completion": "moo " * (i % 5) + "moo", "label": i % 2 == 0}
        for i in range(12)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "hungry.py").write_text(LOSS)
    path = tmp_path / "spec.yaml"
    path.write_text(
        f"name: hungry\nseed: 1\nreports: []\nmodel: {{path: {tiny_model.path}}}\n"
        "data: {train: {use: jsonl, path: rows.jsonl}}\n"
        'stages: {tune: {use: train, loss: {use: "file:hungry.py:Hungry"}, data: train, '
        f"batch_size: 6, steps: {STEPS}, learning_rate: 0.01, log_every: 1, checkpoint_every: 2, "
        "micro_batch_tokens: 40, processes: 2, device: cpu}}\n"
    )
    return path


@pytest.mark.parametrize(
    ("rank", "where"),
    [
        pytest.param(1, "loss", marks=pytest.mark.slow),
        pytest.param(0, "first pass", marks=pytest.mark.slow),
    ],
)
def test_both_processes_end_with_the_sentence_and_the_last_checkpoint(
    rank: int, where: str, warm: Any, spec: Path
) -> None:
    done = warm.run(
        [sys.executable, "-m", "halo_core.cli", "run", str(spec), "--workspace", "w"],
        ready=(1, 2),
        cwd=spec.parent,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HUNGRY": f"{rank}:5:{where}"},
        timeout=200,
    )
    assert done.returncode == 2, done.stderr[-3000:]
    expected = f"out of memory with micro_batch_tokens at 40, in process {rank} of 2. Set"
    assert expected in done.stderr
    assert "Set micro_batch_tokens to 20" in done.stderr
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    kept = sorted(path.name for path in (spec.parent / "w").glob("stages/*/checkpoints/step-*"))
    assert kept
    assert f"it continues from step {int(kept[-1].partition('-')[2])}" in done.stderr
    # One process continues, because two more would only import torch again.
    smaller = spec.read_text().replace("micro_batch_tokens: 40", "micro_batch_tokens: 20")
    spec.write_text(smaller.replace("processes: 2", "processes: 1"))
    assert call(["run", str(spec), "--workspace", str(spec.parent / "w")]) == 0
    (events,) = (spec.parent / "w").glob("stages/*/events.jsonl")
    steps = [json.loads(line).get("step") for line in events.read_text().splitlines()]
    assert steps.count(1) == 1  # it continued from the checkpoint
    assert STEPS in steps
