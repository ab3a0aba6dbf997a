"""Runs the stage `train` on rows of words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halo_core import ModelInput
from halo_core.events import EventLog
from halo_core.feedback import Feedback
from halo_core.loss import Loss
from halo_core.stage import StageContext, StageResult, StopFlag
from halo_methods.components import MismatchedKL
from halo_trainer.train.options import Train

# The tests import the rows and what reads the results from here.
sys.path.insert(0, str(Path(__file__).parent))

Run = Callable[..., StageResult]


@pytest.fixture
def run(
    make_data: Callable[..., Any], make_context: Callable[..., StageContext], tiny_model: ModelInput
) -> Run:
    """Runs a stage on generated rows; returns its result."""
    from stage_on_words import make_rows

    def go(
        loss: Loss,
        *,
        name: str = "stage",
        rows: int = 10,
        feedback: Feedback | None = None,
        model: ModelInput = tiny_model,
        test_rows: int = 0,
        events: type[EventLog] | None = None,
        stop: StopFlag | None = None,
        warnings: list[str] | None = None,
        **options: Any,
    ) -> StageResult:
        kind = feedback or loss.feedback
        data = {"data": make_data(kind, make_rows(kind, rows))}
        if test_rows:
            data["evaluate.test"] = make_data(kind, make_rows(kind, test_rows), "test")
            options["evaluate"] = {"test": "test"}
        models = {"from": model, "reference": model}
        context = make_context(data=data, models=models, name=name, stop=stop, warnings=warnings)
        if events is not None:
            context = replace(context, events=events(context.folder / "events.jsonl"))
        if "reference_point" in loss.needs:
            options.setdefault("reference_point", MismatchedKL())
        stage = Train(
            **{"batch_size": 4, "learning_rate": 1e-2, "device": "cpu", "data": "train"} | options,
            loss=loss,
        )
        assert not stage.mistakes()
        return stage.run(context)

    return go
