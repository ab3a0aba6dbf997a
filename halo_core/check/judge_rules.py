"""The rules for a judge, which is asked only if it costs nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from halo_core.check.rule import NotHereError, Rule
from halo_core.errors import HaloError
from halo_core.judge import Judge
from halo_core.scoring_judge import ScoringJudge


def judge_rules(judge: Judge) -> list[Rule]:
    """Returns the rules for a judge.

    Args:
        judge: The judge.
    """
    from halo_core.testing.judge_options import check_judge_options
    from halo_core.testing.judge_sides import check_sides_of_verdicts
    from halo_core.testing.judges import (
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
        Rule("same-again", _in_folder(check_same_again)),
        Rule(
            "by-the-texts",
            _in_folder(partial(check_sides_of_verdicts, comparisons=HARD_COMPARISONS)),
        ),
        Rule(
            "other-options",
            _in_folder(partial(check_judge_options, comparisons=HARD_COMPARISONS)),
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


def _check_free(judge: Judge, shared: Path) -> None:
    """Raises unless a judge can be asked for nothing: nobody expects a check to cost money."""
    from halo_core.testing.judges import HARD_COMPARISONS

    quote = judge.quote(HARD_COMPARISONS, shared)
    if quote is not None and quote.calls and quote.cost != 0:
        raise NotHereError(
            f"the requests to {quote.model} may have to be paid for; to check it, call "
            "halo_core.testing.check_judge in a test"
        )
