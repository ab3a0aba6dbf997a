"""Checks a judge with batches of the size that a stage makes, and with single comparisons."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from halo_core.judge import Comparison, Judge, JudgeContext, Verdict
from halo_core.scoring_judge import Answer, ScoringJudge
from halo_core.stage import ModelInput
from halo_core.testing.advice import advise
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.judges.judge_batches import Pair, both_orders, pairs, prompt, very_long
from halo_core.testing.judges.judge_replies import check_each, judge_context
from halo_core.testing.processes.busy_machine import own_time

SECONDS = 3.0
"""Seconds that the comparisons of this rule may take. A slow judge gets fewer of them."""

SLOW_S = 0.2
"""Seconds for one comparison of short texts from which the kit gives advice."""

QUICK_S = 0.01
"""Seconds for two texts of 8,000 characters up to which a judge gets texts of 64,000 characters.

If the time grows with the square of the length, they take 64 times as long.
"""

LONG, VERY_LONG = 8_000, 64_000

SQUARE = 9.0
"""Ratio of the times for `LONG` and for a quarter of it: 4 if it grows like the length, or 16."""

DECIDED = 5
"""Number of winners with a preference of one half that are not chance."""

SAME_SHARE = 0.05
"""Share of the spread of all scores by which a score may differ in another batch.

