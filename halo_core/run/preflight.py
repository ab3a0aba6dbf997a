"""What stages ahead check of the models that are there, before anything is trained for them."""

from __future__ import annotations

from collections.abc import Sequence

from halo_core.errors import HaloError, PluginError
from halo_core.guarded.stage_calls import preflight_of
from halo_core.option_fields import fields_by_alias
from halo_core.run.plan import Plan, PlannedStage
from halo_core.spec.stages import BASE_MODEL
from halo_core.stage import ModelInput
from halo_core.workspace.records import stage_done


class Preflight:
    """Lets each stage to do look at the nearest model that its own descends from.

    Args:
        plan: The run's plan.
        todo: Its stages that are not in the store.
    """

    def __init__(self, plan: Plan, todo: Sequence[PlannedStage]) -> None:
        self._plan = plan
        self._waiting = list(todo)

    def check(self) -> None:
        """Calls `Stage.preflight` of the stages whose models are there and were not checked.

        Call it before the first stage, and again whenever a model was made.

        Raises:
            HaloError: What a stage raises, placed at the stage.
        """
        for stage in list(self._waiting):
            models = {option: self._nearest(name) for option, name in stage.spec.models.items()}
            there = {option: model for option, model in models.items() if model is not None}
            if len(there) == len(models):
                self._waiting.remove(stage)
                self._check(stage, there)

    def _check(self, stage: PlannedStage, models: dict[str, ModelInput]) -> None:
        try:
            preflight_of(stage.spec.component, models)
        except PluginError:
            raise
        except HaloError as error:
            error.location = _place(stage, error.location)
            raise

    def _nearest(self, name: str | None) -> ModelInput | None:
        """Returns a stage's model, or that of the nearest stage before it which is there."""
        while name is not None:
            if name == BASE_MODEL and self._plan.base_model is not None:
                return self._plan.base_model
            stage = self._plan.stage(name)
            if stage_done(stage.folder) is not None:
                return self._plan.model(name)
            name = stage.spec.start
        return None


def _place(stage: PlannedStage, location: str | None) -> str:
    """Returns where an error of a stage is: at one of its options, or elsewhere."""
    where = f"stages.{stage.id}"
    if not location:
        return where
    option = location in fields_by_alias(type(stage.spec.component))
    return f"{where}.{location}" if option else f"{where}: {location}"
