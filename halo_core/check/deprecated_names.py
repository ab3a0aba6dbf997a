"""Finds the deprecated names of halo that a plugin uses."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator

from halo_core.check.findings import Finding
from halo_core.deprecation import uses
from halo_core.plugins.entry_points import Announcement
from halo_core.plugins.registrar import Registration


def deprecated_names(
    distributions: Iterable[Announcement], registrations: Iterable[Registration]
) -> Iterator[Finding]:
    """Yields a warning for each line of some distributions that uses a deprecated name.

    Only code that was imported counts: the modules of the plugins and of their components.

    Args:
        distributions: The distributions.
        registrations: All components.
    """
    listed = list(registrations)
    for plugin in distributions:
        targets = [r.target for r in listed if r.distribution == plugin.distribution]
        tops = {
            target.partition(":")[0].partition(".")[0] for target in (*plugin.modules, *targets)
        }
        folders = tuple(place for top in sorted(tops) for place in _places(top))
        found = [use for use in uses if use.file.startswith(folders)]
        for use in found:
            place = f"{use.file}:{use.line}"
            yield Finding(plugin.distribution, "deprecated-names", "warn", use.text, place)
        if not found:
            yield Finding(plugin.distribution, "deprecated-names", "pass")


def _places(top: str) -> list[str]:
    """Returns the folders or the file of a top-level module."""
    spec = importlib.util.find_spec(top)
    if spec is None:
        return []
    folders = [os.path.join(folder, "") for folder in spec.submodule_search_locations or ()]
    return folders or [spec.origin or top]
