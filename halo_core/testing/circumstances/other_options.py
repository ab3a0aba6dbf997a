"""Runs a stage, and writes a report, with other legal values of their options."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from halo_core.guarded.report_calls import written_by
from halo_core.stage import Stage
from halo_core.testing.circumstances.told import stage_told
from halo_core.testing.made_runs import make_run, with_equal_numbers, with_second_stage
from halo_core.testing.options.option_effects import advise_unused
from halo_core.testing.options.option_refusals import check_other_values
from halo_core.testing.processes.effects import effects
from halo_core.testing.run_texts import with_texts
from halo_core.tracker import Report
from halo_core.workspace.layout import Workspace


def check_stage_options(stage: Stage) -> None:
    """Runs a stage on the inputs of the kit with another value of each option.

    It advises if an option changes neither the output nor a metric.

    Args:
        stage: The stage.

    Raises:
        AssertionError: When a run raises anything but an error of halo.
        NotTriedError: When a run takes too long.
    """

    def told(each: Stage) -> Mapping[str, str]:
        return stage_told(each, Path())

    if check_other_values(stage, told, "run()"):
        # Two other values together may be refused. The changes of the stage are set back.
        with suppress(Exception), effects(starts=True, imports=True):
            advise_unused(stage, told, "the output or a metric of run()", near=True)


def check_report_options(report: Report, folder: Path) -> None:
    """Writes the page of a run with another value of each option.

    It advises if an option does not change the page of this run, which has samples.

    Args:
        report: The report.
        folder: An empty folder, which becomes the workspace.

    Raises:
        AssertionError: When write() raises anything but an error of halo.
        NotTriedError: When a page takes too long.
    """
    run = make_run(Workspace(folder.resolve()), "a")
    with_second_stage(run)
    with_equal_numbers(run)
    with_texts(run, report)
    before = {*run.rglob("*")}

    def told(each: Report) -> bytes:
        try:
            return written_by(each, run).read_bytes()
        finally:
            for path in sorted({*run.rglob("*")} - before, reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()

    if check_other_values(report, told, "write()"):
        with suppress(Exception), effects(starts=True, imports=True):
            advise_unused(report, told, "the page that write() makes", near=True)


__all__ = ["check_report_options", "check_stage_options"]
