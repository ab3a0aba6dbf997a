"""Checks that a stage does not take two conversations for one because their ends are the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from halo_core.stage import Stage, StageContext
from halo_core.testing.component import expect
from halo_core.testing.stages.stage_counted import ran
from halo_core.testing.stages.stage_numbered_rows import Numbered, has_single_input
from halo_core.testing.stages.stage_sides import OPT_OUT

Turns = Sequence[Mapping[str, str]]

COUNT = 5
"""Number of conversations."""

GOOD, BAD = "It is a cow, and it says moo all day long.", "I am sorry, I never saw that animal."
"""The answers in all of them."""


def check_alike_prompts(stage: Stage, context: StageContext) -> None:
    """Runs a stage with conversations that have the same last message, and the same answers.

    A stage may leave out rows. So this is wrong only if it keeps all conversations with the same
    answers whose last messages differ.

    Args:
        stage: A stage that writes rows with prompts.
        context: Its inputs, whose rows and samples are replaced. Its folder is not used.

    Raises:
        AssertionError: When it keeps fewer conversations if an earlier turn differs.
    """
    if not has_single_input(context):
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        if _kept(stage, context, folder, "last message") < COUNT:
            return
        for what in ("first message", "turn of the system"):
            kept = _kept(stage, context, folder, what)
            expect(
                kept == COUNT,
                stage,
                f"of {COUNT} conversations with the same answers, run() keeps all if their last "
                f"messages differ, and {kept} if the {what} differs. Two conversations are two "
                "prompts, also if they end alike: use row['prompt_id'] or all messages, and the "
                f"tools. {OPT_OUT}",
            )


def _kept(stage: Stage, context: StageContext, folder: Path, what: str) -> int:
    asked = [Numbered(number, GOOD, BAD, _turns(what, number)) for number in range(COUNT)]
    doing = f"run() with conversations whose {what} differs"
    rows = [json.loads(line) for line in ran(stage, context, folder, doing, asked).rows if line]
    return len({json.dumps(row.get("prompt"), sort_keys=True) for row in rows})


def _turns(what: str, number: int) -> Turns:
    def said(part: str) -> str:
        return f"farm {number}" if part == what else "a farm"

    return [
        {"role": "system", "content": f"You know {said('turn of the system')} well."},
        {"role": "user", "content": f"I have {said('first message')}."},
        {"role": "assistant", "content": "Good for you."},
        {"role": "user", "content": f"Which animal lives on {said('last message')}?"},
    ]


__all__ = ["check_alike_prompts"]
