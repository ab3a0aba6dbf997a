"""Lets the stages of a run check their inputs before anything is computed.

The mistakes of all stages are reported together, each at its place in the spec.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from halo_core.errors import DataError, HaloError, PluginError, UserError
from halo_core.guarded.stage_calls import check_inputs_of, preflight_of
from halo_core.option_fields import fields_by_alias
from halo_core.rows import DataSet
from halo_core.run.data_checks import StageRows, check_data
from halo_core.run.first_rows import FirstRows
from halo_core.run.materialise import Rows, materialise_set, sides_of
from halo_core.run.plan import Plan, PlannedStage
from halo_core.run.secrets_here import check_secrets
from halo_core.spec.document import Keys
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.sampling_checks import sampling_warnings
from halo_core.spec.stage_feedback import stages_in
from halo_core.spec.stages import BASE_MODEL
from halo_core.stage import Inputs, ModelInput
from halo_core.workspace.records import stage_done


class LookAhead:
    """Asks the stages that will be computed to check their inputs.

    Args:
        plan: The run's plan.
        todo: Its stages that are not in the store.
        begins: Whether the run starts now. Otherwise it is only planned.
        sketches: Sketches of models by the stage's folder. It is filled here, and the cells of a
            suite share it.
    """

    def __init__(
        self,
        plan: Plan,
        todo: Sequence[PlannedStage],
        *,
        begins: bool,
        sketches: dict[Path, ModelInput] | None = None,
    ) -> None:
        self._plan = plan
        self._begins = begins
        self._to_ask = list(todo)
        self._to_ready = list(todo) if begins else []
        self._asked_early: set[str] = set()
        self._sketches = {} if sketches is None else sketches

    def check(
        self,
        rows: StageRows,
        folder: Path,
        mistakes: Mistakes | None = None,
        checked: Callable[[int], None] | None = None,
    ) -> None:
        """Asks each stage once, and again when all of its models are known.

        Call it before the first stage, and again after each stage that made a model.

        Args:
            rows: Rows by stage id and data option, for all stages whose rows exist.
            folder: An empty folder for sketches and some rows. Keep it as long as the sketches.
            mistakes: Mistakes found before, which are raised together with the new ones.
            checked: Receives the number of stages whenever one was asked.

        Raises:
            SpecErrors: With every mistake found.
            PluginError: When a stage breaks its interface.
        """
        found = Mistakes(self._plan.spec.document) if mistakes is None else mistakes
        for stage in self._to_ready:
            check_secrets(stage, found)
        sets = FirstRows(folder)
        for number, stage in enumerate(list(self._to_ask)):
            given = {
                option: sets.of(stage.spec.data[option].name, files)
                for option, files in rows.get(stage.id, {}).items()
            }
            self._ask(stage, folder / f"sketch-{number}", given, found)
            if checked is not None:
                checked(1)
        for stage in list(self._to_ready):
            self._ready(stage, found)
        found.raise_if_any()

    def inputs_of(self, stage: PlannedStage, data: Mapping[str, DataSet], sketch: Path) -> Inputs:
        """Returns those inputs of a stage that already exist.

        Args:
            stage: A stage of the plan.
            data: Rows by data option.
            sketch: The folder where the stage may write a sketch of its model.
        """
        nearest = {option: self._nearest(name) for option, name in stage.spec.models.items()}
        return Inputs(
            models={option: near for option, near in nearest.items() if near is not None},
            there={o for o, name in stage.spec.models.items() if self._here(name) is not None},
            data=data,
            sketch=sketch,
            begins=self._begins,
        )

    def _ask(
        self, stage: PlannedStage, sketch: Path, data: Mapping[str, DataSet], found: Mistakes
    ) -> None:
        inputs = self.inputs_of(stage, data, sketch)
        if inputs.models.keys() == stage.spec.models.keys():
            self._to_ask.remove(stage)
        elif stage.id in self._asked_early:
            return
        self._asked_early.add(stage.id)
        with self._placing(stage, found):
            for option, message in check_inputs_of(stage.spec.component, inputs):
                found.add(self._keys(stage, option), message)
        if sketch.is_dir():
            self._sketches[stage.folder] = ModelInput(str(sketch), None, "")

    def _ready(self, stage: PlannedStage, found: Mistakes) -> None:
        models = {option: self._made(name) for option, name in stage.spec.models.items()}
        there = {option: model for option, model in models.items() if model is not None}
        if len(there) == len(models):
            self._to_ready.remove(stage)
            with self._placing(stage, found):
                preflight_of(stage.spec.component, there)

    @contextmanager
    def _placing(self, stage: PlannedStage, found: Mistakes) -> Iterator[None]:
        """Collects a mistake that a stage raises, at the option or other place that it names."""
        try:
            yield
        except PluginError:
            raise
        except HaloError as error:
            document, keys = self._plan.spec.document, _keys(self._plan, stage)
            option = (error.location or "").partition(".")[0]
            if option in fields_by_alias(type(stage.spec.component)):
                error.location = document.locate(self._keys(stage, str(error.location)))
            else:
                beside = f": {error.location}" if error.location else ""
                error.location = f"{document.locate(keys)}{beside}"
            if not isinstance(error, UserError):
                raise
            found.errors.append(error)

    def _keys(self, stage: PlannedStage, option: str) -> Keys:
        """Returns the place of an option. A model that is left out has the place of the run's."""
        keys = (*_keys(self._plan, stage), *option.split("."))
        model, name = self._plan.spec.model, stage.spec.models.get(option)
        if name is None or self._nearest(name) != self._plan.base_model or self._is_written(keys):
            return keys
        return ("model", "path" if model.path else "hub")

    def _is_written(self, keys: Keys) -> bool:
        node: Any = self._plan.spec.document.tree
        for key in keys:
            if not isinstance(node, dict) or key not in node:
                return False
            node = node[key]
        return True

    def _nearest(self, name: str | None) -> ModelInput | None:
        """Returns the model or the sketch of a stage, or else of the nearest stage before it."""
        while name is not None:
            near = self._here(name) or self._sketch(name)
            if near is not None:
                return near
            name = None if name == BASE_MODEL else self._plan.stage(name).spec.start
        return None

    def _sketch(self, name: str) -> ModelInput | None:
        sketch = self._sketches.get(self._plan.stage(name).folder)
        return sketch if sketch is not None and Path(sketch.path).is_dir() else None

    def _made(self, name: str | None) -> ModelInput | None:
        """Returns a stage's model, or else the existing model of the nearest stage before it."""
        while name is not None:
            if (near := self._here(name)) is not None:
                return near
            name = self._plan.stage(name).spec.start
        return None

    def _here(self, name: str) -> ModelInput | None:
        if name == BASE_MODEL and self._plan.base_model is not None:
            return self._plan.base_model
        is_done = stage_done(self._plan.stage(name).folder) is not None
        return self._plan.model(name) if is_done else None


