"""What the stages of a plan say of themselves before they run: weights, sizes, work ahead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from halo_core.errors import HaloError, PluginError
from halo_core.model_size import folder_parameters, parameters_in_name
from halo_core.plan import Plan, PlannedStage
from halo_core.row_count import about_rows
from halo_core.spec.stages import BASE_MODEL
from halo_core.stage import Forecast, Known
from halo_core.stage_calls import forecast_of


def forecasts(plan: Plan, earlier: Mapping[Path, Forecast] | None = None) -> dict[str, Forecast]:
    """Returns stage id to what the stage says of itself, without torch.

    Args:
        plan: The plan; the weights of one stage's model are told to those that start from it.
        earlier: Folder to forecast, of stages that were asked already: those that cells of a
            suite share.

    Raises:
        PluginError: When a stage breaks its interface.
    """
    weights = {BASE_MODEL: _base_weights(plan)}
    found: dict[str, Forecast] = {}
    for stage in plan.stages:
        known = (earlier or {}).get(stage.folder)
        said = known or _forecast(plan, stage, weights.get(stage.spec.start or ""))
        found[stage.id] = said
        if stage.spec.component.produces == "model":
            weights[stage.id] = said.weights
    return found


def _base_weights(plan: Plan) -> int | None:
    model = plan.spec.model
    if plan.base_model is None:
        return None
    return folder_parameters(model.path) if model.path else parameters_in_name(model.hub or "")


def _forecast(plan: Plan, stage: PlannedStage, weights: int | None) -> Forecast:
    component, known = stage.spec.component, _known(plan, stage, weights)
    try:
        return forecast_of(component, known)
    except PluginError:
        raise
    except HaloError as error:
        return Forecast(ahead={"ahead": f"unknown: {error}"})


def _known(plan: Plan, stage: PlannedStage, weights: int | None) -> Known:
    rows = {option: about_rows(data, plan.workspace) for option, data in stage.spec.data.items()}
    sources = {option: plan.stage(name) for option, name in stage.spec.inputs.items()}
    return Known(
        weights=weights,
        learned=_together(rows[option] for option in stage.spec.learned),
        rows=rows,
        inputs={option: made.folder for option, made in sources.items() if made.state == "done"},
        cache=plan.workspace.cache,
        done=stage.state == "done",
    )


def _together(rows: Iterable[int | None]) -> int | None:
    """Returns the sum, or None where a part of it is unknown or there is none."""
    counts = list(rows)
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None
