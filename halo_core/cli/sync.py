"""`halo sync RUN_OR_SUITE`: sends all events to the trackers again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.run_names import RunName
from halo_core.cli.tracker_lines import label_lines, tracker_rows
from halo_core.errors import HaloError, SuiteErrors, UserError
from halo_core.garbage import few_collections
from halo_core.tracking.send import send_run
from halo_core.workspace.records import EVENTS, SUITE, SuiteRecord

if TYPE_CHECKING:
    from halo_core.tracking.descriptions import Description


def sync_suite(suite: Path, output: Output) -> None:
    """Sends the events that the trackers of a suite's cells may lack.

    If one tracker fails, the others still get theirs.

    Args:
        suite: The suite's folder, ``<workspace>/suites/<name>``.
        output: The command's output.

    Raises:
        DataError: When its `suite.json` is not as expected.
        UserError: When no cell was started.
        SuiteErrors: When some cells or the suite could not be sent. The others were sent.
    """
    workspace = suite.parent.parent
    record = SUITE.read(suite)
    assert record is not None  # the suite was found by it
    begun = {
        str(cell["id"]): workspace / cell["run"]
        for cell in record["cells"]
        if cell["run"] and (workspace / cell["run"] / EVENTS.name).is_file()
    }
    if not begun:
        raise UserError(
            "no cell of this suite was started, so there is nothing to send", location=str(suite)
        )
    cells: list[dict[str, Any]] = []
    failures: dict[str, HaloError] = {}
    for id_, run in begun.items():
        cell, failed = _send_cell(id_, run, workspace)
        cells.append(cell)
        failures |= failed
        output.say(_line(cell))
    told, failed = _tell(suite, list(begun.values()), record)
    failures |= failed
    answer = {"suite": suite.name, "trackers": told, "cells": cells}
    output.attach(**answer)
    if failures:
        raise SuiteErrors(failures, len(begun))
    output.emit(answer)
    for line in label_lines(tracker_rows(told)):
        output.say(line)


def _send_cell(id_: str, run: Path, workspace: Path) -> tuple[dict[str, Any], dict[str, HaloError]]:
    cell: dict[str, Any] = {"id": id_, "run": run.name, "sent": []}
    try:
        sent = send_run(run, workspace)
    except HaloError as error:
        return cell, {id_: error}
    cell["sent"] = list(sent.results)
    return cell, {id_: sent.failures[0]} if sent.failures else {}


def _line(cell: Mapping[str, Any]) -> str:
    sent = [f"{t['use']}: {t['events']} events {t['status']}" for t in cell["sent"]]
    return f"{cell['id']}: {', '.join(sent) or 'not sent'}"


def _tell(
    suite: Path, runs: Sequence[Path], record: SuiteRecord
) -> tuple[dict[str, Description], dict[str, HaloError]]:
    """Reports the suite's progress to the trackers of the first run that has any."""
    from halo_core.suite.state import recorded_status
    from halo_core.tracking.descriptions import describe_all, keep
    from halo_core.tracking.send import failure, first_tracked, usable_trackers
    from halo_core.workspace.lock import held

    failures: dict[str, HaloError] = {}

    def failed(name: str, error: BaseException) -> None:
        failures[f"the suite, {name}"] = failure(error)

    tracked = first_tracked(runs)
    trackers = usable_trackers(tracked, failed) if tracked else {}
    workspace, status = suite.parent.parent, recorded_status(record)
    descriptions = describe_all(
        trackers,
        "tell_suite",
        lambda name: trackers[name].tell_suite(suite, workspace, status),
        failed,
    )
    with held(suite / SUITE.name):
        keep(SUITE, suite, descriptions)
    return descriptions, failures


@click.command()
@click.argument("run", metavar="RUN_OR_SUITE", type=RunName())
@workspace_option
@output_options
def sync(run: str, workspace: str, output: Output) -> None:
    """Send the events of a run, or of all cells of a suite, to their trackers again.

    RUN_OR_SUITE is its folder, its name or its title. Use this when a tracker could not be reached.
    Sending twice does no harm.
    """
    from halo_core.workspace.layout import find

    target = find(run, Path(workspace))
    with few_collections():
        if target.kind == "suite":
            sync_suite(target.folder, output)
        else:
            _sync_run(target.folder, Path(workspace), output)


def _sync_run(folder: Path, workspace: Path, output: Output) -> None:
    from halo_core.cli.tracker_lines import label_lines, tracker_rows
    from halo_core.tracking.send import send_run

    sent = send_run(folder, workspace)
    output.attach(run=folder.name, sent=list(sent.results), trackers=dict(sent.told))
    if sent.failures:
        raise sent.failures[0]
    output.emit({"run": folder.name, "sent": list(sent.results), "trackers": dict(sent.told)})
    for result in sent.results:
        output.say(f"{result['use']}: {result['events']} events sent")
    for line in label_lines(tracker_rows(sent.told)):
        output.say(line)
