"""Feedback from an earlier stage, as a data source that other stages learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from halo_core.component import with_origin
from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import Feedback
from halo_core.option_markers import Location, Refers
from halo_core.plugins.registrar import Registration
from halo_core.spec.data_sets import Source
from halo_core.spec.resolved import Resolved, origin_of
from halo_core.workspace.records import FEEDBACK, stage_done

_NAME = "stage-feedback"


class StageFeedback(DataSource):
    """The rows of an earlier stage. Specs name this source by the stage's id."""

    stage: Annotated[str, Refers("feedback")] = Field(description="The stage's id.")
    feedback: Feedback = Field(description="The kind of its rows.")
    folder: Annotated[str | None, Location()] = Field(
        default=None, description="The stage's folder, once it is planned."
    )
    key: str | None = Field(default=None, description="Names the stage's output; in the identity.")

    def inspect(self) -> DataInfo:
        """Returns the information that is known before the stage has run."""
        return DataInfo(self.feedback, ("train",), self.key)

    def load(self, split: str) -> Loaded:
        """Returns the rows that the stage wrote.

        Raises:
            DataError: When it has not run yet.
        """
        folder = None if self.folder is None else Path(self.folder)
        if folder is None or stage_done(folder) is None:
            raise DataError(f"known when {self.stage} is done")
        return Loaded(_rows(folder))


def _rows(folder: Path) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(FEEDBACK.read(folder / FEEDBACK.name), start=1):
        row = {"id": f"{folder.name}:{number}", **line}
        row.pop("v", None)  # conversions must not see the version
        yield row


def feedback_of(stage: str, feedback: Feedback) -> Resolved:
    """Returns the data source that a stage's id means."""
    import halo_core

    target = f"{__name__}:{StageFeedback.__name__}"
    registration = Registration("data", _NAME, target, "halo-core", halo_core.__version__, __file__)
    component = with_origin(
        StageFeedback(stage=stage, feedback=feedback), origin_of(_NAME, registration)
    )
    options = {"stage": stage, "feedback": feedback}
    return Resolved(component, _NAME, registration, options, written=stage)


def stages_in(source: Source) -> list[str]:
    """Returns the ids of the stages whose feedback a source contains."""
    components = [part.component for part in source.resolved.all()]
    return list(dict.fromkeys(c.stage for c in components if isinstance(c, StageFeedback)))


def placed(source: Source, place: Callable[[str], tuple[Path, str]]) -> Source:
    """Returns a source that knows the folders with the feedback of earlier stages.

    Args:
        source: Any source.
        place: Returns the folder and the key of a stage by its id.
    """
    if not stages_in(source):
        return source

    def at(resolved: Resolved) -> Resolved | None:
        if not isinstance(resolved.component, StageFeedback):
            return None
        folder, key = place(resolved.component.stage)
        known = {"folder": str(folder), "key": key}
        component = resolved.component.model_copy(update=known)
        return replace(resolved, component=component, options={**resolved.options, **known})

    resolved = source.resolved.exchanged(at)
    moved = replace(source, resolved=resolved)
    return replace(moved, info=moved.component.inspect())
