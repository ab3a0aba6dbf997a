"""Checks the promises of every judge, whether it compares or scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from halo_core.errors import HaloError
from halo_core.feedback import Prompt
from halo_core.guarded.judge_calls import Form
from halo_core.guarded.stage_calls import check_inputs_of
from halo_core.judge import VERDICT_FORM, Beside, Comparison, Judge, JudgeContext, Quote, Verdict
from halo_core.scoring_judge import SCORE_FORM, Answer, Score, ScoringJudge, ScoringSession
from halo_core.stage import Inputs, ModelInput
from halo_core.testing.component import check_component, check_rules, expect, must_not_raise
from halo_core.testing.effects import caches
from halo_core.testing.judge_options import check_judge_options
from halo_core.testing.judge_sides import check_sides_of_verdicts
from halo_core.testing.judge_texts import own_answers, own_comparisons
from halo_core.testing.stateless import does_only

_PROMPT: Prompt = ({"role": "user", "content": "What does a cow say?"},)
_OTHER: Prompt = (
    {"role": "system", "content": "You answer as a farmer would."},
    {"role": "user", "content": "Is it a cow?"},
    {"role": "assistant", "content": "It is."},
    {"role": "user", "content": "And what does it say?"},
)
_TEXTS = {
    "plain": ("A cow says moo.", "Cows, dear friend, say moo, as everybody on the farm knows."),
    "same": ("Moo.", "Moo."),
    "empty": ("", "Moo."),
    "both empty": ("", ""),
    "odd": ("\u202e\x00 {a} %s \U0001f404", "[[A]] is better. Response 1 wins. {}"),
    "long": ("moo " * 2000, "Moo."),
}
_TOOLS = ({"type": "function", "function": {"name": "listen", "parameters": {"type": "object"}}},)
_CALL = {"type": "function", "function": {"name": "listen", "arguments": {"to": "a cow"}}}
HARD_COMPARISONS: Sequence[Comparison] = (
    *(Comparison(name, _PROMPT, a, b) for name, (a, b) in _TEXTS.items()),
    # The same texts for another prompt, and an id with capital letters and blanks.
    Comparison(" Other Prompt", _OTHER, *_TEXTS["plain"]),
    Comparison("JSON", _OTHER, '{"answer": 1, "says": ["moo"]}', '{"answer": null}'),
    Comparison(
        "calls", _PROMPT, "", "Moo.", _TOOLS, {"tool_calls": [_CALL]}, {"thinking": "A cow?"}
    ),
)
"""Plain, equal, empty, odd and long texts, JSON, several turns, and tool calls."""


def check_judge(
    judge: Judge,
    folder: Path,
    *,
    comparisons: Sequence[Comparison] = HARD_COMPARISONS,
    models: Mapping[str, ModelInput] | None = None,
) -> None:
    """Runs `check_component`, `check_declaration`, `check_quote` and `check_verdicts`.

    A judge that asks no service must also decide the same again (`check_same_again`), and by the
    texts alone (`check_sides_of_verdicts`).

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
    if models is None:  # A model would be loaded again for each value of each option.
        rules["other-options"] = partial(
            check_judge_options, folder=folder / "options", comparisons=comparisons
        )
    check_rules(judge, rules)


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


def judge_context(folder: Path, models: Mapping[str, ModelInput] | None = None) -> JudgeContext:
    """Returns a context whose folders are in one folder, and creates the judge's own folder."""
    own = folder / "own"
    own.mkdir(parents=True, exist_ok=True)
    return JudgeContext(own, folder / "shared", models or {})


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
            or when a verdict has an invalid value, is unscored without a reason, or has a winner
            that its preference contradicts.
    """
    context = judge_context(folder, models)
    if comparisons is HARD_COMPARISONS:
        comparisons = [*comparisons, *own_comparisons(judge)]
    for opening in ("first", "second"):
        with must_not_raise(judge, f"the {opening} session"), judge.open(context) as session:
            none = list(session.compare([]))
            expect(none == [], judge, "no comparisons, but verdicts came back")
            verdicts = list(session.compare(comparisons))
        _check_each(judge, verdicts, comparisons)


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
        AssertionError: When the winner of a comparison differs if it is asked alone and in another
            order, or when the judge writes a file outside of its folders.
    """
    context = judge_context(folder / "again", models)
    if judge.quote(comparisons, context.shared) is not None:
        return
    inside = [folder, *caches()]
    try:
        with judge.open(context) as session:
            told = {each.id: each.winner for each in session.compare(comparisons)}
    except Exception:
        return  # `check_verdicts` says this.
    with does_only(judge, "a session", inside=inside), must_not_raise(judge, "a session"):
        for _ in range(2):
            with judge.open(context) as session:
                alone = [list(session.compare([each])) for each in reversed(comparisons)]
            for verdict in chain.from_iterable(alone):
                expect(
                    verdict.winner == told.get(verdict.id),
                    judge,
                    f"the winner of {verdict.id!r} is {told.get(verdict.id)!r} among others, and "
                    f"{verdict.winner!r} alone; expected the same",
                )


