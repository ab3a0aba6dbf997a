"""Asks a judge for scores of completions or verdicts on pairs, which become labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from math import isnan
from pathlib import Path

import numpy as np

from halo_core.guarded.judge_calls import opened
from halo_core.judge import Judge
from halo_core.scoring_judge import SCORE_FORM, Answer, ScoringJudge, ScoringSession
from halo_core.stage import StageContext
from halo_core.workspace.records import ScoreLine
from halo_judge.files.token_store import TokenStore
from halo_judge.judge_stage.ask import ask, batches, judge_context, name_of, opened_at_once
from halo_judge.judge_stage.duels import Duel, assign_orders
from halo_judge.judge_stage.judge_samples import Judged, judge_and_keep
from halo_judge.judge_stage.kept_lines import check_scored, score_line, score_lines
from halo_judge.judge_stage.on_disk import Numbers, OnDisk
from halo_judge.judge_stage.unread import BesideTexts, reads_beside, warn_of_the_unread
from halo_judge.label_stage.candidates import of_samples
from halo_judge.label_stage.grouped import Groups, Ids, by_prompt
from halo_judge.label_stage.said import Candidates

ALONE = "only one completion of the prompt"
THIRD = "third and later completion"


class Scores:
    """The scores of answers, 8 bytes of memory for each completion.

    Args:
        groups: All completions.
    """

    def __init__(self, groups: Groups) -> None:
        self._starts = groups.starts
        self._values = np.full(int(groups.starts[-1]), np.nan)

    def put(self, number: int, score: float) -> None:
        """Stores the score of a completion, by its number among all of them."""
        self._values[number] = score

    def of(self, number: int, group: Candidates) -> dict[str, float]:
        """Returns the scores of a prompt's completions by answer id, without unscored ones."""
        begin, end = map(int, self._starts[number:][:2])
        values = zip(group.said, self._values[begin:end].tolist(), strict=True)
        return {group.answer_id(said): value for said, value in values if not isnan(value)}

    def known(self) -> Numbers:
        """Returns the scores in the order of the completions, each text of a prompt once."""
        known: Numbers = self._values[~np.isnan(self._values)]
        return known


def ask_for_scores(
    judge: ScoringJudge, context: StageContext, candidates: Groups, *, that_ended: bool
) -> tuple[Scores, str]:
    """Returns the scores, and why the first unscored answer has none.

    Each score is saved in ``scores.jsonl`` at once.

    Args:
        judge: The judge.
        context: The context.
        candidates: The completions.
        that_ended: Whether completions that were cut are not asked about.

    Raises:
        UnscoredError: When the judge scored nothing.
        PluginError: When the judge breaks its interface.
        Interrupted: When asked to stop.
    """
    asked = (group.that_ended() if that_ended else group for group in candidates)
    beside = (
        BesideTexts(group.tools, [s.completion.fields for s in group.said]) for group in asked
    )
    warn_of_the_unread(judge, beside, context.warn)
    answers = candidates.answers(that_ended=that_ended)
    file = score_lines(context.folder, Ids(answers)).go_on(context)
    if file.lacking:
        opening = opened(judge, SCORE_FORM, lambda: judge.open_scoring(judge_context(context)))
        with opened_at_once(opening, context) as session:
            file.take(_score(judge, session, answers, file.lacking, file.pause))
    scores, scored, cut, first = Scores(candidates), 0, 0, ""
    for number, line in zip(answers.numbers, file.in_order(), strict=True):
        cut += line["cut"]
        if line["score"] is not None:
            scored += 1
            scores.put(number, line["score"])
        elif not first:
            first = line["reason"]
    if cut:
        context.warn(
            f"{cut} of {len(answers)} completions were too long for the judge with their prompt: "
            'it saw a part of them ("cut" in scores.jsonl)'
        )
    check_scored(name_of(judge), "completions", len(answers), scored, first)
    return scores, first


def _score(
    judge: ScoringJudge,
    session: ScoringSession,
    answers: Sequence[Answer],
    lacking: Sequence[int],
    pause: Callable[[], None],
) -> Generator[tuple[int, ScoreLine], None, None]:
    """Yields the number and the line of each answer as soon as it is scored."""
    asked: dict[str, tuple[int, Answer]] = {}

    def parts() -> Iterator[list[Answer]]:
        for numbers in batches(lacking, judge.prompts_at_once):
            part = [(number, answers[number]) for number in numbers]
            asked.clear()
            asked.update((answer.id, (number, answer)) for number, answer in part)
            yield [answer for _, answer in part]

    for score in ask(judge, session, SCORE_FORM, parts(), pause):
        number, answer = asked[score.id]
        yield number, score_line(answer, score)


class CandidateDuels(OnDisk[Duel]):
    """The duels for a judge that compares: the first two completions of each prompt.

    Args:
        groups: All completions.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._numbers = np.flatnonzero(groups.sizes() >= 2)

    def __len__(self) -> int:
        return len(self._numbers)

    def group(self, number: int) -> Candidates:
        """Reads all completions of the prompt of a duel."""
        return self._groups[int(self._numbers[number])]

    def at(self, number: int) -> Duel:
        """Reads a duel from its number."""
        prompt = self.group(number)
        first, second = (said.completion for said in prompt.said[:2])
        return Duel(
            prompt.prompt_id,
            prompt.prompt,
            first.text,
            second.text,
            0,
            None,
            prompt.tools,
            first.fields,
            second.fields,
        )


def ask_for_verdicts(judge: Judge, context: StageContext, duels: CandidateDuels) -> Judged:
    """Returns the verdicts on duels in both orders.

    Each verdict is saved in ``verdicts.jsonl`` at once.

    Raises:
        UnscoredError: When the judge scored nothing.
        PluginError: When the judge breaks its interface.
        Interrupted: When asked to stop.
    """
    orders = assign_orders(duels, both=True)
    return judge_and_keep(judge, context, duels, orders, lengths=False)


def duels_of_samples(
    judge: Judge, of: Path, other: Path | None, *, targets: bool, drop_cut: bool
) -> CandidateDuels:
    """Returns the duels of samples for a judge that compares; see `of_samples`, `by_prompt`."""
    with TokenStore() as tokens:  # Duels have no token ids, so they do not read it.
        found = of_samples(of, other, targets=targets, tokens=tokens)
        fields = "fields" in reads_beside(judge)
        groups = by_prompt(found, Counter(), tokens, drop_cut=drop_cut, reads_fields=fields)
    return CandidateDuels(groups)


def pair_candidates(candidates: Groups, dropped: Counter[str]) -> CandidateDuels:
    """Returns the duels of completions, and counts completions that are in none by reason."""
    sizes = candidates.sizes()
    dropped[ALONE] += int(np.count_nonzero(sizes < 2))
    dropped[THIRD] += int(np.maximum(sizes.astype(np.int64) - 2, 0).sum())
    return CandidateDuels(candidates)
