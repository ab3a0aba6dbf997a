"""Makes the events of a run that a tracker must keep apart: alike ids, other letters, no stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.events import Event, EventLog, read_events
from halo_core.testing.made_runs import STAGES, make_run, with_second_stage
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import EVENTS

ALIKE = ("answer-A1", "answer-a1")
"""Ids of the two stages: they begin alike, and differ only in the size of a letter."""

HEADLINE = "gelernt: 学習 ✓, naïve"
"""A headline with letters of several scripts, as the rows of a user may have."""


def make_alike_run(folder: Path) -> Path:
    """Returns the folder of a finished run with two stages of alike ids.

    A stage's headline has letters that are not in ASCII, and a warning belongs to no stage.

    Args:
        folder: The folder of the workspace.
    """
    workspace = Workspace(folder.resolve())
    run = make_run(workspace, "a")
    with_second_stage(run)
    insensitive = Path(str(run / EVENTS.name).upper()).exists()
    names = dict(zip(STAGES, STAGES if insensitive else ALIKE, strict=True))
    file = run / EVENTS.name
    events = [event for event, _ in read_events(file)]
    file.unlink()
    log = EventLog(file)
    for event in events:
        if event["type"] == "run-ended":
            log.append("warning", stage=None, message="the disk of Zoë, 牛, is nearly full")
        write(log, event, _renamed(event, names))
    return run


def _renamed(event: Event, names: Mapping[str, str]) -> Mapping[str, Any]:
    changed: dict[str, Any] = {}
    if event.get("stage") in names:
        changed["stage"] = names[event["stage"]]
    if "stages" in event:
        changed["stages"] = list(names.values())
    if event.get("headline"):
        changed["headline"] = HEADLINE
    return changed


def write(log: EventLog, event: Event, changed: Mapping[str, Any]) -> None:
    """Writes an event with its time, and with other values of some fields.

    Args:
        log: The log.
        event: The event.
        changed: The other values.
    """
    fields = {name: value for name, value in event.items() if name not in ("v", "type")}
    log.append(event["type"], **{**fields, **changed})


def with_numbers(run: Path, events: Sequence[Event], stage: str, *, step: int | None) -> None:
    """Replaces the events of a run by the same ones with other curves of one stage.

    Args:
        run: The folder of the run.
        events: The events.
        stage: The stage.
        step: The step whose numbers differ; None for those of all steps.
    """
    (run / EVENTS.name).unlink()
    log = EventLog(run / EVENTS.name)
    for event in events:
        of_stage = event["type"] == "metrics" and event["stage"] == stage
        if of_stage and step in (None, event["step"]):
            numbers = {name: 7.25 - 3 * value**2 for name, value in event["metrics"].items()}
            write(log, event, {"metrics": numbers})
        else:
            write(log, event, {})


__all__ = ["make_alike_run", "with_numbers", "write"]
