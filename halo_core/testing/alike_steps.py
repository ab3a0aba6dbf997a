"""Checks the steps on a page or in an output: one that comes twice counts once, 10 is after 9."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from halo_core.testing.alike_events import Event, Output
from halo_core.testing.made_runs import STAGES

_NUMBER = re.compile(rb"[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?%?|\s+")

NOTE = "type-of-a-later-version"
"""The type of an event that changes no number, unless all events are counted."""

POINTS = {9: 41.5, 10: 43.5, 11: 47.5}
"""Steps whose order as texts is another one, with a value of each."""


def of_steps(output: Output, events: Sequence[Event]) -> Iterator[str]:
    """Yields what is wrong about the steps of curves; "" if nothing is.

    Args:
        output: Returns the output for events.
        events: Events as from `halo_core.testing.alike_events.alike_events`.
    """
    yield _of_repeated(output, events)
    yield _of_order(output, events)


def _of_order(output: Output, events: Sequence[Event]) -> str:
    """Returns what is wrong about the order of steps; "" if not all of their values are shown."""
    places = [n for n, e in enumerate(events) if e["type"] == "metrics" and e["stage"] == STAGES[1]]
    usual = events[places[-1]]
    curves = [
        {**usual, "step": step, "metrics": dict.fromkeys(usual["metrics"], value)}
        for step, value in POINTS.items()
    ]
    others = [event for n, event in enumerate(events) if n not in places[:-1]]
    place = next(n for n, event in enumerate(others) if event is usual)
    shown = output([*others[:place], *curves, *others[place + 1 :]])
    found = [(shown or b"").find(str(value).encode()) for value in POINTS.values()]
    if -1 in found or found in (sorted(found), sorted(found, reverse=True)):
        return ""
    steps = [step for _, step in sorted(zip(found, POINTS, strict=True))]
    return (
        f"it has the steps of a curve in the order {', '.join(map(str, steps))}; expected that of "
        "the numbers. Are they sorted as texts?"
    )


def _of_repeated(output: Output, events: Sequence[Event]) -> str:
    """Returns what is wrong about a step that comes twice; "" if nothing is.

    An output may list all events, or draw each point. So it counts only if nothing but numbers
    change, such as a mean or a count, and if these do not change with an event of any type.

    Args:
        output: Returns the output for events.
        events: Events as from `halo_core.testing.alike_events.alike_events`.
    """
    usual = output(events)
    if usual is None or output(_with_note(events)) != usual:
        return ""
    for factor in (0.5, 0.25):
        changed = output(_repeated(events, factor))
        if changed is not None and changed != usual and _words(changed) == _words(usual):
            return (
                f"the last step of the stage {STAGES[1]!r} comes twice, as after a resume, and the "
                "first of its two values changes a number. The later value counts: keep the "
                "values of a curve by their steps"
            )
    return ""


def _repeated(events: Sequence[Event], factor: float) -> list[Event]:
    """Returns events with an earlier value of the last step of a curve."""
    last = max(
        n for n, e in enumerate(events) if e["type"] == "metrics" and e["stage"] == STAGES[1]
    )
    earlier = {name: factor * value + 0.125 for name, value in events[last]["metrics"].items()}
    return [*events[:last], {**events[last], "metrics": earlier}, *events[last:]]


def _with_note(events: Sequence[Event]) -> list[Event]:
    last = events[-1]
    return [*events[:-1], {"v": last["v"], "time": last["time"], "type": NOTE}, last]


def _words(output: bytes) -> bytes:
    """Returns an output without its numbers, blanks and line ends."""
    return _NUMBER.sub(b"#", output)


__all__ = ["of_steps"]
