"""Several processes share the batches, and write the same samples as one."""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from halo_core.stage import ModelInput
from halo_trainer.sample.crew import Crew
from halo_trainer.sample.options import Sample


def test_several_processes_are_started_by_the_launcher_and_one_is_not(tmp_path: Path) -> None:
    assert Sample(prompts="test").command(tmp_path) is None
    command = Sample(prompts="test", processes=3).command(tmp_path) or []
    assert command[command.index("--processes") + 1] == "3"


def test_a_process_waits_for_batches_that_take_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[tuple[str, timedelta]] = []
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(
        torch.distributed,
        "init_process_group",
        lambda backend, timeout: began.append((backend, timeout)),
    )
    assert Crew(2, torch.device("cpu")).rank == 1
    ((backend, timeout),) = began
    assert backend == "gloo"
    assert timeout > timedelta(days=1)


@pytest.mark.slow
def test_two_processes_write_the_samples_of_one(
    warm: Any, tmp_path: Path, tiny_model: ModelInput
) -> None:
    rows = [{"prompt": f"What {i}?" + " moo" * (i % 4)} for i in range(9)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "spec.yaml").write_text(
        f"name: shared\nseed: 1\nreports: []\nmodel: {{path: {tiny_model.path}}}\n"
        "data: {asked: {use: jsonl, path: rows.jsonl}}\n"
        "stages: {draw: {use: sample, from: model, prompts: asked, max_new_tokens: 8, "
        "batch_size: 2, samples_per_prompt: 2, device: cpu}}\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    written = []
    for processes in (1, 2):
        command = [sys.executable, "-m", "halo_core.cli", "run", "spec.yaml"]
        command += ["--workspace", f"w{processes}", "--set", f"stages.draw.processes={processes}"]
        ran = warm.run(command, ready=(1, 2), cwd=tmp_path, env=environment, timeout=200)
        assert ran.returncode == 0, ran.stderr
        (file,) = (tmp_path / f"w{processes}").glob("stages/sample-*/samples.jsonl")
        assert not (file.parent / "samples.partial.jsonl").exists()
        written.append((file.parent.name, file.read_bytes()))
    assert written[0] == written[1]
    assert len(written[0][1].splitlines()) == 18
