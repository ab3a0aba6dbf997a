"""The state of a run, from its last events and from the lock of its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

from halo_core.errors import DataError
from halo_core.events import Event, last_events, read_events
from halo_core.redact import redact
from halo_core.workspace.lock import is_owned
from halo_core.workspace.records import EVENTS

State = Literal["running", "done", "failed", "interrupted", "killed", "new"]
"""``killed``: it ended without saying so. ``new``: it has no events."""

STATES: Sequence[State] = get_args(State)


@dataclass(frozen=True)
class RunState:
    """The state of a run.

    Attributes:
        state: The state.
        headline: Its result: the last stage's sentence, the error, or its progress; "" if not
            known.
        started: Unix seconds of its first event; None without events.
        active: Unix seconds of its last event; None without events.
    """

    state: State
    headline: str
    started: float | None
    active: float | None


def run_state(folder: Path) -> RunState:
    """Returns the state of the run in a folder. Reads only the first and the last events."""
    path = folder / EVENTS.name
    running = is_owned(folder)
    try:
        newest = list(last_events(path))
        first = [event for event, _ in islice(read_events(path), 1)]
    except (OSError, DataError):
        newest, first = [], []
    started = first[0]["time"] if first else None
    last = newest[0] if newest else {}
    active = last.get("time", started)
    if running:
        return RunState("running", _progress(newest), started, active)
    if last.get("type") == "run-ended":
        state: State = last.get("status", "failed")
        if state not in STATES:
            state = "failed"
        error = redact(str(last.get("error") or "")).partition("\n")[0]
        headline = str(last.get("headline") or "")
        return RunState(state, error if state == "failed" and error else headline, started, active)
    return RunState("killed" if newest or first else "new", _progress(newest), started, active)


def _progress(newest: Sequence[Event]) -> str:
    """Returns the progress of a run from its events, newest first."""
    for event in newest:
        stage = event.get("stage")
        if event["type"] == "metrics" and not event.get("cached"):
            loss = event["metrics"].get("train/loss", event["metrics"].get("loss"))
            return f"{stage}: step {event['step']}" + (f", loss {loss:.4g}" if loss else "")
        if event["type"] == "stage-ended":
            return f"{stage}: {event.get('headline') or 'done'}"
        if event["type"] == "stage-started":
            return f"{stage}: begun"
    return ""
