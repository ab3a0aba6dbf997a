"""Reads the model, the rows in order and the losses of a finished training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_trainer.batch.batch_plan import BatchPlan


@dataclass(frozen=True)
class Training:
    """A training stage that is done.

    Attributes:
        model: The folder of the trained model.
        start: The folder of the model that it started from.
        start_digest: A hash that tells that model from others.
        options: The options of the stage.
        steps: The rows of each step, in order.
        logged: The metrics of each step, in order.
    """

    model: Path
    start: Path
    start_digest: str
    options: dict[str, Any]
    steps: Sequence[Sequence[dict[str, Any]]]
    logged: Sequence[dict[str, float]]

    @property
    def losses(self) -> list[float]:
        """The loss of each step."""
        return [metrics["train/loss"] for metrics in self.logged]


def read_training(run: Path, stage: str) -> Training:
    """Returns the training of a stage of a run.

    Args:
        run: The folder of the run.
        stage: The stage's id.
    """
    record = json.loads((run / "run.json").read_text())
    (found,) = (each for each in record["stages"] if each["id"] == stage)
    folder = run.parents[1] / found["folder"]
    about = json.loads((folder / "stage.json").read_text())
    rows = _rows(about["data"]["data"]["files"])
    plan = BatchPlan(len(rows), about["stage"]["batch_size"], about["seed"])
    events = [json.loads(line) for line in (folder / "events.jsonl").open()]
    logged = [e["metrics"] for e in events if "train/loss" in e.get("metrics", {})]
    return Training(
        folder / "model",
        Path(about["models"]["from"]["path"]),
        about["models"]["from"]["digest"],
        about["stage"],
        [[rows[i] for i in plan.batch(step).indices] for step in range(1, len(logged) + 1)],
        logged,
    )


def _rows(files: Sequence[str]) -> list[dict[str, Any]]:
    import pyarrow as pa

    rows: list[dict[str, Any]] = []
    for file in files:
        with pa.memory_map(file) as source:
            rows += pa.ipc.open_file(source).read_all().to_pylist()
    return rows
