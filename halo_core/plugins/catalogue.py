"""The public catalogue of plugins, installed or not: its entries, and the copies that are read.

Its source is the folder ``registry/`` of the repository. A wheel contains its generated index. If
``HALO_CATALOGUE`` names another index, `halo_core.plugins.fetched_catalogue` stores a copy of it.
"""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from halo_core import __version__
from halo_core.errors import UserError, error_text
from halo_core.plugins.builtin_names import KINDS
from halo_core.uri_credentials import without_credentials

SCHEMA = 1
VARIABLE = "HALO_CATALOGUE"
"""Environment variable with the address or the file of an index."""
DISTRIBUTION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
"""The names that a distribution of the catalogue may have. None of them is an option of pip."""


class CataloguedComponent(NamedTuple):
    """A component of a distribution in the catalogue.

    Attributes:
        kind: The kind, one of `halo_core.plugins.builtin_names.KINDS`.
        name: The name that specs use.
        summary: The first line of its documentation.
        citation: The paper that it is from; empty if it names none.
        options: The names of its options.
    """

    kind: str
    name: str
    summary: str
    citation: str = ""
    options: tuple[str, ...] = ()


class Checked(NamedTuple):
    """The last check of a distribution, in an environment of its own.

    Attributes:
        version: The version that was checked.
        core: The version of halo-core that it was checked with.
        date: The day, as ``YYYY-MM-DD``.
        broken: The number of rules that it broke; 0 if it passed.
        files: The checked files: the name and the sha256 of each.
    """

    version: str
    core: str
    date: str
    broken: int
    files: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        rules = "1 rule" if self.broken == 1 else f"{self.broken} rules"
        result = f"{rules} broken" if self.broken else "passed"
        return f"{self.version} with core {self.core} on {self.date}: {result}"


class Entry(NamedTuple):
    """A distribution in the catalogue.

    Attributes:
        distribution: Its name on the package index.
        version: The version whose components are listed.
        summary: A description in one line.
        homepage: The address of its project; empty if it names none.
        components: The components that it registers.
        license: An SPDX expression.
        versions: The versions that the entry is about, as ``>=1.2,<2``.
        index_url: The address of its package index; empty for the one that pip uses.
        checked: The last check; None before the first one.
    """

    distribution: str
    version: str
    summary: str
    homepage: str
    components: tuple[CataloguedComponent, ...]
    license: str = ""
    versions: str = ""
    index_url: str = ""
    checked: Checked | None = None


class Catalogue(NamedTuple):
    """The entries of one index.

    Attributes:
        date: The day on which its content changed last, as ``YYYY-MM-DD``.
        source: The origin of the index, in words.
        entries: The entries, sorted by distribution.
    """

    date: str
    source: str
    entries: tuple[Entry, ...]


def update_line(entry: Entry) -> str:
    """Returns the command that updates an installed distribution of the catalogue.

    ``pip install -U`` would ask pip's own indexes, where a distribution of somebody else may have
    the name of one that is on an index of its own.

    >>> update_line(Entry("halo-acme", "1.0", "Losses", "", ()))
    'pip install -U halo-acme'
    """
    name = entry.distribution
    if entry.index_url:
        return f"pip uninstall {name}, then halo plugins install {name}"
    return f"pip install -U {name}"


def known_catalogue() -> Catalogue:
    """Returns the catalogue that this machine has, without using the network.

    It is the file that ``HALO_CATALOGUE`` names, or the copy of the index at its address. If there
    is none, or it cannot be read, it is the index that came with this core.
    """
    named = os.environ.get(VARIABLE, "")
    if not named:
        return shipped_catalogue()
    is_file = "://" not in named
    file = os.path.expanduser(named) if is_file else copy_of(named)
    try:
        return read_index(file, named if is_file else f"copied from {without_credentials(named)}")
    except UserError:
        # Hints must not fail. The next command about the catalogue says what is wrong.
        return shipped_catalogue()


def shipped_catalogue() -> Catalogue:
    """Returns the catalogue that came with this core; an empty one if there is no file."""
    source = f"shipped with halo-core {__version__}"
    for file in _candidates():
        if os.path.isfile(file):
            return read_index(file, source)
    return Catalogue("", source, ())


def copy_of(address: str) -> str:
    """Returns the file for the copy of an index, in the user's cache folder.

    Args:
        address: The address or the file that ``HALO_CATALOGUE`` names.
    """
    from halo_core.hashing import short_hash

    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    name = short_hash(address)
    return os.path.join(cache, "halo", f"catalogue-{name}.json")


def read_index(file: str, source: str) -> Catalogue:
    """Returns the catalogue in an ``index.json``.

    Args:
        file: The file.
        source: Its origin, in words.

    Raises:
        UserError: When it cannot be read or is not the index of a catalogue.
    """
    try:
        with open(file, encoding="utf-8") as lines:
            return parse_index(lines.read(), source)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the catalogue cannot be read: {error}", location=file) from error


def parse_index(text: str, source: str) -> Catalogue:
    """Returns the catalogue in the text of an index.

    Args:
        text: JSON, as ``registry/build.py`` writes it.
        source: Its origin, in words.

    Raises:
        UserError: When it is not the index of a catalogue.
    """
    import json

    try:
        index = json.loads(text)
        if index["schema"] != SCHEMA:
            raise ValueError(f"its schema is {index['schema']!r}; this core reads {SCHEMA}")
        entries = tuple(_entry(entry) for entry in index["distributions"])
        return Catalogue(_text(index, "date"), source, entries)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(
            f"the catalogue is not an index as registry/build.py writes it: {error_text(error)}",
            location=source,
        ) from error


def _entry(entry: Any) -> Entry:
    name = _text(entry, "distribution")
    if not DISTRIBUTION.fullmatch(name):
        raise ValueError(f"{name!r} is not the normalised name of a distribution")
    return Entry(
        name,
        _text(entry, "version"),
        _text(entry, "summary"),
        _text(entry, "homepage"),
        tuple(_component(component) for component in entry["components"]),
        _text(entry, "license", ""),
        _text(entry, "versions", ""),
        _text(entry, "index", ""),
        _checked(entry["checked"]) if entry.get("checked") else None,
    )


def _component(component: Any) -> CataloguedComponent:
    if component["kind"] not in KINDS:
        raise ValueError(f"{component['kind']!r} is not a kind of component")
    return CataloguedComponent(
        component["kind"],
        _text(component, "name"),
        _text(component, "summary"),
        _text(component, "citation", ""),
        tuple(_text(option, "name") for option in component.get("options", ())),
    )


def _checked(checked: Any) -> Checked:
    return Checked(
        _text(checked, "version"),
        _text(checked, "core"),
        _text(checked, "date"),
        int(checked["broken"]),
        tuple((name, _text(checked["files"], name)) for name in checked.get("files", {})),
    )


def _text(fields: Any, name: str, default: str | None = None) -> str:
    value = fields[name] if default is None else fields.get(name, default)
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}; expected a text")
    return value


def _candidates() -> tuple[str, str]:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    checkout = os.path.join(os.path.dirname(package), "registry", "index.json")
    return os.path.join(package, "registry_index.json"), checkout
