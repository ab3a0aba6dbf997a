"""What `halo sync` does with a suite: it sends every cell's run, and then the suite as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.cli.output import Output
from halo_core.cli.sending import send_run
from halo_core.errors import HaloError, SuiteErrors, UserError
from halo_core.redact import one_line
from halo_core.workspace.records import EVENTS, SUITE, SuiteRecord


def sync_suite(suite: Path, output: Output) -> None:
    """Sends what the trackers of a suite's cells may lack; one that fails keeps none of the others.

    Args:
        suite: The suite's folder, ``<workspace>/suites/<name>``.
        output: Of the command.

    Raises:
        DataError: When its `suite.json` is not as expected.
        UserError: When no cell was begun.
        SuiteErrors: When cells were not sent, or the suite was not; the others were.
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
            "no cell of this suite was begun; there is nothing to send", location=str(suite)
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
    output.attach(suite=suite.name, cells=cells)
    if failures:
        raise SuiteErrors(failures, len(begun))
    output.emit({"suite": suite.name, "cells": cells, **told})
    for name, link in told["links"].items():
        output.say(f"  {name}: {link}")


def _send_cell(id_: str, run: Path, workspace: Path) -> tuple[dict[str, Any], dict[str, HaloError]]:
    cell: dict[str, Any] = {"id": id_, "run": run.name, "trackers": []}
    try:
        sent = send_run(run, workspace)
    except HaloError as error:
        return cell, {id_: error}
    cell["trackers"] = list(sent.trackers)
    return cell, {id_: sent.failures[0]} if sent.failures else {}


def _line(cell: Mapping[str, Any]) -> str:
    sent = [f"{t['use']}: {t['events']} events {t['status']}" for t in cell["trackers"]]
    return f"{cell['id']}: {', '.join(sent) or 'not sent'}"


def _tell(
    suite: Path, runs: Sequence[Path], record: SuiteRecord
) -> tuple[dict[str, Any], dict[str, HaloError]]:
    """Tells the trackers of the first run that has any how far the suite is."""
    from halo_core.recorded_trackers import recorded_trees, resolve_trackers
    from halo_core.suite.folder import recorded_status

    told: dict[str, Any] = {"links": {}, "mlflow_run_id": None, "tracking_uri": None}
    failures: dict[str, HaloError] = {}
    tracked = next((run for run in runs if recorded_trees(run)), None)
    for tree in recorded_trees(tracked) if tracked else ():
        try:
            ((_, tracker),) = resolve_trackers([tree], suite)
            answer = tracker.tell_suite(suite, suite.parent.parent, recorded_status(record))
            if answer is None:
                continue
            said = dict(answer)
        except Exception as error:
            failures["the suite"] = HaloError(f"{tree.get('use')}: {one_line(error)}")
            continue
        links = said.pop("links", {})
        told = {**told, **said, "links": {**told["links"], **dict(links)}}  # type: ignore[call-overload]
    return told, failures