Models of half precision round otherwise if texts have other neighbours in a batch.
"""

ALONE = 8
"""Number of comparisons that are asked one by one."""


def check_batches(
    judge: Judge, folder: Path, *, models: Mapping[str, ModelInput] | None = None
) -> None:
    """Checks a judge with many comparisons in one session, and with some of them one by one.

    A judge that gives a quote asks a service, whose replies it cannot promise, and is left out.

    Args:
        judge: The judge.
        folder: An empty folder for the judge's files.
        models: Models by the judge's option that names them.

    Raises:
        AssertionError: When a call does not give one valid verdict for each comparison, when all
            winners have the preference of a tie, when the comparisons or their prompts change, when
            a winner or a score differs in another batch and another folder, or when a very long
            text makes the judge fail.
    """
    context = judge_context(folder / "many", models)
    with must_not_raise(judge, "quote()"):
        if judge.quote(both_orders(pairs()[:1]), context.shared) is not None:
            return
    chosen = affordable(judge, context)
    told = _all_at_once(judge, context, chosen)
    alone = judge_context(folder / "alone", models)
    few = _some_of(chosen)
    if isinstance(judge, ScoringJudge):
        _check_scores_alone(judge, alone, few)
    else:
        _check_alone(judge, alone, few, told)
    _check_very_long(judge, judge_context(folder / "long", models))


def affordable(judge: Judge, context: JudgeContext, seconds: float = SECONDS) -> Sequence[Pair]:
    """Returns as many pairs as a judge compares in some seconds, with some of each group.

    Args:
        judge: The judge.
        context: Its context.
        seconds: The seconds for three batches of these pairs in both orders.
    """
    first, *others = pairs()[:3]
    with must_not_raise(judge, "a session"), judge.open(context) as session:
        list(session.compare(both_orders([first])))  # It may load a model.
        begun = own_time()
        asked = both_orders(others)
        list(session.compare(asked))
        each = (own_time() - begun) / len(asked)
    if each > SLOW_S:
        advise(
            judge,
            f"it takes {each:.2g} s for a comparison of short texts, so a stage with 1,000 prompts "
            f"takes {each * 2000 / 60:.0f} minutes. If it waits for something, let it wait for "
            "several comparisons of a call at the same time",
        )
    most = max(3, int(seconds / max(each, 1e-9) / 6))
    every = pairs()
    mixed = [every[place::6] for place in range(6)]  # One of each group, then the next ones.
    return [pair for group in mixed for pair in group][:most]


def _all_at_once(
    judge: Judge, context: JudgeContext, chosen: Sequence[Pair]
) -> Mapping[str, Verdict]:
    """Returns the verdicts of a session with one large call and one that is half as large."""
    told: dict[str, Verdict] = {}
    with must_not_raise(judge, "a session with many comparisons"), judge.open(context) as session:
        for turns in ((0, 1), (2,)):
            asked = [each for turn in turns for each in both_orders(chosen, turn)]
            for call in _calls(asked, judge.prompts_at_once):
                before = copy.deepcopy(call)
                verdicts = list(session.compare(call))
                check_each(judge, verdicts, before)
                _check_unchanged(judge, before, call)
                told |= {verdict.id: verdict for verdict in verdicts}
    decided = [each.preference for each in told.values() if each.winner in ("A", "B")]
    expect(
        len(decided) < DECIDED or any(share != 0.5 for share in decided),
        judge,
        f"all {len(decided)} winners have the preference 0.5, which is that of a tie; expected the "
        "probability that A is better, or None",
    )
    return told


def _calls(asked: Sequence[Comparison], prompts: int) -> Iterator[list[Comparison]]:
    """Yields the comparisons of up to `prompts` prompts at a time, as stages do."""
    by_prompt: dict[str, list[Comparison]] = {}
    for each in asked:
        by_prompt.setdefault(repr(each.prompt), []).append(each)
    groups = list(by_prompt.values())
    for first in range(0, len(groups), prompts):
        yield [each for group in groups[first : first + prompts] for each in group]


def _check_unchanged(
    judge: Judge, before: Sequence[Comparison], after: Sequence[Comparison]
) -> None:
    expect(
        [each.id for each in before] == [each.id for each in after],
        judge,
        "compare() changes the list of comparisons or its order; expected it to make a list of its "
        "own, because the stage still uses this one",
    )
    for old, new in zip(before, after, strict=True):
        expect(
            old == new,
            judge,
            f"compare() changes the prompt of {old.id!r} from {old.prompt} to {new.prompt}; "
            "expected it to make a copy, because the stage writes this prompt and asks about it "
            "again",
        )


def _some_of(chosen: Sequence[Pair]) -> Sequence[Pair]:
    """Returns pairs to ask about one by one, without those of which models may round otherwise."""
    return [pair for pair in chosen if pair.group != "alike"][: ALONE // 2]


def _check_alone(
    judge: Judge, context: JudgeContext, few: Sequence[Pair], told: Mapping[str, Verdict]
) -> None:
    with must_not_raise(judge, "a session"), judge.open(context) as session:
        for each in reversed(both_orders(few)):
            (verdict,) = session.compare([each])
            expect(
                verdict.winner == told[each.id].winner,
                judge,
                f"the winner of {each.id!r} is {told[each.id].winner!r} among {len(told)} others, "
                f"and {verdict.winner!r} alone and in new folders; expected the same",
            )


def _check_scores_alone(judge: ScoringJudge, context: JudgeContext, few: Sequence[Pair]) -> None:
    asked = [
        Answer(f"{pair.id}, {side}", prompt(pair.prompt), text)
        for pair in few
        for side, text in zip("ab", pair.texts, strict=True)
    ]
    with must_not_raise(judge, "a session"), judge.open_scoring(context) as session:
        among = {each.id: each.value for each in session.score(copy.deepcopy(asked))}
    with must_not_raise(judge, "a session"), judge.open_scoring(context) as session:
        alone: dict[str, float | None] = {}
        for each in reversed(asked):
            alone |= {score.id: score.value for score in session.score([each])}
    values = [value for value in among.values() if value is not None]
    least = SAME_SHARE * (max(values) - min(values)) if values else 0.0
    for id_, value in among.items():
        other = alone.get(id_)
        same = value == other or (
            value is not None and other is not None and abs(value - other) <= least
        )
        expect(
            same,
            judge,
            f"{id_!r} scored {value} among {len(asked)} others, and {other} alone; expected about "
            "the same, because a score must not depend on the other texts of a batch",
        )


def _check_very_long(judge: Judge, context: JudgeContext) -> None:
    with must_not_raise(judge, "a session with long texts"), judge.open(context) as session:
        took = {}
        for characters in (LONG // 4, LONG):
            begun = time.process_time()
            list(session.compare([_long_one(characters)]))
            took[characters] = time.process_time() - begun
        if took[LONG] > QUICK_S:
            _advise_on_growth(judge, took)
            return
        asked = [_long_one(VERY_LONG)]
        check_each(judge, list(session.compare(asked)), asked)


def _advise_on_growth(judge: Judge, took: Mapping[int, float]) -> None:
    """Advises if the time grows like the square of the length, and becomes long."""
    long_s = took[LONG] * (VERY_LONG / LONG) ** 2
    if took[LONG] > SQUARE * took[LONG // 4] and long_s > 1:
        advise(
            judge,
            f"it takes {took[LONG] / took[LONG // 4]:.0f} times as long for texts of {LONG:,} "
            f"characters as for texts of {LONG // 4:,}, so about {long_s:.0f} s for texts of "
            f"{VERY_LONG:,}. If the time need not grow with the square of the length, keep words "
            "in a set or a dictionary",
        )


def _long_one(characters: int) -> Comparison:
    """Returns a comparison of a long text and one of half its length."""
    text = very_long(characters)
    return Comparison(f"long:{characters}", prompt(0), text, text[characters // 2 :])


__all__ = ["affordable", "check_batches"]
