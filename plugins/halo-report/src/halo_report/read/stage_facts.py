"""Facts about a stage from its record and its events: its inputs, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

from halo_core.events import Event
from halo_core.workspace.recorded_roles import option_with, started_from, taken_from
from halo_core.workspace.records import RunStage


class StageInputs(TypedDict):
    """Ids of the stages whose output a stage uses; "" for what is not known."""

    start: str
    judged: str
    rival: str


def stage_inputs(record: Mapping[str, Any], options: Mapping[str, Any]) -> StageInputs:
    """Returns the stages that a stage gets its model and samples from, and its rival.

    Args:
        record: The stage's entry in ``run.json``. The event of its start knows no inputs.
        options: Its options in the resolved spec.
    """
    stage = cast(RunStage, record)
    rival = option_with(stage, "rival")
    return StageInputs(
        start=started_from(stage),
        judged=taken_from(stage),
        rival=str(options.get(rival) or stage.get("inputs", {}).get(rival) or ""),
    )


def computed_seconds(events: Sequence[Event]) -> float | None:
    """Returns the seconds in which a stage was computed, or None if it never started.

    An interrupted stage starts again later; the time between is not counted. The end of a stage
    from the store is written when it is taken from there, so it does not count either.

    Args:
        events: The stage's events, in order.
    """
    total, started, last = 0.0, None, 0.0
    for event in events:
        if event["type"] == "stage-started":
            total += last - started if started is not None else 0.0
            started = last = event["time"]
        elif not (event["type"] == "stage-ended" and event.get("status") == "cached"):
            last = max(last, event["time"])
    return None if started is None else total + last - started