def _keys(plan: Plan, stage: PlannedStage) -> Keys:
    """Returns the place of a stage in the spec."""
    if stage.id == BASE_MODEL:
        return ("model", plan.spec.model.made_by or "")
    return ("stages", stage.id)


def rows_at_hand(plan: Plan) -> dict[str, dict[str, list[Rows]]]:
    """Returns rows by stage id and option, for all sets that can be read without a network."""
    rows: dict[str, dict[str, list[Rows]]] = {}
    wanted = sides_of(data for stage in plan.stages for data in stage.spec.data.values())
    for stage in plan.stages:
        rows[stage.id] = {}
        for option, data in stage.spec.data.items():
            if any(source.info.digest is None for source in data.sources):
                continue
            try:
                rows[stage.id][option] = materialise_set(data, plan.workspace, wanted=wanted)
            except HaloError:
                continue  # For each such set, the plan says why its rows are unknown.
    return rows


def _unnamed_content(stage: PlannedStage) -> list[str]:
    """Returns a warning for each data set of a stored stage whose rows may have changed unseen.

    The identity of a stage contains the digest of its data, and such a source has none. Feedback
    of another stage needs none, because the identity contains the key of that stage.
    """
    return [
        f"{stage.id}: the data set {data.name!r} ({source.resolved.short_name}) tells no digest of "
        "its content; the stored result is used, though the rows may have changed. With --again "
        f"{stage.id}, halo run computes it again"
        for data in stage.spec.data.values()
        for source in data.sources
        if source.info.digest is None and not stages_in(source)
    ]


def check_plan(plan: Plan, rows: StageRows, warn: Callable[[str], None]) -> None:
    """Checks the rows of a plan, and asks its stages to check their inputs.

    Args:
        plan: The plan.
        rows: The rows from `rows_at_hand`. Without rows, no row is checked.
        warn: Receives warnings for the user.

    Raises:
        SpecErrors: With every mistake found.
    """
    todo = [stage for stage in plan.stages if stage.state != "done"]
    mistakes = Mistakes(plan.spec.document)
    check_rows(plan, rows, new={stage.id for stage in todo}, mistakes=mistakes, warn=warn)
    with TemporaryDirectory() as folder:
        LookAhead(plan, todo, begins=False).check(rows, Path(folder), mistakes)


def check_rows(
    plan: Plan,
    rows: StageRows,
    *,
    new: Collection[str],
    mistakes: Mistakes,
    warn: Callable[[str], None],
) -> None:
    """Checks rows as `check_data` does, but turns an error into a mistake at the data set.

    Also warns about stages that sample otherwise than a later loss assumes, if one is new, and
    about stored stages whose rows may have changed unseen.
    """
    for stage in plan.stages:
        for line in _unnamed_content(stage) if stage.id not in new else ():
            warn(line)
    for warning in sampling_warnings(plan.spec, new):
        warn(warning)
    try:
        check_data(plan, rows, new=new, fresh=rows, warn=warn)
    except DataError as error:
        error.location = _place_of_set(plan, error.location or "")
        mistakes.errors.append(error)


def _place_of_set(plan: Plan, location: str) -> str:
    """Returns the place of the set that a message calls ``data set 'NAME'``."""
    name = location.removeprefix("data set ").strip("'")
    keys = ("data", name) if name in plan.spec.sets else ("stages", *name.split("."))
    place = plan.spec.document.place_of(keys)
    return f"{place}: {location}" if place else location
