"""Follows a run: yields its events as they are written, until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from halo_core.events import Event, read_events
from halo_core.workspace.lock import is_owned
from halo_core.workspace.records import EVENTS

POLL_S = 0.5
GRACE_S = 5.0
"""Seconds after which a run without a process is believed to be gone."""


def follow(
    folder: Path, *, offset: int = 0, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Event]:
    """Yields the events of a run from an offset on. Ends when no process works on the run.

    Args:
        folder: The run's folder.
        offset: Position in bytes in the events, from which it begins.
        sleep: Waits for some seconds.

    Raises:
        DataError: When an event cannot be read.
    """
    gone_s = 0.0
    while True:
        # Asked before reading, so that all that a run wrote before its end is read.
        running = is_owned(folder)
        for event, after in read_events(folder / EVENTS.name, offset=offset):
            offset = after
            gone_s = 0.0
            yield event
        if not running:
            if gone_s >= GRACE_S or not (folder / EVENTS.name).exists():
                return
            gone_s += POLL_S
        sleep(POLL_S)


def event_line(event: Event) -> str:
    """Returns an event as a line for people; "" for one that says nothing new.

    >>> event_line({"type": "stage-ended", "stage": "kto", "headline": "loss 0.4", "cached": True})
    ''
    """
    type_, stage = event["type"], event.get("stage")
    if event.get("cached"):
        return ""
    if type_ == "metrics":
        shown = [f"{name.rpartition('/')[2]} {value:.4g}" for name, value in _main(event)]
        return f"{stage}  step {event['step']}  {'  '.join(shown)}"
    if type_ == "stage-started":
        return f"{stage}: {event['use']}{' (continuing)' if event.get('resumed') else ''}"
    if type_ == "stage-ended":
        note = " (in the store)" if event.get("status") == "cached" else ""
        return f"{stage}: {event.get('headline') or 'done'}{note}"
    if type_ == "warning":
        return f"warning: {f'{stage}: ' if stage else ''}{event['message']}"
    if type_ == "checkpoint":
        return f"{stage}  step {event['step']}  checkpoint"
    if type_ == "run-ended":
        error = event.get("error")
        return f"{event['status']}{f': {error}' if error else ''}"
    if type_ == "run-started":
        return f"started: {' '.join(event.get('command', ()))}"
    return ""


def _main(event: Event) -> list[tuple[str, float]]:
    """Returns the numbers that tell most about a step: its losses, rewards and accuracy."""
    telling = ("loss", "rewards/margins", "rewards/accuracies", "kl", "tok_s")
    found = [(n, v) for n, v in event["metrics"].items() if n.endswith(telling)]
    return found[:4] or list(event["metrics"].items())[:4]
