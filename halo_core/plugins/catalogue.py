"""The public catalogue of plugins, installed or not.

Its source is the folder ``registry/`` of the repository. A wheel contains its generated index.
"""

from __future__ import annotations

import functools
import os
from typing import NamedTuple


class CataloguedComponent(NamedTuple):
    """A component of a distribution in the catalogue.

    Attributes:
        kind: The kind, one of `halo_core.plugins.builtin_names.KINDS`.
        name: The name that specs use.
        summary: The first line of its documentation.
    """

    kind: str
    name: str
    summary: str


class Entry(NamedTuple):
    """A distribution in the catalogue.

    Attributes:
        distribution: Its name on the package index.
        version: The version that the entry describes.
        summary: A description in one line.
        homepage: The address of its project.
        components: The components that it registers.
    """

    distribution: str
    version: str
    summary: str
    homepage: str
    components: tuple[CataloguedComponent, ...]


@functools.cache
def catalogue() -> tuple[Entry, ...]:
    """Returns the entries of this core's catalogue; none if there is no file."""
    for file in _candidates():
        if os.path.isfile(file):
            return read_index(file)
    return ()


def read_index(file: str) -> tuple[Entry, ...]:
    """Returns the entries of an ``index.json``."""
    import json

    with open(file, encoding="utf-8") as lines:
        index = json.load(lines)
    return tuple(
        Entry(
            entry["distribution"],
            entry["version"],
            entry["summary"],
            entry["homepage"],
            tuple(
                CataloguedComponent(c["kind"], c["name"], c["summary"]) for c in entry["components"]
            ),
        )
        for entry in index["distributions"]
    )


def _candidates() -> tuple[str, str]:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    checkout = os.path.join(os.path.dirname(package), "registry", "index.json")
    return os.path.join(package, "registry_index.json"), checkout
