"""Describes the components of an installed distribution, as the index has them.

    python registry/components.py DISTRIBUTION      prints them as JSON

`check_entries.py` calls it in the environment of each entry.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from halo_core.plugins.describe import component_class, facts_of, options_of, summary_of
from halo_core.plugins.discovery import discover
from halo_core.plugins.entry_points import normalised
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import Registry


def described(distribution: str, registry: Registry) -> list[dict[str, Any]]:
    """Returns the components of a distribution, sorted by kind and name.

    Args:
        distribution: Its normalised name.
        registry: The installed plugins.
    """
    found = [r for r in registry.registrations if normalised(r.distribution) == distribution]
    return [_component(r) for r in sorted(found, key=lambda r: (r.kind, r.name))]


def _component(registration: Registration) -> dict[str, Any]:
    fields = {"kind": registration.kind, "name": registration.canonical}
    if registration.kind == "command":
        return {**fields, "summary": registration.help}
    component = component_class(registration)
    return {
        **fields,
        "summary": summary_of(component),
        **facts_of(component),
        "options": [asdict(option) for option in options_of(component)],
    }


if __name__ == "__main__":
    json.dump(described(sys.argv[1], discover()), sys.stdout)
