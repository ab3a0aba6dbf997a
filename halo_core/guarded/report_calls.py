"""Calls the method of a report: what it raises by accident, or gives back wrongly, is its fault."""

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
        PluginError: When it raises by accident, or gives back no file of the run's folder.
        HaloError: What it raises on purpose.
    """
    with blaming(report, "write"):
        path: object = report.write(run)
    if not (isinstance(path, Path) and path.is_relative_to(run) and path.is_file()):
        expected = f"expected the Path of a file that it wrote into {run}"
        raise plugin_error(report, "write", f"returned {path!r}; {expected}")
    return path
