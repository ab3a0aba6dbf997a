"""The first screen of a page about several runs: the verdict, and the answers to five questions."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from halo_core.overview.spec_difference import Difference, difference_text
from halo_report.pages.contenders import Contender, Contest
from halo_report.pages.run_questions import BY_HOW_MUCH, CHANGED, LENGTH, SPECS
from halo_report.pages.verdict import difference_text as win_difference, p_equals
from halo_statistics.win_rate import rate_text

WON = "Which run won?"
LEVEL = 0.05
NAMED = 4
"""Largest number of runs or options that an answer names."""


def contest_verdict(contest: Contest) -> str:
    """Returns the first sentence of a page: the best run, and which others it beats."""
    best, *others = contest.ranked
    tests = [(other, contest.test_of(best, other)) for other in others]
    beaten = [other.name for other, test in tests if test and test.p_holm < LEVEL]
    even = [other.name for other, test in tests if test and test.p_holm >= LEVEL]
    sentence = f"{best.name} has the highest win rate, {rate_text(best.share)}"
    if beaten:
        sentence += f", and beats {_names(beaten)}"
    if even:
        joint = "; a difference from" if beaten else ", but a difference from"
        sentence += f"{joint} {_names(even)} is not shown"
    untested = len(others) - len(beaten) - len(even)
    if untested:
        were = "others were" if untested > 1 else "other was"
        sentence += f"; {untested} {were} not tested against it"
    first = at_equal_lengths(contest)
    if first is not None and first is not best:
        sentence += f". At equal lengths {first.name} has the highest"
    return f"{sentence}."


def _names(names: Sequence[str]) -> str:
    if len(names) > NAMED:
        return f"{len(names)} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def at_equal_lengths(contest: Contest) -> Contender | None:
    """Returns the run with the highest length-controlled win rate; None if one has none."""
    rates = [(one, one.controlled) for one in contest.all]
    if any(rate is None for _, rate in rates):
        return None
    return max(rates, key=lambda pair: pair[1].rate if pair[1] else 0.0)[0]


def contest_questions(
    contest: Contest, differences: Sequence[Difference], axes: str = ""
) -> dict[str, str]:
    """Returns the answers by question.

    Args:
        contest: The judged runs.
        differences: The differences of their specs.
        axes: The axes of a suite with their names, or "".
    """
    return {
        WON: _which_won(contest),
        BY_HOW_MUCH: _by_how_much(contest),
        LENGTH: _is_it_length(contest),
        CHANGED: _what_changed(contest),
        SPECS: axes or _what_differs(differences),
    }


def _which_won(contest: Contest) -> str:
    shown = contest.ranked[:NAMED]
    listed = ", ".join(f"{one.name} {one.share.rate:.3f}" for one in shown)
    more = len(contest.all) - len(shown)
    return f"By win rate: {listed}{f' and {more} more' if more else ''}."


def _by_how_much(contest: Contest) -> str:
    first, second, *_ = contest.ranked
    pairs = [(first, second)]
    if contest.base not in pairs[0]:
        pairs.append((first, contest.base))
    return " ".join(_difference(contest, *pair) for pair in pairs)


def _difference(contest: Contest, first: Contender, second: Contender) -> str:
    test = contest.test_of(first, second)
    paired = win_difference(first.cell.results, second.cell.results, with_p=test is None)
    difference = paired or f"{first.share.rate - second.share.rate:+.3f} on different prompts"
    corrected = f", {p_equals(test.p_holm)} after Holm" if test else ""
    return f"{first.name} - {second.name}: {difference}{corrected}."


def _is_it_length(contest: Contest) -> str:
    medians = [
        f"{one.name} {lengths.median if lengths.median is not None else lengths.mean:g}"
        for one in contest.ranked[:NAMED]
        if (lengths := one.cell.lengths)
    ]
    tokens = f" Median tokens: {', '.join(medians)}." if medians else ""
    first = at_equal_lengths(contest)
    if first is None or first.controlled is None:
        return f"Not known: not every run has a length-controlled win rate.{tokens}"
    best = contest.ranked[0]
    rate = f"{first.name} has {rate_text(first.controlled)}"
    if first is best:
        return f"It does not change the winner: at equal lengths {rate}, the highest.{tokens}"
    return f"It may be: at equal lengths {rate}, the highest.{tokens}"


def _what_changed(contest: Contest) -> str:
    before, after = contest.base, contest.best
    texts = [_texts(one) for one in (before, after)]
    shared = texts[0].keys() & texts[1].keys()
    if not shared:
        return f"{before.name} and {after.name} have no prompts in common."
    changed = sum(texts[0][id_][0] != texts[1][id_][0] for id_ in shared)
    moves = [(before.cell.results.get(id_), after.cell.results.get(id_)) for id_ in sorted(shared)]
    won, lost = moves.count(("loss", "win")), moves.count(("win", "loss"))
    tokens = [[t for _, t in of_one.values() if t is not None] for of_one in texts]
    length = ""
    if tokens[0] and tokens[1]:
        length = f"; median tokens {median(tokens[0]):g} → {median(tokens[1]):g}"
    return (
        f"{before.name} → {after.name}: {changed} of {len(shared)} differ{length}; "
        f"{won} lost before and win now, {lost} the other way."
    )


def _texts(one: Contender) -> dict[str, tuple[str, int | None]]:
    verdicts = one.cell.judge.verdicts if one.cell.judge else ()
    return {v["prompt_id"]: (v["completion"], v.get("tokens")) for v in verdicts}


def _what_differs(differences: Sequence[Difference]) -> str:
    shown = distinct_differences(differences)
    if not shown:
        return "No option: the resolved specs are the same, or are not known."
    texts = [difference_text(one) for one in shown[:NAMED]]
    more = len(differences) - len(texts)
    return f"{'; '.join([*texts, *([f'{more} more below'] if more else [])])}."


def distinct_differences(differences: Sequence[Difference]) -> list[Difference]:
    """Returns one of the options that differ between the same runs: that with the shortest path.

    With another loss, for example, the reference point and the conversion of the data differ too.
    """
    shortest: dict[tuple[int, ...], Difference] = {}
    for difference in differences:
        path = difference.path.removeprefix("stages.")
        values = list(difference.values.values())
        split = tuple(values.index(value) for value in values)
        known = shortest.get(split)
        if known is None or len(path) < len(known.path):
            shortest[split] = Difference(path, difference.values)
    return list(shortest.values())
