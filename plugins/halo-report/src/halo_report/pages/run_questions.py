"""The first screen of a run's page: the verdict, and the answers to five questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from halo_core.overview.spec_difference import NOTHING, Difference, differences
from halo_report.pages.run_answers import Change
from halo_report.pages.verdict import difference_text, length_answer, verdict_sentence
from halo_report.read.judged_stages import TARGET, JudgedStage, before_and_after
from halo_report.read.run_data import RunData, StageData

WON = "Which model won?"
BY_HOW_MUCH = "By how much?"
LENGTH = "Is it length?"
CHANGED = "What changed in the answers?"
SPECS = "What differs in the specs?"
NOT_JUDGED = "No stage of this run has judged the answers."
MOST_DIFFERENCES = 4


def run_verdict(run: RunData, after: JudgedStage | None) -> str:
    """Returns the first sentence of the page.

    Args:
        run: The run.
        after: The last judged model, or None.
    """
    state = _state(run)
    if after is None:
        if state:
            return state
        return NOT_JUDGED if run.stages else "This run has no stages."
    sentence = verdict_sentence(after.name, after.rival, after.rate.main, after.controlled)
    return f"{state} So far, {sentence}" if state else sentence


def _state(run: RunData) -> str:
    """Returns a sentence about a run that is not done, else ""."""
    done = sum(stage.ended for stage in run.stages)
    of = f"{done} of {len(run.stages)} stages {'is' if done == 1 else 'are'} done"
    ids = ", ".join(s.id for s in run.stages if s.status in ("running", "failed", "interrupted"))
    if run.status == "running" and run.live:
        return f"The run is in progress: {of}{f', now {ids}' if ids else ''}."
    if run.status == "running":
        return f"The run was killed{f' in {ids}' if ids else ''}: {of}."
    if run.status in ("failed", "interrupted"):
        return f"The run {_PAST[run.status]}{f' in {ids}' if ids else ''}: {of}."
    return ""


_PAST = {"failed": "failed", "interrupted": "was stopped"}


def run_questions(
    run: RunData,
    judged: Sequence[JudgedStage],
    pair: tuple[StageData, StageData] | None,
    change: Change | None,
    lengths: Mapping[str, Sequence[int]],
) -> dict[str, str]:
    """Returns the answers by question.

    Args:
        run: The run.
        judged: Its judged models.
        pair: The sampling stages before and after the training, or None.
        change: How the answers changed between them, or None.
        lengths: Numbers of tokens by sampling stage or ``"target"``.
    """
    before, after = before_and_after(judged, run.stages)
    return {
        WON: _which_won(judged),
        BY_HOW_MUCH: _by_how_much(before, after),
        LENGTH: _is_it_length(after, lengths),
        CHANGED: _what_changed(change, pair, lengths),
        SPECS: _what_differs(run, before, after),
    }


def _which_won(judged: Sequence[JudgedStage]) -> str:
    shares = [(one, one.rate.main) for one in judged if one.rate.main]
    if not shares:
        return NOT_JUDGED
    if len(shares) == 1:
        return f"Only {shares[0][0].name} was judged, against {shares[0][0].rival}."
    if len({one.rival for one, _ in shares}) > 1:
        return "The models were judged against different rivals, so their win rates have no order."
    order = sorted(shares, key=lambda pair: -pair[1].rate)
    return "In the order of their win rates: " + ", ".join(
        f"{one.name} {share.rate:.3f}" for one, share in order
    )


def _by_how_much(before: JudgedStage | None, after: JudgedStage | None) -> str:
    if after is None:
        return NOT_JUDGED
    if before is None:
        counts = f"{after.rate.wins} wins, {after.rate.losses} losses, {after.rate.ties} ties"
        return f"{after.name} against {after.rival}: {counts}."
    if before.rival != after.rival:
        return f"{before.name} and {after.name} were judged against different rivals."
    difference = difference_text(after.results, before.results)
    if not difference:
        return f"{before.name} and {after.name} were not judged on the same prompts."
    return f"{after.name} - {before.name}: {difference}."


def _is_it_length(after: JudgedStage | None, lengths: Mapping[str, Sequence[int]]) -> str:
    if after is None:
        return NOT_JUDGED
    ids = {after.samples.id: after.name} if after.samples else {}
    known = {**ids, TARGET: "target"}
    medians = {name: median(lengths[id_]) for id_, name in known.items() if lengths.get(id_)}
    bias = after.stage.metrics.get("length_bias")
    return length_answer(after.rate.main, after.controlled, medians, bias)


def _what_changed(
    change: Change | None,
    pair: tuple[StageData, StageData] | None,
    lengths: Mapping[str, Sequence[int]],
) -> str:
    if change is None:
        return "There are no two sets of answers to compare."
    parts = [f"{change.changed} of {change.shared} differ"]
    sides = [lengths.get(stage.id) for stage in pair or ()]
    if len(sides) == 2 and sides[0] and sides[1]:
        parts.append(f"median tokens {median(sides[0]):g} → {median(sides[1]):g}")
    if change.won or change.lost:
        parts.append(f"{change.won} lost before and win now, {change.lost} the other way")
    return f"{change.before} → {change.after}: {'; '.join(parts)}."


def _what_differs(run: RunData, before: JudgedStage | None, after: JudgedStage | None) -> str:
    by_id = {stage.id: stage for stage in run.stages}
    trained = [by_id.get(one.name) for one in (before, after) if one]
    stages = [s for s in trained if s and s.product == "model" and s.options]
    if not stages:
        return "The run's record does not say what trained the judged models."
    if len(stages) == 1:
        return f"One training was judged: {_training(stages[0])}."
    first, second = stages
    found = differences({stage.id: stage.options for stage in stages})
    # The loss comes first, because it names the method.
    options = sorted(
        (one for one in found if one.path != "from"),
        key=lambda one: not one.path.startswith("loss"),
    )
    texts = [_one_difference(one) for one in options[:MOST_DIFFERENCES]]
    more = len(options) - len(texts)
    listed = "; ".join([*texts, *([f"{more} more"] if more > 0 else [])]) or "no option"
    return f"{first.id} → {second.id}: {listed}."


def _training(stage: StageData) -> str:
    return f"{stage.id} ({stage.loss})" if stage.loss else stage.id


def _one_difference(difference: Difference) -> str:
    before, after = (_short(value) for value in difference.values.values())
    return f"{difference.path} {before} → {after}"


def _short(value: str) -> str:
    return value if value != NOTHING else "not set"
