"""The rules for a component, by its kind."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from halo_core.check.full_training import FullTrainings
from halo_core.check.judge_rules import judge_rules
from halo_core.check.rule import NotHereError, Rule
from halo_core.check.source_rules import source_rules
from halo_core.check.stage_rules import stage_rules
from halo_core.check.tiny_training import SECONDS, check_training
from halo_core.component import Component
from halo_core.data import DataSource
from halo_core.judge import Judge
from halo_core.loss import Loss
from halo_core.plugins.registrar import Registration
from halo_core.reference_point import RefPointEstimator
from halo_core.reference_update import ReferenceUpdate
from halo_core.stage import Stage
from halo_core.tracker import Report, Tracker

PROCESS_S = 60.0
"""Limit of the rule that starts other processes."""


def rules_of(
    component: Component, registration: Registration, *, full: bool = False
) -> Sequence[Rule]:
    """Returns the rules for a component with its options, in the order of checking.

    Args:
        component: The component.
        registration: Its registration.
        full: Whether rules are checked that take minutes.
    """
    from halo_core.testing.component import COMPONENT_CHECKS

    return [*named(COMPONENT_CHECKS), *_rules_of_kind(component, registration, full)]


def _rules_of_kind(component: Component, registration: Registration, full: bool) -> Sequence[Rule]:
    if isinstance(component, Loss | RefPointEstimator):
        return _with_torch(component, registration, full)
    if isinstance(component, ReferenceUpdate):
        from halo_core.testing.points.reference_updates import UPDATE_CHECKS

        return [*named(UPDATE_CHECKS), _elsewhere("update_told", ranked=True)]
    if isinstance(component, DataSource):
        return source_rules()
    if isinstance(component, Judge):
        return judge_rules(component, full=full)
    if isinstance(component, Stage):
        return stage_rules(full=full)
    if isinstance(component, Tracker):
        from halo_core.testing.trackers.rules import check_events
        from halo_core.testing.trackers.tracker_numbers import check_curves
        from halo_core.testing.trackers.tracker_stores import check_stored

        return [
            Rule("events", _in_folder(_reached(check_events))),
            Rule("effects", _in_folder(_reached(check_stored))),
            Rule("numbers", _in_folder(_reached(check_curves)), PROCESS_S),
            Rule("elsewhere", _in_folder(_reached(_check_tracker_elsewhere)), PROCESS_S),
        ]
    if isinstance(component, Report):
        from halo_core.testing.reports.report_alone import check_self_contained
        from halo_core.testing.reports.report_numbers import check_numbers
        from halo_core.testing.reports.report_pages import check_growing
        from halo_core.testing.reports.report_texts import check_texts
        from halo_core.testing.reports.rules import check_pages

        return [
            Rule("pages", _in_folder(check_pages)),
            Rule("growing", _in_folder(check_growing)),
            Rule("texts", _in_folder(check_texts)),
            Rule("self-contained", _in_folder(check_self_contained)),
            Rule("numbers", _in_folder(check_numbers)),
            Rule("other-options", _in_folder(_check_report_options)),
            _elsewhere("report_told"),
        ]
    return []


def _with_torch(
    component: Loss | RefPointEstimator, registration: Registration, full: bool
) -> Sequence[Rule]:
    if importlib.util.find_spec("torch") is None:
        return [Rule("computes", _no_torch)]
    from halo_core.testing.losses.gradients import import_torch

    import_torch()
    if isinstance(component, Loss):
        from halo_core.testing.losses.rules import LOSS_CHECKS

        rules = [*named(LOSS_CHECKS), _elsewhere("loss_told", ranked=True)]
    else:
        from halo_core.testing.points.reference_points import checks_of

        rules = named(checks_of(component))
        if component.observes != "pair":
            rules.append(_elsewhere("estimator_told", ranked=True))

    def of_training(check: Callable[..., None]) -> Callable[[Any], None]:
        return lambda each: check(each, registration)

    rules.append(Rule("training", of_training(check_training), SECONDS + 10))
    if full:
        trainings = FullTrainings(component, registration)
        rules.append(Rule("resumes", trainings.check_resumes, 3 * SECONDS + 10))
        rules.append(Rule("two-processes", trainings.check_two_processes, 2 * SECONDS + 10))
    return rules


def _no_torch(_: object) -> None:
    raise NotHereError(
        "torch is not installed, which all rules about numbers need: pip install torch"
    )


def named(checks: Sequence[Callable[[Any], None]]) -> list[Rule]:
    """Returns rules from functions of the test kit."""
    from halo_core.testing.component import rule_name

    return [Rule(rule_name(check), check) for check in checks]


def _elsewhere(told: str, *, ranked: bool = False) -> Rule:
    """Returns the rule that another process gives the same.

    Args:
        told: The function of `testing.circumstances.told` that says what the component gives.
        ranked: Whether a training calls the component in each of its processes.
    """

    def check(component: Any, folder: Path) -> None:
        from halo_core.testing.circumstances import told as tellers
        from halo_core.testing.circumstances.elsewhere import check_elsewhere

        check_elsewhere(component, getattr(tellers, told), folder, ranked=ranked)

    return Rule("elsewhere", _in_folder(check), PROCESS_S)


def _check_tracker_elsewhere(tracker: Tracker, folder: Path) -> None:
    from halo_core.testing.circumstances.tracker_elsewhere import (
        NotComparedError,
        check_tracker_elsewhere,
    )

    try:
        check_tracker_elsewhere(tracker, folder)
    except NotComparedError as error:
        raise NotHereError(str(error)) from error


def _check_report_options(report: Report, folder: Path) -> None:
    from halo_core.testing.circumstances.other_options import check_report_options
    from halo_core.testing.options.option_refusals import NotTriedError

    try:
        check_report_options(report, folder)
    except NotTriedError as error:
        raise NotHereError(str(error)) from error


def _reached(check: Callable[[Tracker, Path], None]) -> Callable[[Tracker, Path], None]:
    """Returns a check of a tracker that is left out if the tracker's server cannot be reached."""

    def run(tracker: Tracker, folder: Path) -> None:
        from halo_core.testing.trackers.connections import connections, is_away

        with connections() as connected:
            try:
                check(tracker, folder)
            except AssertionError as error:
                if connected and is_away(error.__cause__):
                    raise NotHereError(
                        f"{error}. It asked {connected[0]}, which is away or refuses: start "
                        "the server and give its address (halo check NAME --set OPTION=VALUE), or "
                        "test the tracker with halo_core.testing.TrackerServer"
                    ) from error
                raise

    return run


def _in_folder(check: Callable[[Any, Path], None]) -> Callable[[Any], None]:
    def run(component: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            check(component, Path(folder))

    return run
