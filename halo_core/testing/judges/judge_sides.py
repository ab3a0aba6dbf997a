"""Checks that a judge decides by the texts, and not by their places or by undeclared parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from halo_core.judge import Beside, Comparison, Judge, JudgeContext
from halo_core.scoring_judge import SCORE_FORM, Answer, ScoringJudge
from halo_core.stage import ModelInput
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.judges.judge_batch_checks import affordable
from halo_core.testing.judges.judge_batches import GROUPS, Pair, both_orders, pairs
from halo_core.testing.judges.judge_reasons import check_reasons
from halo_core.testing.judges.judge_replies import check_form
from halo_core.testing.judges.judge_texts import own_comparisons

FEWEST = 5
"""Number of verdicts. If as many or more name one place, this is not by chance."""

FEW = 3
"""Number of comparisons for a slow judge."""

SURE = 8
"""Number of verdicts about one kind of texts from which all for one place are not chance."""

LEAN = 0.02
"""Distance of a preference from one half that favours a place."""

ORDERS = ("AB", "BA")

_TOOLS = ({"type": "function", "function": {"name": "listen", "parameters": {"type": "object"}}},)
_CALL = {"type": "function", "function": {"name": "listen", "arguments": {"to": "a cow"}}}
_BESIDE: Mapping[Beside, Mapping[str, Any]] = {
    "tools": {"tools": _TOOLS},
    "fields": {"a_fields": {"tool_calls": [_CALL]}},
}


def check_sides_of_verdicts(
    judge: Judge,
    folder: Path,
    *,
    comparisons: Sequence[Comparison],
    models: Mapping[str, ModelInput] | None = None,
) -> None:
    """Checks that a judge does not prefer one place, and reads only what it declares.

    A judge that gives a quote asks a service, whose replies it cannot promise, and is left out.

    Args:
        judge: The judge.
        folder: An empty folder for the judge's files.
        comparisons: The comparisons.
        models: Models by the judge's option that names them.

    Raises:
        AssertionError: When it prefers the same place in all comparisons, or in all of one kind of
            texts, also if the texts are exchanged, or if all ties have a preference for the same
            place, when the numbers of its reasons are exchanged, or when it decides otherwise if a
            comparison has tools or fields that `reads_beside` does not name.
    """
    (folder / "own").mkdir(parents=True, exist_ok=True)
    context = JudgeContext(folder / "own", folder / "shared", models or {})
    if judge.quote(comparisons, context.shared) is not None:
        return
    asked = [*comparisons, *own_comparisons(judge)]
    told = [each for each in asked if each.a != each.b and not each.tools]
    chosen = affordable(judge, context)
    if len(chosen) < len(pairs()):
        told = told[:FEW]
    if not isinstance(judge, ScoringJudge):  # Its scores know nothing of places.
        _check_places(judge, context, told)
        _check_groups(judge, context, chosen)
        check_reasons(judge, context)
    _check_beside(judge, context, told)


def _check_groups(judge: Judge, context: JudgeContext, chosen: Sequence[Pair]) -> None:
    """Checks that the place does not decide about one kind of texts, or about the preference."""
    told = _winners(judge, context, both_orders(chosen))
    for group, what in GROUPS.items():
        ids = [pair.id for pair in chosen if pair.group == group]
        given = [told.get(f"{id_}.0-{order}", (None, None)) for id_ in ids for order in ORDERS]
        places = [winner for winner, _ in given if winner in ("A", "B")]
        expect(
            len(places) < SURE or len({*places}) > 1,
            judge,
            f"it says {places[:1]} in all {len(places)} comparisons of {what} that it decides, in "
            "both orders, so the place decides; expected a tie if no text is better. If it does so "
            "on purpose, say why in unchecked_rules",
        )
    ties = [share for winner, share in told.values() if winner == "tie" and share is not None]
    leans = [share - 0.5 for share in ties]
    same = all(lean > LEAN for lean in leans) or all(lean < -LEAN for lean in leans)
    expect(
        len(leans) < SURE or not same,
        judge,
        f"all {len(ties)} ties have a preference for the same place, such as {ties[:1]}, in both "
        "orders; expected one half for a tie, or the probability that A is better, which is "
        "another one if the texts are exchanged",
    )


def _winners(
    judge: Judge, context: JudgeContext, asked: Sequence[Comparison]
) -> dict[str, tuple[Any, Any]]:
    with must_not_raise(judge, "a session"), judge.open(context) as session:
        return {each.id: (each.winner, each.preference) for each in session.compare(asked)}


def _check_places(judge: Judge, context: JudgeContext, asked: Sequence[Comparison]) -> None:
    turned = [replace(c, a=c.b, b=c.a, a_fields=c.b_fields, b_fields=c.a_fields) for c in asked]
    said = [*_winners(judge, context, asked).values(), *_winners(judge, context, turned).values()]
    places = [winner for winner, _ in said if winner is not None]
    expect(
        len(places) < FEWEST or len({*places}) > 1 or places[0] == "tie",
        judge,
        f"it says {places[:1]} in all {len(places)} comparisons, also after their texts are "
        "exchanged, so it decides by the place; expected a verdict about the texts, and a tie if "
        "none is better. If it does so on purpose, say why in unchecked_rules",
    )


def _check_beside(judge: Judge, context: JudgeContext, asked: Sequence[Comparison]) -> None:
    declared = {*judge.reads_beside()}
    for part, more in _BESIDE.items():
        if part in declared:
            continue
        without = [replace(each, a_fields=None, b_fields=None, tools=None) for each in asked]
        with_it = [replace(each, **more) for each in without]
        if isinstance(judge, ScoringJudge):
            first, second = (_scores(judge, context, each) for each in (without, with_it))
        else:
            first, second = (_winners(judge, context, each) for each in (without, with_it))
        other = [id_ for id_, value in first.items() if _differ(value, second.get(id_))]
        expect(
            not other,
            judge,
            f"it decides otherwise about {other[:1]} if there are {part}: {first.get(*other[:1])} "
            f"becomes {second.get(*other[:1])}; expected the same, or {part!r} in reads_beside(): "
            "rows with what a judge does not read are counted, and shown"
            if other
            else "",
        )


def _scores(
    judge: ScoringJudge, context: JudgeContext, asked: Sequence[Comparison]
) -> dict[str, tuple[Any, Any]]:
    answers = [Answer(each.id, each.prompt, each.a, each.a_fields, each.tools) for each in asked]
    with must_not_raise(judge, "a session"), judge.open_scoring(context) as session:
        scores = list(session.score(answers))
    check_form(judge, scores, SCORE_FORM)
    return {each.id: (None, each.value) for each in scores}


def _differ(one: tuple[Any, Any], other: tuple[Any, Any] | None) -> bool:
    """Returns whether verdicts differ by more than models round in another batch."""
    if other is None or one[0] != other[0] or (one[1] is None) != (other[1] is None):
        return True
    return one[1] is not None and abs(one[1] - other[1]) > 1e-4 * max(1.0, abs(one[1]))


__all__ = ["check_sides_of_verdicts"]
