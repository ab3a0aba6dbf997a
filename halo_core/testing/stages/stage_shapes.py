"""Checks that a stage with two models works with any two, or says that they do not go together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from halo_core.events import EventLog
from halo_core.guarded.stage_calls import check_inputs_of, check_product, checked_result
from halo_core.stage import Inputs, Stage, StageContext
from halo_core.testing.component import must_not_raise
from halo_core.testing.options.option_refusals import or_refused
from halo_core.testing.stages.products import check_content
from halo_core.testing.tiny_model import tiny_model
from halo_core.workspace.records import EVENTS

OTHER_INNER = 32
"""Width within the layer of the second model; the first one has that of `tiny_model`."""


def check_shapes(stage: Stage, context: StageContext) -> None:
    """Runs a stage whose second model has weights of other shapes than the first one.

    It does nothing for stages with fewer than two models.

    Args:
        stage: The stage.
        context: Its inputs, with models of `tiny_model`. Its folder is not used.

    Raises:
        AssertionError: When the stage raises anything but an error of halo.
    """
    names = [name for name in context.models if "." not in name]  # Others are those of a judge.
    if len(names) < 2:
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        other = tiny_model(folder / "other", seed=1, inner=OTHER_INNER)
        own = replace(
            context,
            models={**context.models, names[-1]: other},
            folder=folder / "stage",
            cache=folder / "cache",
            events=EventLog(folder / EVENTS.name),
        )
        own.folder.mkdir()
        with must_not_raise(stage, "check_inputs() of models whose weights have other shapes"):
            inputs = Inputs(
                models=own.models, there=list(own.models), data=own.data, sketch=folder / "sketch"
            )
            if check_inputs_of(stage, inputs):
                return  # It says so before the run begins.
        doing = f"run() with models whose weights have other shapes ({', '.join(own.models)})"
        with or_refused(), must_not_raise(stage, doing):
            checked_result(stage, stage.run(own))
            check_product(stage, own.folder)
            check_content(stage, own.folder)


__all__ = ["check_shapes"]
