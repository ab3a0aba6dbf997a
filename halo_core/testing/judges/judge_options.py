"""Advises on options of a judge that change no verdict."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from halo_core.judge import Comparison, Judge, JudgeContext
from halo_core.option_fields import marks
from halo_core.option_markers import Execution, Location
from halo_core.scoring_judge import Answer, Score, ScoringJudge
from halo_core.testing.advice import advise
from halo_core.testing.judges.judge_batches import both_orders, pairs
from halo_core.testing.judges.judge_texts import LONGEST_WORD, PROMPT, own_comparisons
from halo_core.testing.option_values import with_option
from halo_core.testing.options.option_effects import unused_options
from halo_core.testing.options.option_refusals import NotTriedError, check_other_values

OTHER_WORD = "halo"
"""The value of a text option that is tried in place of the given one."""

LISTS = (list, tuple, set, frozenset)

_ALL_TIES = (
    "all {count} verdicts about the kit's texts are ties, although the texts are short and long, "
    "empty, repeat the question, or contain the words of the options. If its scores depend on the "
    "completion, and no error becomes a tie, tie_below or a margin may be too large"
)

_NEW = (
    Comparison("Other 0", PROMPT, f"{OTHER_WORD}, {OTHER_WORD}!", "Moo, and nothing else."),
    Comparison("Other 1", PROMPT, "{}", f'{{"{OTHER_WORD}": 1}}'),
)


def check_judge_options(judge: Judge, folder: Path, *, comparisons: Sequence[Comparison]) -> None:
    """Asks a judge with other values of its options.

    It advises on options that change nothing.

    A judge that gives a quote asks a service, whose replies it cannot promise, and is left out.

    Args:
        judge: The judge.
        folder: An empty folder for the judge's files.
        comparisons: The comparisons.

    Raises:
        AssertionError: When a session with another value raises anything but an error of halo.
    """
    (folder / "own").mkdir(parents=True, exist_ok=True)
    context = JudgeContext(folder / "own", folder / "shared")
    if judge.quote(comparisons, context.shared) is not None:
        return
    asked = [*comparisons, *own_comparisons(judge), *_NEW]

    def told(each: Judge) -> object:
        # A stage whose judge has other options has another folder, and the same shared one.
        with tempfile.TemporaryDirectory(dir=folder) as own:
            return _told(each, JudgeContext(Path(own), context.shared), asked)

    with suppress(NotTriedError):
        check_other_values(judge, told, "a session")
    try:
        winners = [*_winners(judge, context, [*asked, *both_orders(pairs())]).values()]
        if 2 * winners.count(None) > len(winners):
            return  # It judges texts of another kind, about which the kit knows nothing.
        if {*winners} <= {"tie", None}:
            advise(judge, _ALL_TIES.format(count=len(winners)))
            return  # No option could change anything.
        usual = told(judge)
        unused = [*unused_options(judge, told), *_unused_texts(judge, told, usual)]
    except Exception:
        return  # `check_verdicts` says this.
    if unused:
        advise(
            judge,
            f"no other value of {', '.join(map(repr, unused))} changes a verdict about the kit's "
            "texts, some of which contain the words of the options. An option without an effect "
            "makes results look like those of an experiment that nobody made; use it, or remove "
            "it. If it must change no result, as a number of threads, mark it: Annotated[int, "
            "Execution()]",
        )


def _told(judge: Judge, context: JudgeContext, asked: Sequence[Comparison]) -> dict[str, Any]:
    if not isinstance(judge, ScoringJudge):
        with judge.open(context) as session:
            return {each.id: (each.winner, each.preference) for each in session.compare(asked)}
    values = {
        f"{id_}, {side}": score.value
        for id_, both in _scores(judge, context, asked).items()
        for side, score in zip("ab", both, strict=True)
    }
    with judge.open(context) as session:  # The smallest lead is in the verdicts only.
        winners = {each.id: each.winner for each in session.compare(asked)}
    return {**values, **winners}


def _unused_texts(judge: Judge, told: Any, usual: object) -> Iterator[str]:
    """Yields the options that are short texts, and change nothing as another text."""
    for name, field in type(judge).model_fields.items():
        value = getattr(judge, name)
        if marks(field, Location) or marks(field, Execution):
            continue
        if isinstance(value, str) and 0 < len(value) <= LONGEST_WORD:
            other: Any = OTHER_WORD
        elif isinstance(value, LISTS) and value and all(isinstance(v, str) for v in value):
            other = type(value)([OTHER_WORD])
        else:
            continue
        alias = field.alias or name
        try:
            same = told(with_option(judge, alias, other)) == usual
        except Exception:
            continue  # It has an effect, or only some texts are valid.
        if same:
            yield alias


def _winners(judge: Judge, context: JudgeContext, asked: Sequence[Comparison]) -> dict[str, Any]:
    with judge.open(context) as session:
        return {each.id: each.winner for each in session.compare(asked)}


def _scores(
    judge: ScoringJudge, context: JudgeContext, asked: Sequence[Comparison]
) -> dict[str, tuple[Score, Score]]:
    """Returns the scores of both texts, by the id of the comparison."""
    answers = [
        Answer(f"{each.id}, {side}", each.prompt, text)
        for each in asked
        for side, text in (("a", each.a), ("b", each.b))
    ]
    with judge.open_scoring(context) as session:
        found = {each.id: each for each in session.score(answers)}
    return {each.id: (found[f"{each.id}, a"], found[f"{each.id}, b"]) for each in asked}


__all__ = ["check_judge_options"]
