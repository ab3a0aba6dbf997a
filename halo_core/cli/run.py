"""`halo run SPEC`: trains, samples and judges what the spec says."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from halo_core.cli.output import Output, output_options, workspace_option
from halo_core.cli.spec_options import parse_overrides, spec_options


@click.command()
@spec_options
@workspace_option
@click.option(
    "--again", multiple=True, metavar="STAGE", help="Compute a stage again, and what follows."
)
@output_options
def run(
    spec_file: str, overrides: Sequence[str], workspace: str, again: Sequence[str], output: Output
) -> None:
    """Run a spec: train, sample and judge; what is there already is not computed again.

    Ctrl-C keeps the state; the same command goes on from there. A second Ctrl-C stops at once.
    """
    from halo_core.plan import make_plan
    from halo_core.progress import stderr_progress
    from halo_core.runner import Runner, new_status
    from halo_core.spec.spec import load_spec
    from halo_core.stage import StopFlag
    from halo_core.store import open_workspace
    from halo_core.threads import patient_threads

    patient_threads()
    started = time.monotonic()
    spec = load_spec(Path(spec_file), parse_overrides(overrides))
    plan = make_plan(spec, open_workspace(workspace))
    status = new_status(plan)
    stop = StopFlag()
    runner = Runner(
        plan,
        status,
        progress=stderr_progress(),
        stop=stop,
        command=["halo", *sys.argv[1:]],
        say=lambda line: click.echo(line, err=True),
    )
    click.echo(f"run {plan.run_name}: {len(plan.stages)} stages", err=True)
    try:
        with _signals(stop):
            runner.run(again)
    except KeyboardInterrupt:
        stop.raise_interrupted("the same command goes on from what was saved before")
    finally:
        output.attach(**_as_json(status))
    if output.json:
        output.emit(_as_json(status))
    else:
        from halo_core.cli.summary import summary

        click.echo(summary(plan, status, time.monotonic() - started))


@contextmanager
def _signals(stop: Any) -> Iterator[None]:
    """Turns the first Ctrl-C or SIGTERM into a request to stop; a second Ctrl-C is one at once."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        click.echo(f"\n{name}: saving the state; once more to stop at once", err=True)
        stop.set(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _as_json(status: Any) -> dict[str, Any]:
    tracking = dict(status.tracking)
    return {
        "run": status.name,
        "folder": str(status.folder),
        "links": tracking.pop("links", {}),
        "mlflow_run_id": tracking.pop("mlflow_run_id", None),
        "tracking_uri": tracking.pop("tracking_uri", None),
        **tracking,
        "reports": [str(path) for path in status.reports],
        "stages": [
            {
                "id": stage.id,
                "use": stage.use,
                "folder": str(stage.folder),
                "status": stage.status,
                "metrics": dict(stage.metrics),
                "headline": stage.headline,
            }
            for stage in status.stages
        ],
    }