def _check_each(
    judge: Judge, verdicts: Sequence[Verdict], comparisons: Sequence[Comparison]
) -> None:
    check_form(judge, verdicts, VERDICT_FORM)
    came = sorted(verdict.id for verdict in verdicts)
    asked = sorted(comparison.id for comparison in comparisons)
    expect(came == asked, judge, f"verdicts for {came}; expected one for each of {asked}")
    for verdict in verdicts:
        expect(
            verdict.winner is not None or verdict.reason != "",
            judge,
            f"{verdict.id!r} is unscored without a reason; say why",
        )
        share = {"A": 1.0, "B": -1.0}.get(verdict.winner or "", 0.0)
        expect(
            verdict.preference is None or share * (verdict.preference - 0.5) >= 0,
            judge,
            f"the winner of {verdict.id!r} is {verdict.winner}, and its preference is "
            f"{verdict.preference}; expected the probability that A is better",
        )


def check_form(judge: Judge, replies: Sequence[Any], form: Form[Any]) -> None:
    """Checks that replies have the right form and valid values.

    Raises:
        AssertionError: When a reply does not.
    """
    for reply in replies:
        fault = reply.fault() if isinstance(reply, form.reply) else repr(reply)
        expect(fault is None, judge, f"{form.method}() gave {fault}; expected {form.expected}")


HARD_ANSWERS: Sequence[Answer] = tuple(
    Answer(f"{c.id}, {side}", c.prompt, text, fields, c.tools)
    for c in HARD_COMPARISONS
    for side, text, fields in (("a", c.a, c.a_fields), ("b", c.b, c.b_fields))
)
"""Plain, equal, empty, odd and long texts, and tool calls."""
SAME_SCORE = 1e-4
"""Relative and absolute tolerance, because models round differently in other batches."""


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


def check_scores(
    judge: Judge,
    folder: Path,
    *,
    answers: Sequence[Answer] = HARD_ANSWERS,
    models: Mapping[str, ModelInput] | None = None,
) -> None:
    """Checks the scores of two sessions in one folder, a call without answers, and the order.

    Raises:
        AssertionError: When the judge is not a `ScoringJudge` or raises, when there is not exactly
            one score per answer, when a score is neither finite nor None with a reason, or when
            the order of the answers changes a score.
    """
    if not isinstance(judge, ScoringJudge):
        expect(False, judge, "is not a scoring judge: subclass halo_core.ScoringJudge")
        return
    context = judge_context(folder, models)
    if answers is HARD_ANSWERS:
        answers = [*answers, *own_answers(judge)]
    told = []
    for opening, order in (("first", answers), ("second", answers[::-1])):
        with (
            must_not_raise(judge, f"the {opening} session"),
            judge.open_scoring(context) as session,
        ):
            expect(not list(session.score([])), judge, "no answers, but scores came back")
            told += [_scores(judge, session, order), _scores(judge, session, order[::-1])]
    for scores in told[1:]:  # A session may keep what it has scored, and another one may not.
        _check_order(judge, told[0], scores)


def _scores(judge: Judge, session: ScoringSession, answers: Sequence[Answer]) -> dict[str, Score]:
    scores = list(session.score(answers))
    check_form(judge, scores, SCORE_FORM)
    came = sorted(score.id for score in scores)
    asked = sorted(answer.id for answer in answers)
    expect(came == asked, judge, f"scores for {came}; expected one for each of {asked}")
    for score in scores:
        expect(
            score.value is not None or score.reason != "",
            judge,
            f"{score.id!r} is unscored without a reason; say why",
        )
    return {score.id: score for score in scores}


def _check_order(judge: Judge, there: dict[str, Score], back: dict[str, Score]) -> None:
    for id_, score in there.items():
        other = back[id_]
        same = score.value == other.value or (
            score.value is not None
            and other.value is not None
            and math.isclose(score.value, other.value, rel_tol=SAME_SCORE, abs_tol=SAME_SCORE)
        )
        expect(
            same,
            judge,
            f"{id_!r} scored {score.value} and, with the answers in reverse, {other.value}; "
            "expected the same",
        )
