"""Checks that a command which is asked about one stage does not show another one with it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from halo_core.testing.alike_events import Event, Output
from halo_core.testing.commands.command_examples import Example
from halo_core.testing.component import expect
from halo_core.testing.made_runs import STAGES

UNLIKE = "third-one"
"""The id of a stage that is like no other."""

PARTS = re.compile(r"contain|part|begin|start|prefix|match|pattern|regular|glob|\*", re.IGNORECASE)
"""Words of a help text that says that a part of an id is enough."""


def selection_in(example: Example) -> tuple[Example, str] | None:
    """Returns a call that asks about one stage, and the id of the stage.

    Args:
        example: A call. If the command has an option `--stage`, its value is added.
    """
    options = [each for each in example.leaf.params if isinstance(each, click.Option)]
    texts = (example.leaf.help, *(each.help for each in options if "stage" in (each.name or "")))
    if any(PARTS.search(text or "") for text in texts):
        return None
    for stage in STAGES:
        if stage in example.words:
            return example, stage
    single = [
        each
        for each in options
        if "--stage" in each.opts and not each.multiple and not each.is_flag and each.nargs == 1
    ]
    if not single or "--stage" in example.words:
        return None
    return example._replace(words=[*example.words, "--stage", STAGES[0]]), STAGES[0]


def check_selection(said: str, output: Output, events: Sequence[Event], stage: str) -> None:
    """Compares the outputs for runs whose other stage has an id that is like the wanted one.

    Args:
        said: The call, for the message.
        output: Returns the output for events.
        events: The events of a run with two stages.
        stage: The wanted stage.

    Raises:
        AssertionError: When the numbers of the other stage matter only then.
    """
    (other,) = {*STAGES} - {stage}

    def matters(name: str) -> bool:
        renamed = [_renamed(event, other, name) for event in events]
        usual = output(renamed)
        return usual is not None and output([_changed(each, name) for each in renamed]) != usual

    if matters(UNLIKE):
        return
    for alike in (f"{stage}-2", f"my-{stage}"):
        expect(
            not matters(alike),
            said,
            f"it also uses the numbers of a stage {alike!r}, if there is one, and not those of a "
            f"stage {UNLIKE!r}; compare whole ids (==), or say in the help that a part is enough",
        )


def _renamed(event: Event, old: str, new: str) -> Event:
    changed = dict(event)
    if event.get("stage") == old:
        changed["stage"] = new
    if "stages" in event:
        changed["stages"] = [new if each == old else each for each in event["stages"]]
    return changed


def _changed(event: Event, stage: str) -> Event:
    if event.get("stage") != stage or "metrics" not in event:
        return event
    return {**event, "metrics": {n: 7.25 - 3 * v**2 for n, v in event["metrics"].items()}}


__all__ = ["check_selection", "selection_in"]
