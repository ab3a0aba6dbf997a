"""The rules for a component, by its kind."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from halo_core.check.rule import NotHereError, Rule
from halo_core.check.tiny_training import SECONDS, check_training
from halo_core.component import Component
from halo_core.data import DataSource
from halo_core.errors import HaloError, UserError
from halo_core.judge import Judge
from halo_core.loss import Loss
from halo_core.plugins.registrar import Registration
from halo_core.reference_point import RefPointEstimator
from halo_core.reference_update import ReferenceUpdate
from halo_core.scoring_judge import ScoringJudge
from halo_core.stage import Stage
from halo_core.tracker import Tracker

ROWS = 200
"""Number of rows of each split of a data source that are read."""


def rules_of(component: Component, registration: Registration) -> Sequence[Rule]:
    """Returns the rules for a component with its options, in the order of checking.

    Args:
        component: The component.
        registration: Its registration.
    """
    from halo_core.testing.component import COMPONENT_CHECKS

    rules = [*_named(COMPONENT_CHECKS), *_rules_of_kind(component)]
    if isinstance(component, Loss | RefPointEstimator):
        from halo_core.testing.gradients import import_torch

        import_torch()
        training = Rule("training", lambda each: check_training(each, registration), SECONDS + 10)
        rules.append(training)
    return rules


def _rules_of_kind(component: Component) -> Sequence[Rule]:
    if isinstance(component, Loss):
        from halo_core.testing.losses import LOSS_CHECKS

        return _named(LOSS_CHECKS)
    if isinstance(component, RefPointEstimator):
        from halo_core.testing.reference_points import check_pairs_and_estimates, check_within_pair

        within = component.observes == "pair"
        return _named([check_within_pair if within else check_pairs_and_estimates])
    if isinstance(component, ReferenceUpdate):
        from halo_core.testing.reference_updates import check_shares

        return _named([check_shares])
    if isinstance(component, DataSource):
        return [Rule("rows", _check_rows)]
    if isinstance(component, Judge):
        return _judge_rules(component)
    if isinstance(component, Stage):
        return [Rule("sayings", _check_sayings)]
    if isinstance(component, Tracker):
        return [Rule("events", _check_tracker)]
    return []


def _named(checks: Sequence[Callable[[Any], None]]) -> list[Rule]:
    from halo_core.testing.component import rule_name

    return [Rule(rule_name(check), check) for check in checks]


def _check_rows(source: DataSource) -> None:
    from halo_core.testing.data import check_rows

    try:
        for split in source.inspect().splits:
            next(iter(source.load(split).rows), None)
    except UserError as error:
        # Options that a default cannot know, or data that somebody has to fetch first.
        raise NotHereError(f"its data are not available here: {error.message}") from error
    check_rows(source, rows=ROWS)


def _judge_rules(judge: Judge) -> list[Rule]:
    from halo_core.testing.judges import check_quote, check_scores, check_verdicts

    def in_folder(
        check: Callable[[Any, Path], None], *, asks: bool = True
    ) -> Callable[[Any], None]:
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

    rules = [
        Rule("quote", in_folder(check_quote, asks=False)),
        Rule("verdicts", in_folder(check_verdicts)),
    ]
    if isinstance(judge, ScoringJudge):
        rules.append(Rule("scores", in_folder(check_scores)))
    return rules


def _check_free(judge: Judge, shared: Path) -> None:
    """Raises unless a judge can be asked for nothing: nobody expects a check to cost money."""
    from halo_core.testing.judges import HARD_COMPARISONS

    quote = judge.quote(HARD_COMPARISONS, shared)
    if quote is not None and quote.calls and quote.cost != 0:
        raise NotHereError(
            f"the requests to {quote.model} may have to be paid for; to check it, call "
            "halo_core.testing.check_judge in a test"
        )


def _check_sayings(stage: Stage) -> None:
    from halo_core.testing.context import stage_context
    from halo_core.testing.stages import check_sayings

    with tempfile.TemporaryDirectory() as folder:
        check_sayings(stage, stage_context(Path(folder)))


def _check_tracker(tracker: Tracker) -> None:
    from halo_core.testing.trackers import check_events

    with tempfile.TemporaryDirectory() as folder:
        check_events(tracker, Path(folder))
