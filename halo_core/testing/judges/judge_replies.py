"""Checks the replies of a judge one by one, and makes the context in which it is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.guarded.judge_calls import Form, Named
from halo_core.judge import VERDICT_FORM, Comparison, Judge, JudgeContext, Verdict
from halo_core.stage import ModelInput
from halo_core.testing.component import expect

ROUNDING = 1e-6
"""Distance of a preference from one half that contradicts no winner."""

SHOWN = 3
"""Number of ids that a message shows."""


def judge_context(folder: Path, models: Mapping[str, ModelInput] | None = None) -> JudgeContext:
    """Returns a context whose folders are in one folder, and creates the judge's own folder."""
    own = folder / "own"
    own.mkdir(parents=True, exist_ok=True)
    return JudgeContext(own, folder / "shared", models or {})


def check_each(
    judge: Judge, verdicts: Sequence[Verdict], comparisons: Sequence[Comparison]
) -> None:
    """Checks that there is one valid verdict for each comparison.

    Raises:
        AssertionError: When there is not, or when a verdict has an invalid value, is unscored
            without a reason, or has a winner that its preference contradicts.
    """
    check_form(judge, verdicts, VERDICT_FORM)
    check_ids(judge, verdicts, comparisons, "verdicts")
    for verdict in verdicts:
        expect(
            verdict.winner is not None or verdict.reason != "",
            judge,
            f"{verdict.id!r} is unscored without a reason; say why",
        )
        share = {"A": 1.0, "B": -1.0}.get(verdict.winner or "", 0.0)
        expect(
            verdict.preference is None or share * (verdict.preference - 0.5) >= -ROUNDING,
            judge,
            f"the winner of {verdict.id!r} is {verdict.winner}, and its preference is "
            f"{verdict.preference}; expected the probability that A is better",
        )


def check_ids(judge: Judge, replies: Sequence[Named], items: Sequence[Named], what: str) -> None:
    """Checks that there is exactly one reply to each item.

    Args:
        judge: The judge.
        replies: Its replies.
        items: The items, with distinct ids.
        what: A word for the replies, for the message.

    Raises:
        AssertionError: When there is not.
    """
    came, asked = Counter(each.id for each in replies), {each.id for each in items}
    faults = {
        "none for": [id_ for id_ in sorted(asked) if id_ not in came],
        "several for": [id_ for id_, count in came.items() if count > 1 and id_ in asked],
        "some for": [id_ for id_ in came if id_ not in asked],
    }
    said = [f"{name} {_few(ids)}" for name, ids in faults.items() if ids]
    expect(
        not said,
        judge,
        f"{len(replies)} {what} came, {', '.join(said)}; expected one for each of {len(asked)}, "
        "with its id as it is",
    )


def _few(ids: Sequence[str]) -> str:
    shown = ", ".join(map(repr, ids[:SHOWN]))
    return shown if len(ids) <= SHOWN else f"{shown} and {len(ids) - SHOWN} more"


def check_form(judge: Judge, replies: Sequence[Any], form: Form[Any]) -> None:
    """Checks that replies have the right form and valid values.

    Raises:
        AssertionError: When a reply does not.
    """
    for reply in replies:
        fault = reply.fault() if isinstance(reply, form.reply) else repr(reply)
        expect(fault is None, judge, f"{form.method}() gave {fault}; expected {form.expected}")


__all__ = ["check_each", "check_form", "check_ids", "judge_context"]
