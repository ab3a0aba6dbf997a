"""Checks that an output does not call a failed run done, or the newest checkpoint the best one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from halo_core.testing.alike_events import Event, Output

DONE = frozenset("complete completed done ok passed success successful succeeded".split())
"""Words about a run that ended well."""

BAD = frozenset("abort aborted broken error errors fail failed failure interrupted stopped".split())
"""Words about a run that did not."""

FAILED = {"status": "failed", "headline": "the disk is full", "error": "the disk is full"}
"""The end of a run that failed."""

COUNT = 3
"""Number of checkpoints."""


def of_words(output: Output, events: Sequence[Event]) -> Iterator[str]:
    """Yields what is wrong about the words of an output.

    Args:
        output: Returns the output for events.
        events: The events of a run that is over.
    """
    yield _of_end(output, events)
    yield _of_best(output, events)


def _of_end(output: Output, events: Sequence[Event]) -> str:
    failed = [{**e, **FAILED} if e is events[-1] else e for e in events]
    new = _new_words(output(failed), output(events[:-1]))
    said = sorted(new & DONE)
    if not said or new & BAD:
        return ""
    return (
        f"if the run ends with the status 'failed', it says {said[0]!r}, which it does not say "
        "without the event 'run-ended'; use the status of the event"
    )


def _of_best(output: Output, events: Sequence[Event]) -> str:
    """Checks that the checkpoint that is called the best one is the one whose event says so."""
    ended = max(n for n, event in enumerate(events) if event["type"] == "stage-ended")
    without = output(events)

    def with_best(best: int) -> bytes | None:
        last = events[ended]
        saved = [
            {
                "v": last["v"],
                "time": last["time"],
                "type": "checkpoint",
                "stage": last["stage"],
                "step": step,
                "path": f"checkpoints/step-{step}",
                "best": step == best,
            }
            for step in range(1, COUNT + 1)
        ]
        return output([*events[:ended], *saved, *events[ended:]])

    first, second = with_best(1), with_best(2)
    if first is None or first != second or _best_lines(first) <= _best_lines(without):
        return ""
    return (
        "it calls a checkpoint the best one, and the same one if the field `best` of the events "
        "'checkpoint' is true at another step; use this field"
    )


def _best_lines(output: bytes | None) -> set[str]:
    lines = (output or b"").decode("utf-8", "replace").splitlines()
    return {line for line in lines if "best" in line.lower()}


def _new_words(output: bytes | None, other: bytes | None) -> set[str]:
    if output is None or other is None:
        return set()
    return _words(output) - _words(other)


def _words(output: bytes) -> set[str]:
    return {*re.findall(r"[^\W\d_]+", output.decode("utf-8", "replace").lower())}


__all__ = ["of_words"]
