"""Returns the results of components for fixed inputs, to compare them between processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from halo_core.component import Component
from halo_core.data import DataSource
from halo_core.events import EventLog
from halo_core.guarded.report_calls import written_by
from halo_core.guarded.stage_calls import PROMISED, checked_result
from halo_core.hashing import short_hash
from halo_core.judge import Judge
from halo_core.loss import Loss
from halo_core.reference_point import Observed, Pair, RefPointEstimator
from halo_core.reference_update import ReferenceUpdate
from halo_core.scoring_judge import Answer, ScoringJudge
from halo_core.stage import Stage
from halo_core.testing.judges.judge_replies import judge_context
from halo_core.testing.made_runs import make_run, with_equal_numbers, with_second_stage
from halo_core.testing.options.option_effects import legal_variants
from halo_core.testing.run_texts import with_texts
from halo_core.testing.stages.products import hashes_of, results_in
from halo_core.tracker import Report
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import EVENTS

LARGEST = 100_000
"""Characters of a text that are compared."""

ROWS = 200
"""Rows of each split of a source that are compared."""


def call_otherwise(component: Component) -> None:
    """Calls a component otherwise than the functions below do at first.

    Components with other options, and then the component, get another input. Those with other
    options also get the usual one. So a component that keeps what its module, its class or itself
    has got first gives something else afterwards.
    """
    tell = next((tell for kind, tell in _PURE.items() if isinstance(component, kind)), None)
    if tell is None:
        return
    for variant in legal_variants(component):
        with suppress(Exception):  # Another rule is about other options.
            _call_once(variant)
            tell(variant, Path())
    _call_once(component)


def _call_once(component: Component) -> None:
    """Calls a component that only computes on an input that the functions below do not have."""
    if isinstance(component, Loss):
        from halo_core.testing.losses.loss_cases import batch_of, call, mixed_case, settled_loss

        loss = settled_loss(component)
        case = mixed_case(loss).take([1], "one example")
        call(loss, batch_of(loss, case), case)
    elif isinstance(component, RefPointEstimator) and component.observes in ("own", "mismatched"):
        component.estimate(Observed([0.25], [2], [Pair(0, 0)], 1), {})
    elif isinstance(component, ReferenceUpdate):
        component.mix(12_345)


def loss_told(loss: Loss, _: Path) -> Mapping[str, str]:
    """Returns the outputs of a loss."""
    from halo_core.testing.losses.loss_reports import outputs_of

    return {"an output": repr(outputs_of(loss))}


def estimator_told(estimator: RefPointEstimator, _: Path) -> Mapping[str, str]:
    """Returns the pairs and points of an estimator."""
    from halo_core.testing.points.reference_point_states import points_of

    return {"a point": points_of(estimator)}


def update_told(update: ReferenceUpdate, _: Path) -> Mapping[str, str]:
    """Returns the shares of a reference update."""
    from halo_core.testing.points.reference_updates import steps_for

    return {"the shares": repr({step: update.mix(step) for step in steps_for(update)})}


_PURE: Mapping[type[Component], Callable[[Any, Path], Mapping[str, str]]] = {
    Loss: loss_told,
    RefPointEstimator: estimator_told,
    ReferenceUpdate: update_told,
}
"""The functions for components that only compute, which can be called often."""


def source_told(source: DataSource, _: Path) -> Mapping[str, str]:
    """Returns the digest of a source, and its first rows."""
    from halo_core.testing.data.data_identity import content_of_splits

    contents = content_of_splits(source, ROWS)
    told = {"the digest": str(source.inspect().digest)}
    for split, text in contents.items():
        told |= _whole(f"the content of {split!r}", text)
    return told


def judge_told(judge: Judge, folder: Path) -> Mapping[str, str]:
    """Returns the verdicts or scores of a judge. A new process asks in the opposite order.

    The order stays the same with torch, which rounds otherwise if texts have other neighbours.
    """
    from halo_core.testing.judges.judge_batches import (
        both_orders,
        pairs,
        pairs_with_words_of_prompts,
    )

    first = not (folder / "asked").exists()
    (folder / "asked").touch()
    asked = both_orders([*pairs(), *pairs_with_words_of_prompts()])
    turned = asked if first or "torch" in sys.modules else asked[::-1]
    with TemporaryDirectory() as name:
        context = judge_context(Path(name))
        told: dict[str, str] = {}
        if isinstance(judge, ScoringJudge):
            answers = [Answer(each.id, each.prompt, each.a) for each in turned]
            with judge.open_scoring(context) as scoring:
                told = {each.id: _score(each.value) for each in scoring.score(answers)}
        else:
            with judge.open(context) as session:
                told = {each.id: str(each.winner) for each in session.compare(turned)}
    return {f"the reply to {each.id!r}": told.get(each.id, "none") for each in asked}


def _score(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def report_told(report: Report, folder: Path) -> Mapping[str, str]:
    """Returns the pages of two runs. A new process writes them in the opposite order."""
    workspace = Workspace(folder.resolve())
    order, runs = ["a", "b"], {}
    fresh = not (folder / "runs").exists()
    for cell in order:
        runs[cell] = make_run(workspace, cell) if fresh else workspace.run(f"toy-{cell * 6}")
        if fresh:
            # A stage that the second run lacks shows whether its page has parts of the first run.
            if cell == "a":
                with_second_stage(runs[cell])
            with_equal_numbers(runs[cell])
            with_texts(runs[cell], report)
    told: dict[str, str] = {}
    for cell in order if fresh else reversed(order):
        before = {*runs[cell].rglob("*")}
        page = written_by(report, runs[cell])
        content = page.read_bytes()
        text = content.decode("utf-8", "backslashreplace")
        told |= _whole(f"the page of the run {cell!r}", text)
        for path in runs[cell].rglob("*"):
            if path not in before and path.is_file():
                path.unlink()
    return dict(sorted(told.items()))


def _whole(name: str, text: str) -> Mapping[str, str]:
    """Returns the beginning of a text, and a hash of all of it."""
    rest = short_hash(text.encode("utf-8", "backslashreplace"))
    return {name: text[:LARGEST], f"{name}, as a hash": rest}


def stage_told(stage: Stage, _: Path) -> Mapping[str, str]:
    """Returns the results of a stage, and its rows or the hashes of its weights.

    A stage without a model, which is not slow, gets rows and samples in all their forms.
    """
    from dataclasses import replace

    from halo_core.testing.stages.stage_inputs import given_context
    from halo_core.testing.stages.stage_rows import mixed_data
    from halo_core.testing.stages.stage_samples import mixed_samples

    with TemporaryDirectory() as name:
        folder = Path(name)
        context = given_context(stage, folder)
        context = replace(context, events=EventLog(folder / EVENTS.name))
        if stage.produces != "model" and not context.models:
            data, inputs = mixed_data(folder, stage, context), context.inputs
            if len(inputs) == 1:  # Those of two stages would be the same ones.
                inputs = mixed_samples(folder / "samples", context, with_targets=True)
            context = replace(context, data=data, inputs=inputs)
        result = checked_result(stage, stage.run(context))
        told = {"a metric": repr(sorted(results_in(result.metrics).items()))}
        product = context.folder / PROMISED[stage.produces]
        if product.is_file():
            told |= _whole(product.name, product.read_text("utf-8"))
        else:
            told["a weight"] = repr(hashes_of(stage, context.folder))
        return told


__all__ = [
    "call_otherwise",
    "estimator_told",
    "judge_told",
    "loss_told",
    "report_told",
    "source_told",
    "stage_told",
    "update_told",
]
