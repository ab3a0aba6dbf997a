"""Plans a suite for `halo plan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from halo_core.cli.options import RunRequest
from halo_core.cli.output import Output
from halo_core.cli.plan_fit import (
    WIDEST,
    cell_columns,
    devices_json,
    devices_line,
    fit_json,
    hours_text,
    stage_tables,
)
from halo_core.cli.terminal import hanging, table

if TYPE_CHECKING:
    from halo_core.devices import Devices
    from halo_core.run.plan import Plan
    from halo_core.suite.plan import SharedStage, SuitePlan

CELLS_SHOWN = 3


def plan_suite(request: RunRequest, export: str | None, output: Output, devices: Devices) -> None:
    """Shows what a run of a suite would do, and writes it to a file for another scheduler.

    Args:
        request: The suite to plan.
        export: The file to write, if any.
        output: The command's output.
        devices: The devices to plan for.
    """
    from halo_core.run.forecast import disk_warning
    from halo_core.spec.sampling_checks import sampling_warnings
    from halo_core.suite.commands import exported
    from halo_core.suite.look_ahead import check_suite
    from halo_core.workspace.files import write_json

    plan = request.suite_plan(devices)
    check_suite(plan)
    specs = [made.spec for made in plan.plans.values()]
    for text in dict.fromkeys(text for spec in specs for text in sampling_warnings(spec)):
        output.warn(text)
    warning = disk_warning(plan.disk, plan.workspace.root)
    if warning is not None:
        output.warn(warning)
    output.emit({**_as_json(plan), "disk": {"needed": plan.disk, "fits": warning is None}})
    if not output.json:
        for line in plan_lines(plan):
            output.say(line)
    if export is not None:
        write_json(Path(export), exported(plan))
        output.say(f"\n{export} has the command of each cell, and the cells it waits for.")


def plan_lines(plan: SuitePlan) -> list[str]:
    """Returns the counts, a line per cell, and lines for equal models and equal judging."""
    lines = [f"suite {plan.suite.folder_name} in {plan.workspace.root}", _counts_line(plan), ""]
    needs = cell_columns(plan)
    titles = ["cell", "done", "to do", *(["GB", "fits", "hours"] if needs else [])]
    rows = [[id_, *_states(made), *needs.get(id_, ())] for id_, made in plan.plans.items()]
    lines.append(table(titles, rows))
    if needs:
        lines += ["", *_fit_lines(plan)]
    for title, section in (("models", _size_lines(plan)), ("ahead", _ahead_lines(plan))):
        lines += ["", title, *section] if section else []
    return lines


def _fit_lines(plan: SuitePlan) -> list[str]:
    """Returns lines on the devices, on how many cells fit, and on what the stages need."""
    fits = [shared.forecast.fit for shared in plan.todo if shared.forecast.fit is not None]
    hours = [fit.hours for fit in fits]
    known = [each for each in hours if each is not None]
    total = f"{hours_text(sum(known))} hours" if known else "an unknown time"
    more = f", and {len(hours) - len(known)} of unknown length" if len(known) < len(hours) else ""
    text = (
        f"{devices_line(plan.devices)}. GB is the most that a stage of the cell needs on a device. "
        f"Each stage once, one after another: {total}{more}."
    )
    return [*wrap(text, WIDEST), *stage_tables(plan)]


def _counts_line(plan: SuitePlan) -> str:
    counts = _counts(plan)
    shared = f" ({counts['shared']} shared)" if counts["shared"] else ""
    begun = f", {counts['started']} of them started" if counts["started"] else ""
    disk = f"; about {plan.disk / 1e9:.2g} GB on the disk" if plan.disk else ""
    return (
        f"{counts['cells']} cells, {counts['total']} stages of which {counts['distinct']} are "
        f"distinct{shared}: {counts['done']} in the store, {counts['to_do']} to do{begun}{disk}"
    )


def _counts(plan: SuitePlan) -> dict[str, int]:
    return {
        "cells": len(plan.plans),
        "total": plan.total,
        "distinct": len(plan.stages),
        "shared": sum(len(shared.cells) > 1 for shared in plan.stages),
        "done": len(plan.stages) - len(plan.todo),
        "to_do": len(plan.todo),
        "started": sum(shared.stage.state == "started" for shared in plan.todo),
    }


def _as_json(plan: SuitePlan) -> dict[str, Any]:
    return {
        "suite": plan.suite.name,
        "folder": str(plan.folder),
        "axes": {axis: list(names) for axis, names in plan.suite.matrix.axes.items()},
        "devices": devices_json(plan.devices),
        "counts": _counts(plan),
        "cells": [_cell(id_, made) for id_, made in plan.plans.items()],
        "stages": [_stage(shared) for shared in plan.stages],
    }


def _cell(id_: str, plan: Plan) -> dict[str, Any]:
    assert plan.spec.cell is not None
    return {
        "id": id_,
        "axes": dict(plan.spec.cell.axes),
        "run": plan.run_name,
        "stages": [
            {"id": s.id, "use": s.spec.resolved.name, "state": s.state, "folder": str(s.folder)}
            for s in plan.stages
        ],
    }


def _stage(shared: SharedStage) -> dict[str, Any]:
    stage = shared.stage
    return {
        "id": stage.id,
        "use": stage.spec.resolved.name,
        "state": stage.state,
        "folder": str(stage.folder),
        "cells": list(shared.cells),
        "parameters": _weights(shared),
        "size": dict(shared.forecast.size),
        "fit": fit_json(shared.forecast.fit),
        "ahead": dict(shared.ahead),
    }


def _weights(shared: SharedStage) -> int | None:
    return shared.forecast.weights if shared.stage.spec.component.produces == "model" else None


def _states(plan: Plan) -> list[str]:
    done = [stage.id for stage in plan.stages if stage.state == "done"]
    todo = [
        f"{stage.id} (started)" if stage.state == "started" else stage.id
        for stage in plan.stages
        if stage.state != "done"
    ]
    return [" ".join(done) or "-", " ".join(todo) or "-"]


def _size_lines(plan: SuitePlan) -> list[str]:
    """Returns one line for all models that have the same stage, weights and size."""
    alike: dict[tuple[str, str], list[SharedStage]] = {}
    for shared in plan.stages:
        if shared.stage.spec.component.produces == "model":
            weights = _weights(shared)
            texts = [] if weights is None else [f"{_many(weights)} weights"]
            # The plan of one spec shows the parts of the size; the weights are already in `texts`.
            labelled = shared.forecast.size.items()
            sizes = [(k, v) for k, v in labelled if k != "weights" or weights is None]
            texts += [f"{label} {text.partition(' (')[0]}" for label, text in sizes]
            if texts:
                alike.setdefault((shared.stage.id, ", ".join(texts)), []).append(shared)
    return _lines(alike, "models")


def _ahead_lines(plan: SuitePlan) -> list[str]:
    """Returns one line for all stages whose judges have the same work ahead."""
    alike: dict[tuple[str, str], list[SharedStage]] = {}
    for shared in plan.todo:
        text = ", ".join(f"{label} {amount}" for label, amount in shared.ahead.items())
        if text:
            alike.setdefault((shared.stage.id, text), []).append(shared)
    return _lines(alike, "stages")


def _lines(alike: Mapping[tuple[str, str], Sequence[SharedStage]], what: str) -> list[str]:
    return [
        hanging("  ", f"{id_} ({_cells(found, what)}): {text}")
        for (id_, text), found in alike.items()
    ]


def _cells(found: Sequence[SharedStage], what: str) -> str:
    cells = [cell for shared in found for cell in shared.cells]
    named = ", ".join(cells[:CELLS_SHOWN]) + (", ..." if len(cells) > CELLS_SHOWN else "")
    return named if len(found) == 1 else f"{len(found)} {what}: {named}"


def _many(weights: int) -> str:
    """Returns a number of weights in millions or billions.

    >>> _many(92_400), _many(1_400_000_000)
    ('0.0924M', '1.4B')
    """
    return f"{weights / 1e9:.3g}B" if weights >= 1e9 else f"{weights / 1e6:.3g}M"
