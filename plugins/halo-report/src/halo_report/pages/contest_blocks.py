"""The blocks of a page about several runs: forest plot, samples, lengths and curves."""

from __future__ import annotations

from collections.abc import Sequence

from halo_core.feedback import Prompt
from halo_report.figures.length_scatter import LengthPoint, length_scatter
from halo_report.figures.overlaid_curves import MOST, overlaid_curves
from halo_report.figures.plot import Plot
from halo_report.pages.answer_cards import Answer, Author, answer_cards
from halo_report.pages.contenders import Contender, Contest
from halo_report.pages.page_parts import Badge, PageBlock, Range, Ranges
from halo_report.pages.run_blocks import WIN_MARKS, second_reading
from halo_report.read.judged_stages import TARGET
from halo_statistics.win_rate import rate_text

SHOWN = 20
"""Largest number of prompts for each filter of the answers."""
SIDE_BY_SIDE = 4
"""Largest number of runs whose answers are side by side. Those of further runs are folded."""
MOST_FOLDED = 8
"""Largest number of further runs whose answers are on the page."""


def forest_block(contest: Contest) -> PageBlock:
    """Returns the forest plot: the win rate of each run with its intervals, on one scale."""
    rows = [_row(one) for one in contest.all]
    confidence = contest.all[0].cell.rate.confidence if contest.all[0].cell.rate else 0.9
    legend = f"Dot: win rate; ties count half. Line: exact {confidence * 100:g} % interval."
    if any(one.controlled for one in contest.all):
        legend += " Hollow diamond: the win rate at equal lengths."
    return PageBlock("Win rates", ranges=Ranges(rows, 1.0, 0.5, WIN_MARKS, legend))


def _row(one: Contender) -> Range:
    rate = one.cell.rate
    notes = [f"n {rate.scored}"] if rate else []
    if rate and rate.unscored:
        notes.append(f"{rate.unscored} without a verdict")
    if one.controlled:
        notes.append(f"at equal lengths {rate_text(one.controlled)}")
    return Range(
        one.name,
        one.share.rate,
        one.share.low,
        one.share.high,
        rate_text(one.share),
        second=second_reading(one.controlled),
        note=" · ".join(notes),
        colour=one.colour,
    )


def answers_block(contest: Contest, count: int = SHOWN) -> PageBlock | None:
    """Returns the answers of the runs to the same prompts; None without texts.

    The words of the best run are compared with those of the run that it is compared with.

    Args:
        contest: The judged runs.
        count: Largest number of prompts for each filter.
    """
    first = [contest.base, contest.best]
    others = [one for one in contest.ranked if one not in first]
    authors = {one.name: _author(one) for one in (*first, *others)}
    base, best = authors[contest.base.name], authors[contest.best.name]
    shown = [base, best, *(authors[one.name] for one in others[: SIDE_BY_SIDE - 2])]
    folded = others[SIDE_BY_SIDE - 2 :][:MOST_FOLDED]
    further = [authors[one.name] for one in folded]
    rival = _rival(contest.all)
    samples = answer_cards(
        _prompts(contest.base), shown, [*further, *([rival] if rival else [])], (base, best), count
    )
    if samples is None:
        return None
    left_out = len(others) - len(shown) + 2 - len(folded)
    note = f"{left_out} more runs are left out of the answers." if left_out else ""
    return PageBlock("Answers side by side", samples=samples, note=note)


def _author(one: Contender) -> Author:
    verdicts = one.cell.judge.verdicts if one.cell.judge else ()
    answers = {
        verdict["prompt_id"]: Answer(
            verdict["completion"],
            verdict.get("tokens"),
            "",
            [Badge("", verdict["result"], verdict["flip"])],
        )
        for verdict in verdicts
    }
    return Author(one.name, answers, one.cell.results)


def _rival(contenders: Sequence[Contender]) -> Author | None:
    """Returns the texts that all runs were compared with; None if they are not the same."""
    texts: dict[str, Answer] = {}
    for one in contenders:
        for verdict in one.cell.judge.verdicts if one.cell.judge else ():
            answer = Answer(verdict["baseline"], verdict.get("baseline_tokens"))
            if texts.setdefault(verdict["prompt_id"], answer).text != answer.text:
                return None
    return Author(TARGET, texts) if texts else None


def _prompts(one: Contender) -> dict[str, Prompt]:
    verdicts = one.cell.judge.verdicts if one.cell.judge else ()
    return {verdict["prompt_id"]: verdict["prompt"] for verdict in verdicts}


def curves_block(contest: Contest) -> PageBlock | None:
    """Returns the length against the win rate and the curves on one scale; None without both.

    Many runs have no common panels of curves.
    """
    scatter = _scatter(contest)
    trained = {one.name: one.cell.trained for one in contest.all if one.cell.trained}
    colours = {one.name: one.colour for one in contest.all}
    curves = overlaid_curves(trained, colours) if len(trained) <= MOST else []
    plots = [*([scatter] if scatter else []), *curves]
    if not plots:
        return None
    titles = [*(["Length against win rate"] if scatter else []), *(["curves"] if curves else [])]
    return PageBlock(", and ".join(titles).capitalize(), plots)


def _scatter(contest: Contest) -> Plot | None:
    points = [
        LengthPoint(one.name, lengths.mean if lengths.median is None else lengths.median, one.share)
        for one in contest.all
        if (lengths := one.cell.lengths)
    ]
    targets = {
        one.cell.judge.metrics["baseline_len"]
        for one in contest.all
        if one.cell.judge and "baseline_len" in one.cell.judge.metrics
    }
    target = targets.pop() if len(targets) == 1 else None
    return length_scatter(points, target, {one.name: one.colour for one in contest.all})
