"""Checks the promises of every judge, whether it compares or scores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from halo_core.errors import HaloError
from halo_core.guarded.stage_calls import check_inputs_of
from halo_core.judge import Beside, Comparison, Judge, Quote, Verdict
from halo_core.scoring_judge import Answer
from halo_core.stage import Inputs, ModelInput
from halo_core.testing.component import check_component, check_rules, expect, must_not_raise
from halo_core.testing.judges.judge_batch_checks import check_batches
from halo_core.testing.judges.judge_long_texts import check_long_texts
from halo_core.testing.judges.judge_options import check_judge_options
from halo_core.testing.judges.judge_other_texts import check_other_texts
from halo_core.testing.judges.judge_own_files import check_cut_line, written_in_place
from halo_core.testing.judges.judge_replies import check_each, judge_context
from halo_core.testing.judges.judge_scores import check_scores
from halo_core.testing.judges.judge_sides import check_sides_of_verdicts
from halo_core.testing.judges.judge_texts import HARD_ANSWERS, HARD_COMPARISONS, own_comparisons
from halo_core.testing.left_running import leaves_nothing_running
from halo_core.testing.options.option_refusals import NotTriedError
from halo_core.testing.processes.effects import caches
from halo_core.testing.processes.global_chance import seeds_chance
from halo_core.testing.processes.unreached import unreached
from halo_core.testing.stateless import does_only


def check_judge(
    judge: Judge,
    folder: Path,
    *,
    comparisons: Sequence[Comparison] = HARD_COMPARISONS,
    models: Mapping[str, ModelInput] | None = None,
) -> None:
    """Runs `check_component`, `check_declaration`, `check_quote` and `check_verdicts`.

    A judge that asks no service must also decide the same again (`check_same_again`), by the texts
    alone (`check_sides_of_verdicts`, `check_other_texts`), and by the whole texts
    (`check_long_texts`).

    Args:
        judge: A judge with its options. The service that it calls must be available.
        folder: An empty folder for the judge's files.
        comparisons: The comparisons to judge.
        models: Models by the judge's option that names them.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    check_component(judge)
    verdicts = partial(check_verdicts, folder=folder, comparisons=comparisons, models=models)
    quote = partial(check_quote, folder=folder, comparisons=comparisons)
    again = partial(check_same_again, folder=folder, comparisons=comparisons, models=models)
    rules: dict[str, Callable[[Judge], None]] = {
        "declaration": check_declaration,
        "quote": quote,
        "verdicts": verdicts,
        "same-again": again,
        "by-the-texts": partial(
            check_sides_of_verdicts, folder=folder / "sides", comparisons=comparisons, models=models
        ),
    }
    if comparisons is HARD_COMPARISONS:
        rules["batches"] = partial(check_batches, folder=folder / "batches", models=models)
        rules["other-texts"] = partial(check_other_texts, folder=folder / "ids", models=models)
        rules["long-texts"] = partial(_long_texts, folder=folder / "long", models=models)
    if models is None:  # A model would be loaded again for each value of each option.
        rules["other-options"] = partial(
            check_judge_options, folder=folder / "options", comparisons=comparisons
        )
    check_rules(judge, rules)


def _long_texts(judge: Judge, folder: Path, models: Mapping[str, ModelInput] | None) -> None:
    with suppress(NotTriedError):
        check_long_texts(judge, folder, models=models)


def check_declaration(judge: Judge) -> None:
    """Checks what a judge says about itself before it is opened.

    Raises:
        AssertionError: When `reads_beside` names something that does not exist, `check_ready`
            raises anything but an error of halo, or `check_inputs` finds a mistake in no inputs at
            all.
    """
    with must_not_raise(judge, "reads_beside()"):
        beside: Any = judge.reads_beside()
    known = {*get_args(Beside)}
    expect(
        isinstance(beside, Collection) and not isinstance(beside, str) and {*beside} <= known,
        judge,
        f"reads_beside() gave {beside!r}; expected a set with some of {sorted(known)}",
    )
    with must_not_raise(judge, "check_ready()"):
        try:
            judge.check_ready()
        except HaloError:
            pass  # A key or a service is missing here.
    with TemporaryDirectory() as folder, must_not_raise(judge, "check_inputs()"):
        problems = check_inputs_of(judge, Inputs(sketch=Path(folder)))
    expect(not problems, judge, f"check_inputs() of no inputs finds {problems}; expected nothing")


