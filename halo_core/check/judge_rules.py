"""The rules for a judge, which is asked only if it costs nothing."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from halo_core.check.rule import NotHereError, Rule
from halo_core.errors import HaloError
from halo_core.judge import Judge
from halo_core.scoring_judge import ScoringJudge


def judge_rules(judge: Judge, *, full: bool = False) -> list[Rule]:
    """Returns the rules for a judge.

    Args:
        judge: The judge.
        full: Whether rules are checked that take minutes.
    """
    from halo_core.testing.judges.judge_batch_checks import check_batches
    from halo_core.testing.judges.judge_long_texts import check_long_texts
    from halo_core.testing.judges.judge_options import check_judge_options
    from halo_core.testing.judges.judge_other_texts import check_other_texts
    from halo_core.testing.judges.judge_sides import check_sides_of_verdicts
    from halo_core.testing.judges.rules import (
        HARD_COMPARISONS,
        check_declaration,
        check_quote,
        check_same_again,
        check_scores,
        check_verdicts,
    )

    rules = [
        Rule("declaration", check_declaration),
        Rule("quote", _in_folder(check_quote, asks=False)),
        Rule("verdicts", _in_folder(check_verdicts)),
        Rule("same-again", _in_folder(_of_no_service(check_same_again))),
        Rule("batches", _in_folder(_of_no_service(check_batches))),
        Rule(
            "by-the-texts",
            _in_folder(
                _of_no_service(partial(check_sides_of_verdicts, comparisons=HARD_COMPARISONS))
            ),
        ),
        Rule("other-texts", _in_folder(_of_no_service(check_other_texts))),
        Rule("long-texts", _in_folder(_of_no_service(_tried(check_long_texts)))),
        Rule("elsewhere", _in_folder(_of_no_service(partial(_check_elsewhere, full=full))), 60.0),
        Rule(
            "other-options",
            _in_folder(_of_no_service(partial(check_judge_options, comparisons=HARD_COMPARISONS))),
        ),
    ]
    if isinstance(judge, ScoringJudge):
        rules.append(Rule("scores", _in_folder(check_scores)))
    return rules


def _in_folder(check: Callable[[Any, Path], None], *, asks: bool = True) -> Callable[[Any], None]:
    def run(component: Any) -> None:
        try:
            component.check_ready()
        except HaloError as error:
            raise NotHereError(f"the judge is not ready here: {error.message}") from error
        with tempfile.TemporaryDirectory() as folder:
            if asks:
                _check_free(component, Path(folder) / "shared")
            check(component, Path(folder))

    return run


def _of_no_service(check: Callable[[Any, Path], None]) -> Callable[[Any, Path], None]:
    def run(judge: Any, folder: Path) -> None:
        if judge.quote((), folder / "shared") is not None:
            raise NotHereError(
                "the judge gives a quote, so it asks a service, whose replies may differ each time"
            )
        check(judge, folder)

    return run


def _tried(check: Callable[[Any, Path], None]) -> Callable[[Any, Path], None]:
    def run(judge: Any, folder: Path) -> None:
        from halo_core.testing.options.option_refusals import NotTriedError

        try:
            check(judge, folder)
        except NotTriedError as error:
            raise NotHereError(str(error)) from error

    return run


def _check_elsewhere(judge: Judge, folder: Path, *, full: bool) -> None:
    from halo_core.testing.circumstances.elsewhere import check_elsewhere
    from halo_core.testing.circumstances.told import judge_told
    from halo_core.testing.judges.judge_batch_checks import affordable
    from halo_core.testing.judges.judge_batches import pairs
    from halo_core.testing.judges.judge_replies import judge_context

    if not full:
        quick = affordable(judge, judge_context(folder / "quick"))
        if "torch" in sys.modules or len(quick) < len(pairs()):
            raise NotHereError(
                "another process would have to import torch, or to ask a slow judge again; --full "
                "checks it"
            )
    check_elsewhere(judge, judge_told, folder)


def _check_free(judge: Judge, shared: Path) -> None:
    """Raises unless a judge can be asked for nothing: nobody expects a check to cost money."""
    from halo_core.testing.judges.rules import HARD_COMPARISONS

    quote = judge.quote(HARD_COMPARISONS, shared)
    if quote is not None and quote.calls and quote.cost != 0:
        raise NotHereError(
            f"the requests to {quote.model} may have to be paid for; to check it, call "
            "halo_core.testing.check_judge in a test"
        )
