"""About how many rows a data set has, without reading any of it."""

from __future__ import annotations

from halo_core.blame import blaming, plugin_error
from halo_core.identity import digest, source_identity
from halo_core.spec.sources import SetSpec, Source
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import DATA


def about_rows(data: SetSpec, workspace: Workspace) -> int | None:
    """Returns the rows of a set, counted where they are on disk; None where a source is unknown.

    Args:
        data: The set.
        workspace: Where its rows would be.
    """
    counts = [_source_rows(source, workspace) for source in data.sources]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _source_rows(source: Source, workspace: Workspace) -> int | None:
    if source.info.digest is not None:
        record = DATA.read(workspace.data(digest(source_identity(source))))
        if record is not None:
            return record["rows"]
    about = _about(source)
    if about is None or source.part is None:
        return about
    share = source.part.fraction if source.part.side == "held" else 1 - source.part.fraction
    return round(about * share)


def _about(source: Source) -> int | None:
    component = source.component
    with blaming(component, "about_rows"):
        about: object = component.about_rows(source.split)
    if about is None or (isinstance(about, int) and not isinstance(about, bool) and about >= 0):
        return about
    what = f"returned {about!r}; expected a number of rows, or None"
    raise plugin_error(component, "about_rows", what)
