"""The list of `halo runs`."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from halo_core.cli.output import Output
from halo_core.cli.runs.choice import Choice, choose
from halo_core.cli.runs.target import existing_workspace
from halo_core.cli.terminal import drawn, grid
from halo_core.errors import DataError
from halo_core.overview.run_entry import RunEntry, run_entries
from halo_core.overview.sizes import Sizes, size_text
from halo_core.overview.varying import varying, varying_text
from halo_core.workspace.layout import Workspace, targets, title_of
from halo_core.workspace.records import SUITE

NARROW = 100
"""Number of columns below which a terminal shows a run in several lines."""


def list_runs(workspace: str, choice: Choice, output: Output) -> None:
    """Prints the list.

    Raises:
        UserError: When there is no such workspace, or no run of this spec.
    """
    place = Workspace(existing_workspace(workspace))
    every = run_entries(place)
    suites = _suites(place)
    chosen = choose(every, choice, [suite["name"] for suite in suites])
    sizes = Sizes()
    if choice.sort == "size":
        chosen.sort(key=lambda entry: -entry.size(sizes))
    elif choice.sort == "name":
        chosen.sort(key=lambda entry: entry.shown)
    shown = chosen[: choice.limit]
    varies = varying(chosen)
    output.emit(
        {
            "workspace": str(place.root),
            "runs": [entry_json(entry, varies[entry.folder], sizes) for entry in shown],
            "matching": len(chosen),
            "total": len(every),
            "suites": suites,
        }
    )
    if output.json:
        return
    if not every:
        output.say(f"{place.root} has no runs yet. Start one: halo run SPEC")
    elif not chosen:
        output.say(f"none of the {len(every)} runs fits. List all: halo runs")
    else:
        output.say(_table(shown, varies, sizes).rstrip("\n"))
        _say_rest(shown, chosen, every, suites, output)


def entry_json(entry: RunEntry, varies: Mapping[str, str], sizes: Sizes) -> dict[str, Any]:
    """Returns a run as `halo runs --json` prints it."""
    return {
        "name": entry.name,
        "title": entry.title,
        "note": entry.note,
        "folder": str(entry.folder),
        "spec": entry.spec,
        "suite": entry.suite or None,
        "cell": entry.cell or None,
        "varies": dict(varies),
        "state": entry.state.state,
        "started": entry.state.started,
        "active": entry.state.active,
        "headline": entry.state.headline,
        "size": entry.size(sizes),
        "problem": entry.problem or None,
    }


def moment_text(seconds: float | None) -> str:
    """Returns a time as local date and time; "" if it is not known."""
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}" if seconds else ""


def _table(
    entries: Sequence[RunEntry], varies: Mapping[Path, Mapping[str, str]], sizes: Sizes
) -> str:
    header = ["run", "title", "varies", "result", "state", "last active", "size"]
    rows = [
        [
            entry.shown,
            entry.title if entry.title != entry.shown else "",
            varying_text(varies[entry.folder]),
            _result(entry),
            entry.state.state,
            moment_text(entry.state.active),
            size_text(entry.size(sizes)),
        ]
        for entry in entries
    ]
    if sys.stdout.isatty() and shutil.get_terminal_size().columns < NARROW:
        return "\n".join(map(_block, rows))
    # A column without any text only takes room.
    kept = [place for place in range(len(header)) if any(row[place] for row in rows)]
    return drawn(
        grid(
            "",
            [header[place] for place in kept],
            [[row[place] for place in kept] for row in rows],
            texts=sum(place < 4 for place in kept),
        )
    )


def _block(row: Sequence[str]) -> str:
    """Returns a run in several lines, for a terminal that has no room for columns."""
    name, title, varies, result, *facts = row
    below = [line for text in (varies, result) if text for line in text.split("\n")]
    return "\n".join(
        ["  ".join(filter(None, [name, title, *facts])), *(f"    {line}" for line in below)]
    )


def _result(entry: RunEntry) -> str:
    lines = [entry.problem or entry.state.headline]
    if entry.note:
        lines.append(f"({entry.note.partition(chr(10))[0]})")
    return "\n".join(filter(None, lines))


def _say_rest(
    shown: Sequence[RunEntry],
    chosen: Sequence[RunEntry],
    every: Sequence[RunEntry],
    suites: Sequence[Mapping[str, Any]],
    output: Output,
) -> None:
    counts = [f"{len(shown)} of {len(every)} runs"] if len(shown) < len(every) else []
    if len(shown) < len(chosen):
        counts.append(f"{len(chosen) - len(shown)} more fit, without --limit")
    if counts:
        output.say(f"\n{'; '.join(counts)}")
    listed = {entry.suite for entry in shown}
    for suite in suites:
        if suite["name"] in listed:
            cells = ", ".join(f"{n} {status}" for status, n in suite["cells"].items())
            output.say(f"\nsuite {suite['title'] or suite['name']}: {cells or suite['problem']}")


def _suites(place: Workspace) -> list[dict[str, Any]]:
    """Returns the suites with the number of cells in each status."""
    found = []
    for target in targets(place.root):
        if target.kind != "suite":
            continue
        problem, cells = None, Counter[str]()
        try:
            record = SUITE.read(target.folder)
            cells.update(cell["status"] for cell in (record["cells"] if record else ()))
        except DataError as error:
            problem = str(error)
        title = title_of(target.folder)
        found.append(
            {
                "name": target.folder.name,
                "title": title["title"],
                "note": title["note"],
                "folder": str(target.folder),
                "cells": dict(cells),
                "problem": problem,
            }
        )
    return found