def check_quote(
    judge: Judge, folder: Path, *, comparisons: Sequence[Comparison] = HARD_COMPARISONS
) -> None:
    """Checks that a quote is valid or None, and that the judge writes nothing for it.

    Raises:
        AssertionError: When the judge raises or writes, when a number is negative, or when only one
            of the quotes for no comparisons and for some comparisons is None.
    """
    context = judge_context(folder)
    with must_not_raise(judge, "quote()"):
        of_none, of_all = judge.quote((), context.shared), judge.quote(comparisons, context.shared)
    expect(not context.shared.exists(), judge, f"quote() wrote {context.shared}; expected nothing")
    for quote in (of_none, of_all):
        fault = repr(quote) if not isinstance(quote, Quote | None) else quote and quote.fault()
        expect(
            fault is None,
            judge,
            f"quote() returned {fault}; expected None or a Quote, whose numbers are at least 0",
        )
    expect(
        (of_none is None) == (of_all is None),
        judge,
        f"quote() returned {of_none!r} for no comparisons and {of_all!r} for some; expected None "
        "for both, or for neither",
    )


def check_verdicts(
    judge: Judge,
    folder: Path,
    *,
    comparisons: Sequence[Comparison] = HARD_COMPARISONS,
    models: Mapping[str, ModelInput] | None = None,
) -> None:
    """Checks the verdicts of two sessions in one folder, and a call without comparisons.

    Raises:
        AssertionError: When the judge raises, when there is not exactly one verdict per comparison,
            when a verdict has an invalid value, is unscored without a reason, or has a winner that
            its preference contradicts, or when all are ties because a server is away.
    """
    context = judge_context(folder, models)
    if comparisons is HARD_COMPARISONS:
        comparisons = [*comparisons, *own_comparisons(judge)]
    for opening in ("first", "second"):
        with (
            unreached() as away,
            must_not_raise(judge, f"the {opening} session"),
            judge.open(context) as session,
        ):
            none = list(session.compare([]))
            expect(none == [], judge, "no comparisons, but verdicts came back")
            verdicts = list(session.compare(comparisons))
        check_each(judge, verdicts, comparisons)
        expect(
            not away
            or any(verdict.winner not in ("tie", None) for verdict in verdicts)
            or all(verdict.winner is None for verdict in verdicts),
            judge,
            f"it does not reach {', '.join(dict.fromkeys(away))}, and says that comparisons are "
            "ties; expected None with the reason, or a halo_core.UserError, because a tie counts "
            "as half a win",
        )


def check_same_again(
    judge: Judge,
    folder: Path,
    *,
    comparisons: Sequence[Comparison] = HARD_COMPARISONS,
    models: Mapping[str, ModelInput] | None = None,
) -> None:
    """Checks that a judge decides the same, whatever it is asked at the same time.

    A judge that gives a quote asks a service, whose replies it cannot promise, and is left out.

    Raises:
        AssertionError: When the winner of a comparison differs if it is asked alone, in another
            order and in new folders, or if a kill has cut a line of the judge's own files, or when
            the judge writes a file outside of its folders, seeds a generator of all code, or leaves
            a thread or a process running.
    """
    context = judge_context(folder / "again", models)
    if judge.quote(comparisons, context.shared) is not None:
        return
    inside = [folder, *caches()]
    try:
        with written_in_place(context) as written, judge.open(context) as session:
            told = {each.id: each.winner for each in session.compare(comparisons)}
    except Exception:
        return  # `check_verdicts` says this.
    check_cut_line(judge, context, written(), comparisons, told)
    # In new folders: a reply that it keeps there must be one to the same question.
    context = judge_context(folder / "alone", models)
    rounds: list[list[Verdict]] = []

    def ask() -> None:
        with judge.open(context) as session:
            alone = (session.compare([each]) for each in reversed(comparisons))
            rounds.append(list(chain.from_iterable(alone)))

    with (
        leaves_nothing_running(judge, "a session"),
        does_only(judge, "a session", inside=inside),
        must_not_raise(judge, "a session"),
    ):
        seeded = seeds_chance(ask)
    for verdict in chain.from_iterable(rounds):
        expect(
            verdict.winner == told.get(verdict.id),
            judge,
            f"the winner of {verdict.id!r} is {told.get(verdict.id)!r} among others, and "
            f"{verdict.winner!r} alone; expected the same",
        )
    expect(
        not seeded,
        judge,
        f"a session seeds the generator of {seeded}, which all code of the process shares; use "
        "one of its own, such as random.Random(seed)",
    )


def check_scoring_judge(
    judge: Judge,
    folder: Path,
    *,
    answers: Sequence[Answer] = HARD_ANSWERS,
    models: Mapping[str, ModelInput] | None = None,
) -> None:
    """Runs `check_judge` and `check_scores`.

    Args:
        judge: A judge with its options. The service that it calls must be available.
        folder: An empty folder for the judge's files.
        answers: The answers to score.
        models: Models by the judge's option that names them.

    Raises:
        AssertionError: At the first rule that is broken.
    """
    check_judge(judge, folder / "compared", models=models)
    scores = partial(check_scores, folder=folder / "scored", answers=answers, models=models)
    check_rules(judge, {"scores": scores})


__all__ = [
    "HARD_ANSWERS",
    "HARD_COMPARISONS",
    "check_declaration",
    "check_judge",
    "check_quote",
    "check_same_again",
    "check_scores",
    "check_scoring_judge",
    "check_verdicts",
]
