"""Checks that a judge reads texts to their end, wherever they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.judge import Comparison, Judge, JudgeContext
from halo_core.scoring_judge import Answer, ScoringJudge
from halo_core.stage import ModelInput
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.judges.judge_batches import pairs, prompt, very_long
from halo_core.testing.judges.judge_replies import judge_context
from halo_core.testing.judges.judge_texts import own_comparisons
from halo_core.testing.options.option_refusals import NotTriedError
from halo_core.testing.processes.busy_machine import own_time

NEAR, FAR = 100, 8_000
"""Characters before a difference that each judge reads, and that one with a limit leaves out."""

REPEATED = (
    ("moo moo moo moo moo moo", "the cow of the farm said it"),
    ("now or never, now or never, now or never", "at dawn, or a little later, or at noon"),
    ("a a a b b b a a b b", "each letter of this text once"),
)
"""Texts with words several times, and others."""

FEWEST = 3
"""Number of pairs that must show it."""

MOST_S = 1.0
"""Seconds for the short texts from which the long ones are left out."""

LONG_S = 8.0
"""Seconds that all long texts may take, by the time of a few. It is less than half of the limit."""


def check_long_texts(
    judge: Judge, folder: Path, *, models: Mapping[str, ModelInput] | None = None
) -> None:
    """Checks that texts which differ only after 8,000 characters are not all equal to a judge.

    A judge may be about the beginning of a text, or have a largest score. So only pairs count that
    it tells apart if they differ after 100 characters, and also if they differ before 8,000 others.

    Args:
        judge: A judge that asks no service.
        folder: An empty folder for the judge's files.
        models: Models by the judge's option that names them.

    Raises:
        AssertionError: When it tells none of these pairs apart, and does not say that they are cut.
        NotTriedError: When it is too slow.
    """
    context = judge_context(folder, models)
    chosen = [
        *((prompt(pair.prompt), *pair.texts) for pair in pairs() if pair.group == "short"),
        *((prompt(0), *texts) for texts in REPEATED),
        *((each.prompt, each.a, each.b) for each in own_comparisons(judge)),
    ]

    def asked(what: str) -> list[Comparison]:
        return [
            Comparison(f"{what} {number}", words, _placed(a, what), _placed(b, what))
            for number, (words, a, b) in enumerate(chosen)
        ]

    begun = own_time()
    near = _apart(judge, context, asked("near"))
    if (took := own_time() - begun) > MOST_S:
        raise NotTriedError(
            f"the judge takes {took:.2g} s for {len(near)} pairs of short texts, so it is asked "
            "about no long ones"
        )
    early_ones, late_ones = asked("early"), asked("late")
    begun = own_time()
    early = [*_apart(judge, context, early_ones[:FEWEST])]
    each = (own_time() - begun) / FEWEST
    if each * (2 * len(chosen) - FEWEST) > LONG_S:
        raise NotTriedError(
            f"the judge takes {each:.2g} s for two texts of {FAR:,} characters, so it is asked "
            "about few long ones"
        )
    early += _apart(judge, context, early_ones[FEWEST:])
    late = _apart(judge, context, late_ones)
    seen = [number for number in range(len(chosen)) if near[number] and early[number]]
    expect(
        len(seen) < FEWEST or any(late[number] is not False for number in seen),
        judge,
        f"all {len(seen)} pairs of texts are equal to it if they differ only after "
        f"{FAR:,} characters, and not if they differ after {NEAR} or before the {FAR:,}: it reads "
        "only the beginning of a long text. Expected a decision by whole texts, or "
        + (
            "Score(..., cut=True), because halo counts and shows such scores"
            if isinstance(judge, ScoringJudge)
            else "a winner None with the reason that a text is too long"
        )
        + ". If it reads only the beginning on purpose, say why in unchecked_rules",
    )


def _placed(text: str, what: str) -> str:
    """Returns a text in one line after a few words, or before or after many."""
    if what == "near":
        return f"{very_long(NEAR)} {text}"
    return f"{text} {very_long(FAR)}" if what == "early" else f"{very_long(FAR)} {text}"


def _apart(
    judge: Judge, context: JudgeContext, asked: Sequence[Comparison]
) -> Sequence[bool | None]:
    """Returns whether a judge tells the texts of each comparison apart; None if it says why not."""
    if isinstance(judge, ScoringJudge):
        return _scored_apart(judge, context, asked)
    with must_not_raise(judge, "a session with long texts"), judge.open(context) as session:
        told = {each.id: each for each in session.compare(asked)}
    found = [told.get(each.id) for each in asked]
    return [
        None
        if each is None or each.winner is None
        else each.winner != "tie" or each.preference not in (None, 0.5)
        for each in found
    ]


def _scored_apart(
    judge: ScoringJudge, context: JudgeContext, asked: Sequence[Comparison]
) -> Sequence[bool | None]:
    answers = [
        Answer(f"{each.id}, {side}", each.prompt, text)
        for each in asked
        for side, text in (("a", each.a), ("b", each.b))
    ]
    with must_not_raise(judge, "a session with long texts"):
        with judge.open_scoring(context) as session:
            told = {each.id: each for each in session.score(answers)}
    found: list[bool | None] = []
    for each in asked:
        both: list[Any] = [told.get(f"{each.id}, {side}") for side in "ab"]
        silent = all(score is not None and score.value is not None for score in both)
        silent = silent and not (both[0].cut and both[1].cut)
        found.append(both[0].value != both[1].value if silent else None)
    return found


__all__ = ["check_long_texts"]
