"""Asks a judge for scores of completions or verdicts on pairs, which become labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from halo_core.guarded.judge_calls import opened
from halo_core.judge import Judge
from halo_core.scoring_judge import SCORE_FORM, Answer, ScoringJudge, ScoringSession
from halo_core.stage import StageContext
from halo_core.workspace.records import ScoreLine, VerdictLine
from halo_judge.files.token_store import TokenStore
from halo_judge.judge_stage.ask import ask, batches, judge_context, name_of, opened_at_once
from halo_judge.judge_stage.duels import Duel, assign_orders
from halo_judge.judge_stage.judge_samples import judge_and_keep
from halo_judge.judge_stage.kept_lines import check_scored, first_failure, score_line, score_lines
from halo_judge.judge_stage.unread import BesideTexts, reads_beside, warn_of_the_unread
from halo_judge.label_stage.candidates import Candidates, all_answers, by_prompt, of_samples

ALONE = "only one completion of the prompt"
THIRD = "third and later completion"


def ask_for_scores(
    judge: ScoringJudge, context: StageContext, candidates: Sequence[Candidates]
) -> tuple[dict[str, float], str]:
    """Returns the scores by answer id, and why the first unscored answer has none.

    Each score is saved in ``scores.jsonl`` at once.

    Raises:
        UnscoredError: When the judge scored nothing.
        PluginError: When the judge breaks its interface.
        Interrupted: When asked to stop.
    """
    answers = {answer.id: answer for answer in all_answers(candidates)}
    beside = [
        BesideTexts(group.tools, [said.completion.fields for said in group.said])
        for group in candidates
    ]
    warn_of_the_unread(judge, beside, context.warn)
    file = score_lines(context.folder, answers.values()).go_on(list(answers), context)
    if file.lacking:
        rest = [answers[id_] for id_ in file.lacking]
        opening = opened(judge, SCORE_FORM, lambda: judge.open_scoring(judge_context(context)))
        with opened_at_once(opening, context) as session:
            file.take(_score(judge, session, rest, file.pause))
    lines = file.in_order()
    if cut := sum(line["cut"] for line in lines):
        context.warn(
            f"{cut} of {len(answers)} completions were too long for the judge with their prompt: "
            'it saw a part of them ("cut" in scores.jsonl)'
        )
    scores = {line["id"]: line["score"] for line in lines if line["score"] is not None}
    first = next((line["reason"] for line in lines if line["score"] is None), "")
    check_scored(name_of(judge), "completions", len(lines), len(scores), first)
    return scores, first


def _score(
    judge: ScoringJudge,
    session: ScoringSession,
    answers: Sequence[Answer],
    pause: Callable[[], None],
) -> Generator[ScoreLine, None, None]:
    """Yields the line of each answer as soon as it is scored."""
    by_id = {answer.id: answer for answer in answers}
    for score in ask(judge, session, SCORE_FORM, batches(answers, judge.prompts_at_once), pause):
        yield score_line(by_id[score.id], score)


def ask_for_verdicts(
    judge: Judge, context: StageContext, candidates: Sequence[Candidates], dropped: Counter[str]
) -> tuple[list[VerdictLine], str]:
    """Returns the verdicts on the first two completions of each prompt, in both orders.

    Each verdict is saved in ``verdicts.jsonl`` at once. Also returns why the first unscored pair
    has no verdict.

    Raises:
        UnscoredError: When the judge scored nothing.
        PluginError: When the judge breaks its interface.
        Interrupted: When asked to stop.
    """
    duels = pair_candidates(candidates, dropped)
    orders = assign_orders(duels, both=True)
    lines = judge_and_keep(judge, context, duels, orders, lengths=False)
    return lines, first_failure(lines)


def duels_of_samples(
    judge: Judge, of: Path, other: Path | None, *, targets: bool, drop_cut: bool
) -> list[Duel]:
    """Returns the duels of samples for a judge that compares; see `of_samples`, `by_prompt`."""
    with TokenStore() as tokens:
        found = of_samples(of, other, targets=targets, tokens=tokens)
        fields = "fields" in reads_beside(judge)
        candidates = by_prompt(found, Counter(), drop_cut=drop_cut, reads_fields=fields)
    return pair_candidates(candidates, Counter())


def pair_candidates(candidates: Sequence[Candidates], dropped: Counter[str]) -> list[Duel]:
    """Returns the duels for a judge that compares: the first two completions of each prompt."""
    duels = []
    for prompt in candidates:
        if len(prompt.said) < 2:
            dropped[ALONE] += 1
            continue
        dropped[THIRD] += len(prompt.said) - 2
        first, second = (said.completion for said in prompt.said[:2])
        duels.append(
            Duel(
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
        )
    return duels
