"""`halo plan SPEC`: shows the stages, finished results, rows and conversions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from halo_core.cli.local_path import LocalPath
from halo_core.cli.options import (
    RunRequest,
    cell_option,
    parse_overrides,
    refuse_for_spec,
    spec_options,
)
from halo_core.cli.output import Output, output_options, workspace_option

if TYPE_CHECKING:
    from halo_core.devices import Devices
    from halo_core.fit import Fit
    from halo_core.run.plan import Plan, PlannedStage
    from halo_core.spec.data_sets import SetSpec
    from halo_core.stage import Forecast


@click.command()
@spec_options
@workspace_option
@cell_option
@click.option(
    "--export",
    type=LocalPath(dir_okay=False),
    metavar="FILE",
    help="Write a suite's plan as JSON: the command of each cell, and the cells it waits for.",
)
@click.option(
    "--devices",
    metavar="DEVICES",
    help="Plan for these devices of each machine, as in 8x80GB or 8xH100. By default, the GPUs of "
    "this machine, or 8x80GB as an example if it has none.",
)
@click.option(
    "--tflops",
    type=click.FloatRange(min=0, min_open=True),
    help="The peak of each device in dense bfloat16, in 1e12 operations per second. By default, "
    "that of the named GPU, or of an A100.",
)
@output_options
def plan(
    spec_file: str,
    overrides: Sequence[str],
    workspace: str,
    cells: Sequence[str],
    export: str | None,
    devices: str | None,
    tflops: float | None,
    output: Output,
) -> None:
    """Show what a run would do: stages, finished results, rows, conversions, sizes, what fits."""
    request = RunRequest(Path(spec_file), parse_overrides(overrides), workspace, cells)
    show_plan(request, export, output, chosen_devices(devices, tflops))


def chosen_devices(asked: str | None, tflops: float | None) -> Devices:
    """Returns the devices that a plan is made for.

    Args:
        asked: The option ``--devices``, if given.
        tflops: The option ``--tflops``, if given.

    Raises:
        UserError: When the option describes no devices.
    """
    if asked is not None:
        from halo_core.devices import parse_devices

        return parse_devices(asked, tflops)
    from halo_core.run.devices_here import devices_here

    here = devices_here()
    return here if tflops is None else replace(here, tflops=tflops)


def show_plan(
    request: RunRequest, export: str | None, output: Output, devices: Devices | None = None
) -> None:
    """Shows the plan of a spec or a suite, with the cost of its judges.

    Args:
        request: The spec or suite to plan.
        export: The file to write the plan of a suite to, if any.
        output: The command's output.
        devices: The devices to plan for. By default those of this machine.

    Raises:
        UserError: When the spec has mistakes, or an option is for suites only.
    """
    devices = devices or chosen_devices(None, None)
    # A plan needs no workspace that can be written to. It keeps its rows there if it can.
    with TemporaryDirectory() as folder:
        request = replace(request, spare=Path(folder))
        if request.is_suite():
            from halo_core.cli.plan_suite import plan_suite

            plan_suite(request, export, output, devices)
            return
        refuse_for_spec(cell=request.cells, export=export)
        _plan_spec(request, output, devices)


def _plan_spec(request: RunRequest, output: Output, devices: Devices) -> None:
    from halo_core.cli.plan_fit import devices_json, devices_line
    from halo_core.run.forecast import disk_needed, disk_warning, forecasts
    from halo_core.run.look_ahead import check_plan, rows_at_hand

    made = request.plan()
    # Rows come first: a stage needs their number to estimate its duration.
    data = {stage.id: _sets(made, stage) for stage in made.stages}
    check_plan(made, rows_at_hand(made), output.warn)
    forecast_of = forecasts(made, devices=devices)
    stages = [_stage(made, stage, data[stage.id], forecast_of[stage.id]) for stage in made.stages]
    needed = disk_needed((stage, forecast_of[stage.id]) for stage in made.stages)
    warning = disk_warning(needed, made.workspace.root)
    if warning is not None:
        output.warn(warning)
    if output.json:
        output.emit(
            {
                "run": made.run_name,
                "folder": str(made.run_folder),
                "rounds": _rounds(made),
                "devices": devices_json(devices),
                "stages": stages,
                "disk": {"needed": needed, "fits": warning is None},
            }
        )
        return
    output.say(f"run {made.run_name} in {made.workspace.root}")
    if (rounds := made.spec.rounds) is not None:
        round_of = f"{rounds.n} round{'s' * (rounds.n > 1)} of {', '.join(rounds.stages)}"
        output.say(f"{round_of}; the first starts from {rounds.start}")
    if any(stage["fit"] for stage in stages):
        output.say(devices_line(devices))
    for planned, stage in zip(made.stages, stages, strict=True):
        for line in _lines(stage, forecast_of[planned.id].fit):
            output.say(line)


def _rounds(made: Plan) -> dict[str, Any] | None:
    rounds = made.spec.rounds
    if rounds is None:
        return None
    return {"n": rounds.n, "stages": list(rounds.stages), "from": rounds.start}


def _sets(made: Plan, stage: PlannedStage) -> dict[str, Any]:
    return {option: _set(made, data) for option, data in stage.spec.data.items()}


def _stage(
    made: Plan, stage: PlannedStage, data: dict[str, Any], forecast: Forecast
) -> dict[str, Any]:
    from halo_core.cli.plan_fit import fit_json
    from halo_core.run.forecast import what_changed
    from halo_core.run.silent_end import silent_end

    ahead = {} if stage.state == "done" else dict(forecast.ahead)
    if forecast.disk and stage.state != "done":
        ahead["disk"] = f"about {forecast.disk / 1e9:.2g} GB"
    return {
        "id": stage.id,
        "use": stage.spec.resolved.name,
        "state": stage.state,
        "silent_end": silent_end(stage.folder) if stage.state == "started" else None,
        "folder": str(stage.folder),
        "takes": {**stage.spec.models, **stage.spec.inputs},
        "options": {k: v for k, v in stage.spec.resolved.tree().items() if k != "use"},
        "data": data,
        "size": {**forecast.size, **ahead},
        "fit": fit_json(forecast.fit),
        "changed": what_changed(made.workspace, stage) if stage.state == "new" else [],
    }


def _set(made: Plan, data: SetSpec) -> dict[str, Any]:
    from halo_core.errors import DataError, HaloError
    from halo_core.run.materialise import materialise

    sources = []
    for source in data.sources:
        described: dict[str, Any] = {"use": source.resolved.name, "split": source.split}
        described["feedback"] = source.info.feedback
        described["inserted"] = source.converted
        described["read_as"] = list(source.remarks)
        try:
            if source.info.digest is None:
                raise DataError(
                    "the source tells no digest here: it cannot be reached, or it has none"
                )
            rows = materialise(source, made.workspace)
        except HaloError as error:
            described |= {"rows": None, "dropped": {}, "unknown": error.message}
            described |= {"ignored_columns": {}, "passed_over": list(source.info.passed_over)}
        else:
            described |= {"rows": rows.count, "dropped": dict(rows.dropped)}
            described["ignored_columns"] = dict(rows.ignored)
            described["passed_over"] = list(rows.passed_over)
        sources.append(described)
    return {"name": data.name, "sources": sources}


def _lines(stage: dict[str, Any], fit: Fit | None) -> list[str]:
    from halo_core.cli.plan_fit import fit_lines
    from halo_core.run.unread import unread_lines

    state = {"done": "in the store", "started": "started, will continue", "new": "to do"}
    lines = ["", f"{stage['id']}: {stage['use']}, {state[stage['state']]}"]
    if stage["silent_end"]:
        lines.append(f"  {'last time':<12} {stage['silent_end']}")
    for option, name in stage["takes"].items():
        lines.append(f"  {option:<12} {name}")
    for option, data in stage["data"].items():
        for source in data["sources"]:
            lines.append(f"  {option:<12} {data['name']}: {_source(source)}")
            unread = unread_lines(source["ignored_columns"], source["passed_over"])
            lines += [f"  {'':<12} {line}" for line in (*source["read_as"], *unread)]
    size = list(stage["size"].items())
    for name, text in [*size, *([] if fit is None else fit_lines(fit))]:
        lines.append(f"  {name:<12} {text}")
    if stage["changed"]:
        lines.append("  differences from the most similar result in the store:")
        lines += [f"    {change}" for change in stage["changed"]]
    return lines


def _source(source: dict[str, Any]) -> str:
    if source["rows"] is None:
        text = f"{source['use']}, rows unknown: {source['unknown']}"
    else:
        text = f"{source['use']}, {source['rows']} rows of {source['feedback']} feedback"
    dropped = "".join(f", {n} dropped: {reason}" for reason, n in source["dropped"].items())
    inserted = f" (conversion inserted: {source['inserted']})" if source["inserted"] else ""
    return f"{text}{dropped}{inserted}"
