"""A workspace with judged runs of one recipe, as a sweep without a suite leaves it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_mlflow.options import MLflow
from halo_mlflow.runs.session import MLflowSession

RUNS = (
    # name, title, loss, beta, learning rate, win rate with its interval, the length-controlled one,
    # median length
    (
        "toy-00000a",
        "kto-b0.1-s2",
        "kto",
        0.1,
        1e-4,
        (0.716, 0.658, 0.769),
        (0.702, 0.640, 0.758),
        12.0,
    ),
    (
        "toy-00000b",
        "kto-b0.5-s2",
        "kto",
        0.5,
        1e-4,
        (0.642, 0.580, 0.700),
        (0.639, 0.575, 0.699),
        11.0,
    ),
    (
        "toy-00000c",
        "dpo-b0.1-s2",
        "dpo",
        0.1,
        1e-4,
        (0.690, 0.630, 0.745),
        (0.584, 0.517, 0.648),
        27.0,
    ),
    (
        "toy-00000d",
        "kto-b0.1-s2-lr0.0005",
        "kto",
        0.1,
        5e-4,
        (0.553, 0.489, 0.615),
        (0.560, 0.495, 0.623),
        10.0,
    ),
)
_BASELINE_LENGTH = 11.0
_STEPS = 40


def judged_run(run: Any, row: tuple[Any, ...]) -> Any:
    """Writes the files and events of one judged run, and returns it.

    Args:
        run: A run without events.
        row: A line of `RUNS`.
    """
    name, title, loss, beta, rate, win, controlled, length = row
    record = json.loads((run.folder / "run.json").read_text())
    stages = [{**s, "loss": loss} if s["id"] == "kto" else s for s in record["stages"]]
    record = {**record, "name": name, "title": title, "stages": stages}
    (run.folder / "run.json").write_text(json.dumps(record))
    spec = (run.folder / "spec.resolved.yaml").read_text()
    told = f"learning_rate: {rate}, loss: {{use: {loss}, beta: {beta}}}"
    spec = spec.replace("loss: {use: kto, beta: 0.1}", told)
    (run.folder / "spec.resolved.yaml").write_text(spec)
    run.start()
    for stage, speed in (("sft", 0.08), ("kto", 400 * rate)):
        run.begin_stage(stage)
        for step in range(1, _STEPS + 1):
            learned = math.exp(-speed * step)
            curves = {
                "train/loss": 0.3 + 0.4 * learned,
                "train/lr": rate,
                "rewards/desirable": 1 - learned,
                "rewards/undesirable": learned - 1,
                "policy/kl": 0.2 * (1 - learned),
                "perf/tok_s": 900.0 + step,
            }
            run.append("metrics", stage=stage, step=step, metrics=curves, examples=step)
        run.end_stage(stage, loss=0.3, loss_first=0.7, steps=_STEPS, examples=640, tokens=9000)
    run.end_stage("answers", n=192, len=length, stopped=1.0)
    ends = ("", "_lo", "_hi")
    run.end_stage(
        "win",
        f"win rate {win[0]:.3f}",
        **{f"win{end}": value for end, value in zip(ends, win, strict=True)},
        **{f"win_lc{end}": value for end, value in zip(ends, controlled, strict=True)},
        **{"n": 192, "len": length, "baseline_len": _BASELINE_LENGTH, "flip": 0.0},
    )
    run.end(headline=f"win rate {win[0]:.3f} against target")
    return run


@pytest.fixture(scope="session")
def judged_workspace(
    tmp_path_factory: pytest.TempPathFactory, migrated: Path, new_run: Callable[..., Any]
) -> Path:
    """A workspace with four judged runs that were sent; to be read only."""
    workspace = tmp_path_factory.mktemp("judged") / "ws"
    workspace.mkdir()
    shutil.copy(migrated, workspace / "mlflow.db")
    for row in RUNS:
        run = judged_run(new_run(workspace, row[0]), row)
        session = MLflowSession(
            MLflow(uri=f"sqlite:///{workspace / 'mlflow.db'}"), run.folder, workspace
        )
        session.handle(run.events)
        session.close()
    return workspace
