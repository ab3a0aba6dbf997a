"""Calls a report, and turns its unexpected errors and wrong results into errors that name it."""

from __future__ import annotations

from pathlib import Path

from halo_core.guarded.blame import blaming, plugin_error
from halo_core.tracker import Report


def written_by(report: Report, run: Path) -> Path:
    """Returns the file that a report wrote.

    Args:
        report: The report.
        run: The run's folder.

    Raises:
        PluginError: When it raises an unexpected error, or does not return a file in the run's
            folder.
        HaloError: When it raises one on purpose.
    """
    with blaming(report, "write"):
        path: object = report.write(run)
    if not (isinstance(path, Path) and path.is_relative_to(run) and path.is_file()):
        expected = f"expected the Path of a file that it wrote into {run}"
        raise plugin_error(report, "write", f"returned {path!r}; {expected}")
    return path
