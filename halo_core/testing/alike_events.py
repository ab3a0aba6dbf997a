"""Compares pages of reports and outputs of commands for runs that differ in one respect only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.events import read_events
from halo_core.testing.made_runs import STAGES
from halo_core.workspace.files import append_lines
from halo_core.workspace.records import EVENTS

Event = Mapping[str, Any]
Output = Callable[[Sequence[Event]], bytes | None]
"""Returns what is made of the events of a run; None if there is nothing to compare."""

NAME = "agreement/with_people_first"
"""A long name of a metric."""

SAME_END, SAME_BEGINNING = "agreement/from_people_first", "agreement/with_people_other"
"""Other names with the same end and with the same beginning. All are of one section."""

CUT = (b"...", "\u2026".encode(), b"&hellip;")
"""Marks of a text that was cut on purpose."""

STEP = 7.5
"""A number that is added to see whether a metric is used."""

FURTHER = 100
"""A number that is added to all steps, so that they have the same number of digits."""

WARNINGS = ("11 rows were left out", "7 prompts are very long")
"""Two warnings of the second stage."""


def alike_events(run: Path) -> Sequence[Event]:
    """Returns the events of a run with two stages, with more steps, warnings and a long name.

    Args:
        run: The folder, as from `with_second_stage`.
    """
    events: list[Event] = []
    for event in (dict(each) for each, _ in read_events(run / EVENTS.name)):
        event.pop("crc", None)
        ends = event["type"] == "stage-ended" and event["stage"]
        if event.get("stage") == STAGES[1] and "metrics" in event:
            event["metrics"] = {**event["metrics"], NAME: 0.625}
        if ends == STAGES[0]:
            curve = next(each for each in reversed(events) if each["type"] == "metrics")
            events += [{**curve, "step": step, "time": event["time"]} for step in (3, 4, 5)]
        if ends == STAGES[1]:
            said = {"v": event["v"], "time": event["time"], "type": "warning", "stage": STAGES[1]}
            events += [{**said, "message": message} for message in WARNINGS]
        events.append(event)
    return events


def write_events(run: Path, events: Sequence[Event]) -> None:
    """Replaces the events of a run. They keep their times.

    Args:
        run: The folder.
        events: The events.
    """
    (run / EVENTS.name).unlink(missing_ok=True)
    append_lines(run / EVENTS.name, events, escaped=True)


def faults(output: Output, events: Sequence[Event]) -> Iterator[str]:
    """Yields what is wrong about each of several relations between two outputs; "" if nothing is.

    An output need not show the numbers or the warnings. So each relation compares changes that
    all matter, or of which none matters.

    Args:
        output: Returns the output for events.
        events: Events as from `alike_events`.
    """
    usual = output(events)
    if usual is None:
        return

    def matters(change: Callable[[Event], Event | None]) -> bool:
        changed = [each for each in map(change, events) if each is not None]
        return output(changed) != usual

    yield _of_stages(output, events, usual, "metrics", "points of the curves")
    yield _of_stages(output, events, usual, "stage-ended", "final numbers")
    yield _of_warnings(matters)
    yield _of_last_step(output, events, matters)
    yield _of_names(usual, matters)


Matters = Callable[[Callable[[Event], Event | None]], bool]


def _of_stages(output: Output, events: Sequence[Event], usual: bytes, type_: str, what: str) -> str:
    """Checks that the numbers of one stage do not replace those of the other one.

    An output may be about the last stage only, or about the first one. Then the number of the steps
    of the other stage does not matter, and after an exchange of the stages, it uses the other one.
    """
    used = _used_stages(output, events, usual, type_)
    if used[0] == used[1]:
        return ""
    silent = used.index(False)
    moved = [event for event in events if event.get("stage") == STAGES[1]]
    begun = next(n for n, event in enumerate(events) if event.get("stage") == STAGES[0])
    others = [event for event in events[begun:] if event.get("stage") != STAGES[1]]
    exchanged = [*events[:begun], *moved, *others]
    longer = [
        {**e, "step": e["step"] + FURTHER} if "step" in e and e["stage"] == STAGES[silent] else e
        for e in events
    ]
    if not (
        all(_used_stages(output, exchanged, output(exchanged), type_))
        or _used_stages(output, longer, output(longer), type_)[silent]
    ):
        return ""
    return (
        f"other {what} of the stage {STAGES[silent]!r} change nothing, and those of the stage "
        f"{STAGES[1 - silent]!r} do. With another order of the stages, or with more steps of the "
        "first, both matter, so they are mixed. Both have metrics of the same names: keep them "
        "apart by `stage`"
    )


def _used_stages(
    output: Output, events: Sequence[Event], usual: bytes | None, type_: str
) -> Sequence[bool]:
    """Returns whether other numbers of each stage matter, in one direction at least."""

    def changed(stage: str, sign: int) -> Iterator[Event]:
        for event in events:
            if event["type"] != type_ or event["stage"] != stage:
                yield event
                continue
            # Neither the order of the numbers nor their ratios stay the same.
            new = {name: sign * (7.25 - 3 * value**2) for name, value in event["metrics"].items()}
            yield {**event, "metrics": new}

    return [any(output([*changed(stage, sign)]) != usual for sign in (1, -1)) for stage in STAGES]


def _of_warnings(matters: Matters) -> str:
    def without(message: str) -> Callable[[Event], Event | None]:
        return lambda event: None if event.get("message") == message else event

    used = [matters(without(message)) for message in WARNINGS]
    if used[0] == used[1]:
        return ""
    return (
        f"it is the same without the warning {WARNINGS[used.index(False)]!r} of the stage "
        f"{STAGES[1]!r}, and another one without {WARNINGS[used.index(True)]!r}. Expected all "
        "warnings of the stage, or their number, because nobody else tells the reader"
    )


def _of_last_step(output: Output, events: Sequence[Event], matters: Matters) -> str:
    steps = [e["step"] for e in events if e["type"] == "metrics" and e["stage"] == STAGES[1]]
    last = max(steps)

    def raised(event: Event) -> Event:
        if (event["type"], event.get("stage"), event.get("step")) != ("metrics", STAGES[1], last):
            return event
        return {**event, "metrics": {n: v + STEP for n, v in event["metrics"].items()}}

    def further(each: Sequence[Event]) -> Sequence[Event]:
        return [{**e, "step": e["step"] + FURTHER} if "step" in e else e for e in each]

    if matters(raised) or output(further([*map(raised, events)])) == output(further(events)):
        return ""
    return (
        f"the last of the steps 1 to {last} changes nothing, and the last of the steps "
        f"{FURTHER + 1} to {FURTHER + last} does. Steps are whole numbers: '9' is not after '10'"
    )


def _of_names(usual: bytes, matters: Matters) -> str:
    def named(name: str) -> Callable[[Event], Event]:
        def change(event: Event) -> Event:
            metrics = event.get("metrics", {})
            new = {name if each == NAME else each: value for each, value in metrics.items()}
            return {**event, "metrics": new} if NAME in metrics else event

        return change

    is_marked = any(mark in usual for mark in CUT)
    if is_marked or not matters(named(SAME_END)) or matters(named(SAME_BEGINNING)):
        return ""
    return (
        f"a metric called {NAME!r} and one called {SAME_BEGINNING!r} are the same, so their names "
        "are cut. Show names to their ends"
    )


__all__ = ["Event", "Output", "alike_events", "faults", "write_events"]
