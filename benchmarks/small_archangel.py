"""Trains a small copy of the report's suite with one process and with four, and compares them.

    python benchmarks/small_archangel.py [--cell 'llama/SFT+DPO']... [--processes 4]

The copy is `examples/archangel.yaml` with models of two blocks, feedback from the toy world and
four steps per training; all methods and other options of the trainings are the suite's. With
several processes, `sharding: full` spreads the weights. Both runs compute in float32 on the CPU,
over gloo. Losses and weights must agree within the tolerances below. The script ends with 1 if they
do not.

Without --cell, it compares two cells. --cell '*' compares all, which takes an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

from halo_core.events import read_events

SUITE = Path(__file__).parents[1] / "examples" / "archangel.yaml"
LOSS_TOLERANCE = 1e-5
"""Largest relative difference of a step's loss."""
WEIGHT_TOLERANCE = 1e-3
"""Largest 2-norm of the difference of trained weights, relative to that of their change in
training. RMSprop divides each gradient by its size, so it enlarges the rounding of those near 0."""
CELLS = ("llama/SFT+DPO", "pythia/KTO")
STEPS = 4
SIZES = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
TRAINING = {
    "epochs": None,
    "steps": STEPS,
    "warmup_steps": 1,
    "learning_rate": 1e-4,
    "max_length": 256,
    "max_prompt_length": 128,
    # Several micro-batches per step, so that gradients add up.
    "micro_batch_tokens": 512,
    "log_every": 1,
    "device": "cpu",
}


@dataclass(frozen=True)
class Trained:
    """A training of the suite.

    Attributes:
        name: Cell and stage.
        losses: Loss of each step.
        start: Folder of the model that it started from.
        model: Folder of the model that it made.
    """

    name: str
    losses: Sequence[float]
    start: Path
    model: Path


def main() -> None:
    parser = argparse.ArgumentParser(description="A small suite on one process and on several.")
    parser.add_argument("--cell", action="append", help="a cell; two by default")
    parser.add_argument("--processes", type=int, default=4, help="number of processes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cells = options.cell or CELLS
        one = _run(folder, cells, processes=1, sharding="none")
        several = _run(folder, cells, processes=options.processes, sharding="full")
        sys.exit(0 if _compare(one, several) else 1)


def small_suite(processes: int, sharding: str) -> dict[str, Any]:
    """Returns the suite with small models, toy feedback and few steps.

    Args:
        processes: Number of processes of each training.
        sharding: The option.
    """
    suite: dict[str, Any] = yaml.safe_load(SUITE.read_text(encoding="utf-8"))
    suite["name"] = "small-archangel"
    suite["model"] = {"scratch": {"data": "corpus", "vocab_size": 512, "config": dict(SIZES)}}
    suite["data"] = {
        "corpus": {"use": "toy", "feedback": "text", "size": 200},
        "train": {"use": "toy", "feedback": "paired", "size": 200},
    }
    for name in ("sft", "align"):
        stage = {**suite["stages"][name], **TRAINING}
        stage |= {"processes": processes, "sharding": sharding}
        suite["stages"][name] = {k: v for k, v in stage.items() if v is not None}
    del suite["stages"]["answers"], suite["stages"]["win"], suite["tracking"]
    kinds = {"pythia": "gpt_neox", "llama": "llama"}
    suite["matrix"]["model"] = {
        name: {"model.scratch.config.model_type": kind} for name, kind in kinds.items()
    }
    del suite["matrix"]["method"]["unaligned"]
    return suite


def _run(folder: Path, cells: Sequence[str], *, processes: int, sharding: str) -> list[Trained]:
    """Runs the suite, and returns its trainings in order."""
    spec, workspace = folder / f"suite-{processes}.yaml", folder / f"workspace-{processes}"
    text = yaml.safe_dump(small_suite(processes, sharding), sort_keys=False)
    spec.write_text(text, encoding="utf-8")
    chosen = [part for cell in cells for part in ("--cell", cell)]
    command = [sys.executable, "-m", "halo_core.cli", "run", str(spec), *chosen, "--json"]
    done = subprocess.run(
        [*command, "--workspace", str(workspace)], check=True, stdout=subprocess.PIPE
    )
    trained = []
    for cell in json.loads(done.stdout)["cells"]:
        events = workspace / "runs" / cell["run"] / "events.jsonl"
        for before, stage in pairwise(cell["stages"]):
            if stage["use"] == "train" and stage["status"] == "computed":
                name = f"{cell['id']} {stage['id']}"
                start, folder = (Path(each["folder"]) / "model" for each in (before, stage))
                trained.append(Trained(name, _losses(events, stage["id"]), start, folder))
    return trained


def _compare(one: Sequence[Trained], several: Sequence[Trained]) -> bool:
    """Prints the differences of each training, and returns whether all are small enough."""
    print(f"{'training':28} {'loss':>9} {'weights':>9}")
    fine = bool(one)
    for mine, theirs in zip(one, several, strict=True):
        assert mine.name == theirs.name
        assert len(mine.losses) == len(theirs.losses) == STEPS
        pairs = zip(mine.losses, theirs.losses, strict=True)
        loss = max(abs(a - b) / abs(a) for a, b in pairs)
        start, own, other = map(_weights, (mine.start, mine.model, theirs.model))
        change = _norm({name: own[name] - start[name] for name in own})
        weights = _norm({name: own[name] - other[name] for name in own}) / change
        fine &= loss <= LOSS_TOLERANCE and weights <= WEIGHT_TOLERANCE
        print(f"{mine.name:28} {loss:9.1e} {weights:9.1e}")
    print(f"{'tolerance':28} {LOSS_TOLERANCE:9.0e} {WEIGHT_TOLERANCE:9.0e}")
    return fine


def _losses(events: Path, stage: str) -> list[float]:
    """Returns the loss of each step of a stage."""
    found = {
        event["step"]: event["metrics"]["train/loss"]
        for event, _ in read_events(events)
        if event["type"] == "metrics"
        and event.get("stage") == stage
        and "train/loss" in event["metrics"]
    }
    return [found[step] for step in sorted(found)]


def _weights(folder: Path) -> Mapping[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= load_file(path)
    return found


def _norm(tensors: Mapping[str, torch.Tensor]) -> float:
    return float(torch.stack([tensor.float().norm() for tensor in tensors.values()]).norm())


if __name__ == "__main__":
    main()
