"""Checks that a judge keeps nothing by an id, and reads the last turn of a prompt in any script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from halo_core.feedback import Prompt
from halo_core.judge import Comparison, Judge, JudgeContext
from halo_core.scoring_judge import Answer, ScoringJudge
from halo_core.stage import ModelInput
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.judges.judge_batches import Pair, pairs, prompt
from halo_core.testing.judges.judge_other_scripts import check_other_scripts
from halo_core.testing.judges.judge_replies import judge_context
from halo_core.testing.processes.busy_machine import own_time

MOST_S = 1.0
"""Seconds for six comparisons of short texts above which a judge is asked nothing more."""

ROUNDING = 1e-4
"""Relative and absolute difference of scores that rounding in another batch can make."""

QUESTIONS = (
    "Which animal says moo on the farm at dawn?",
    "Why do ducks never visit the pond in winter?",
)
"""Two questions without a common word of the texts below."""

ABOUT = (
    ("The animal that says moo on the farm at dawn.", "The ducks that never visit the pond."),
    ("On the farm, which animal says moo at dawn?", "Why? In winter ducks never visit the pond."),
    ("At dawn: moo, says the animal of the farm.", "In winter the pond has never a duck to visit."),
    ("A farm, an animal, a moo.", "A pond, a winter, and ducks."),
)
"""Texts with words of the first question, and texts with words of the second one."""

FEWEST = 2
"""Number of verdicts that must show that the last turn is not read."""


def check_other_texts(
    judge: Judge, folder: Path, *, models: Mapping[str, ModelInput] | None = None
) -> None:
    """Checks replies to other texts with known ids, and about prompts with two questions.

    Args:
        judge: A judge that asks no service.
        folder: An empty folder for the judge's files.
        models: Models by the judge's option that names them.

    Raises:
        AssertionError: When the judge gives the reply of an earlier session to other texts with the
            same id, decides by the first question of a prompt and never by the last one, or leaves
            out letters that are not in ASCII (see `check_other_scripts`). A slow judge is not
            asked.
    """
    begun = own_time()
    stages = [judge_context(folder / name, models) for name in ("first", "second", "new")]
    chosen = [pair for pair in pairs() if pair.group == "short"]
    _told(judge, stages[0], [Comparison(c.id, prompt(c.prompt), *c.texts) for c in chosen])
    if own_time() - begun > MOST_S:
        return
    _check_ids(judge, stages, chosen)
    _check_last_turn(judge, judge_context(folder / "turns", models))
    check_other_scripts(judge, judge_context(folder / "scripts", models))


def _check_ids(judge: Judge, stages: Sequence[JudgeContext], chosen: Sequence[Pair]) -> None:
    # Each text is in the place of the other one, so each winner is another one.
    other = [Comparison(each.id, prompt(each.prompt), *each.texts[::-1]) for each in chosen]
    new_ids = [replace(each, id=f"new {number}") for number, each in enumerate(other)]
    # All stages of a workspace have the same shared folder.
    second = replace(stages[1], shared=stages[0].shared)
    known, fresh = _told(judge, second, other), _told(judge, stages[2], new_ids)
    for here, there in zip(other, new_ids, strict=True):
        expect(
            _alike(known.get(here.id), fresh.get(there.id)),
            judge,
            f"in a second stage, whose {here.id!r} has other texts than that of the first one, it "
            f"decides {known.get(here.id)}, and {fresh.get(there.id)} if the id is a new one; "
            "expected the same. Ids are unique in one stage only, so keep replies by prompt and "
            "texts, or keep none",
        )


def _check_last_turn(judge: Judge, context: JudgeContext) -> None:
    said: dict[str, Sequence[Any]] = {}
    prompts = {"0": (0,), "1": (1,), "01": (0, 1), "10": (1, 0)}
    asked = [
        Comparison(f"{name}: {number}", _conversation(turns), *texts)
        for name, turns in prompts.items()
        for number, texts in enumerate(ABOUT)
    ]
    told = _told(judge, context, asked)
    for name in prompts:
        said[name] = [told.get(f"{name}: {number}") for number in range(len(ABOUT))]
    tellers = [
        number for number in range(len(ABOUT)) if not _alike(said["0"][number], said["1"][number])
    ]
    deaf = all(
        _alike(said["01"][n], said["0"][n]) and _alike(said["10"][n], said["1"][n]) for n in tellers
    )
    expect(
        len(tellers) < FEWEST or not deaf,
        judge,
        f"about a prompt with two questions, {QUESTIONS[0]!r} and {QUESTIONS[1]!r}, it decides as "
        "if the first one were alone; expected the last turn to matter, which the texts answer. If "
        "it reads the first turn on purpose, say why in unchecked_rules",
    )


def _conversation(turns: Sequence[int]) -> Prompt:
    messages: list[Any] = []
    for turn in turns:
        messages += [
            {"role": "user", "content": QUESTIONS[turn]},
            {"role": "assistant", "content": "Hm."},
        ]
    return messages[:-1]


def _told(judge: Judge, context: JudgeContext, asked: Sequence[Comparison]) -> dict[str, Any]:
    """Returns the winners, or the scores of the first texts."""
    if not isinstance(judge, ScoringJudge):
        with must_not_raise(judge, "a session"), judge.open(context) as session:
            return {each.id: each.winner for each in session.compare(asked)}
    answers = [Answer(each.id, each.prompt, each.a) for each in asked]
    with must_not_raise(judge, "a session"), judge.open_scoring(context) as session:
        return {each.id: each.value for each in session.score(answers)}


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= ROUNDING * max(1.0, abs(one))
    return bool(one == other)


__all__ = ["check_other_texts"]
