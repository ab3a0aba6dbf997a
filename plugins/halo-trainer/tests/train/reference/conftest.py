"""Runs the stage `train` with an update of its reference."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halo_core import ModelInput
from halo_core.events import EventLog
from halo_core.loss import Loss
from halo_core.reference_update import ReferenceUpdate
from halo_core.stage import StageContext, StageResult, StopFlag
from halo_methods.components import MismatchedKL
from halo_trainer.train.options import Train

# The tests import the rows and what reads the results from here.
sys.path.insert(0, str(Path(__file__).parent))

Run = Callable[..., StageResult]
Start = Callable[..., tuple[Train, StageContext]]


@pytest.fixture
def start(
    make_data: Callable[..., Any], make_context: Callable[..., StageContext], tiny_model: ModelInput
) -> Start:
    """Returns a function that makes a stage on generated rows, and its context."""
    from refreshed_stage import make_rows

    def make(
        loss: Loss,
        update: ReferenceUpdate | None,
        *,
        name: str = "stage",
        reference: ModelInput | None = None,
        events: type[EventLog] | None = None,
        stop: StopFlag | None = None,
        warnings: list[str] | None = None,
        **options: Any,
    ) -> tuple[Train, StageContext]:
        kind = loss.feedback
        data = {
            "data": make_data(kind, make_rows(kind, 10)),
            "evaluate.test": make_data(kind, make_rows(kind, 4), "test"),
        }
        models = {"from": tiny_model, "reference": reference or tiny_model}
        context = make_context(data=data, models=models, name=name, stop=stop, warnings=warnings)
        if events is not None:
            context = replace(context, events=events(context.folder / "events.jsonl"))
        if "reference_point" in loss.needs:
            options.setdefault("reference_point", MismatchedKL())
        defaults = {"batch_size": 4, "steps": 5, "learning_rate": 1e-2, "log_every": 1}
        stage = Train(
            **defaults | {"device": "cpu", "evaluate": {"test": "t"}} | options,
            data="train",
            loss=loss,
            reference_update=update,
        )
        return stage, context

    return make


@pytest.fixture
def run(start: Start) -> Run:
    """Returns a function that runs a stage on generated rows."""

    def go(loss: Loss, update: ReferenceUpdate | None, **options: Any) -> StageResult:
        stage, context = start(loss, update, **options)
        assert not stage.mistakes()
        return stage.run(context)

    return go
