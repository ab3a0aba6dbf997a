"""`halo plugins --available` and `halo plugins search`: what the catalogue has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halo_core.cli.output import Output
from halo_core.cli.terminal import table
from halo_core.plugins.catalogue import Catalogue, CataloguedComponent, Entry
from halo_core.plugins.entry_points import normalised
from halo_core.plugins.fetched_catalogue import newest_catalogue
from halo_core.plugins.registry import Registry


def say_available(output: Output, registry: Registry) -> None:
    """Lists the distributions of the catalogue that are not installed.

    Args:
        output: The output of the command.
        registry: The installed plugins.
    """
    catalogue = newest(output)
    here = _installed(registry)
    absent = [entry for entry in catalogue.entries if entry.distribution not in here]
    fields = [_entry_fields(entry) for entry in absent]
    output.emit({**_origin(catalogue), "available": fields})
    if not absent:
        output.say("Everything in the catalogue is installed. List it: halo plugins")
    for entry in absent:
        output.say(f"{entry.distribution} {entry.version}: {entry.summary}")
        for component in entry.components:
            output.say(f"  {component.kind:16} {component.name}")
        output.say(f"  {install_line(entry)}\n")
    output.say(_origin_line(catalogue))


def say_found(output: Output, registry: Registry, words: Sequence[str]) -> None:
    """Lists the components of the catalogue in which all words occur.

    The components that have all words themselves come before those whose distribution has one.

    Args:
        output: The output of the command.
        registry: The installed plugins.
        words: The words, in any case.
    """
    catalogue = newest(output)
    here = _installed(registry)
    found = [
        (entry, component)
        for entry in catalogue.entries
        for component in entry.components
        if _has_words([*_texts(component), entry.distribution, entry.summary], words)
    ]
    found.sort(key=lambda pair: not _has_words(_texts(pair[1]), words))
    rows = [
        {
            "kind": component.kind,
            "name": component.name,
            "summary": component.summary,
            "distribution": entry.distribution,
            "version": entry.version,
            "license": entry.license,
            "checked": str(entry.checked) if entry.checked else "",
            "installed": entry.distribution in here,
            "install": install_line(entry),
        }
        for entry, component in found
    ]
    output.emit({**_origin(catalogue), "words": list(words), "found": rows})
    if not rows:
        output.say(f"Nothing in the catalogue has {' and '.join(map(repr, words))}.")
    else:
        output.say(table(["kind", "name", "distribution", "here"], [_cells(row) for row in rows]))
        for entry in dict.fromkeys(entry for entry, _ in found):
            output.say(_entry_lines(entry, entry.distribution in here))
        output.say()
    output.say(_origin_line(catalogue))


def install_line(entry: Entry) -> str:
    """Returns the command that installs a distribution of the catalogue."""
    return f"halo plugins install {entry.distribution}"


def newest(output: Output) -> Catalogue:
    """Returns the newest catalogue, and warns if it is not the one that `HALO_CATALOGUE` names."""
    catalogue, warning = newest_catalogue()
    if warning:
        output.warn(f"the catalogue at {warning}. The one of {catalogue.date} is used")
    return catalogue


def _installed(registry: Registry) -> set[str]:
    here = [r.distribution for r in registry.registrations]
    here += [plugin.distribution for plugin in registry.broken]
    here += [absent.distribution for absent in registry.left_out]
    here += [plugin.distribution for plugin in registry.hooks_only]
    return {normalised(distribution) for distribution in here}


def _texts(component: CataloguedComponent) -> list[str]:
    kind = component.kind.replace("_", " ")
    return [kind, component.name, component.summary, component.citation, *component.options]


def _has_words(texts: Sequence[str], words: Sequence[str]) -> bool:
    text = "\n".join(texts).casefold()
    return all(word.casefold() in text for word in words)


def _cells(row: dict[str, Any]) -> list[str]:
    cells = [row["kind"], row["name"], row["distribution"]]
    return [*cells, "yes" if row["installed"] else "no"]


def _entry_lines(entry: Entry, installed: bool) -> str:
    checked = f"\n  checked: {entry.checked}" if entry.checked else "\n  not checked yet"
    install = "" if installed else f"\n  {install_line(entry)}"
    license = f" ({entry.license})" if entry.license else ""
    return f"\n{entry.distribution} {entry.version}: {entry.summary}{license}{checked}{install}"


def _entry_fields(entry: Entry) -> dict[str, Any]:
    return {
        "distribution": entry.distribution,
        "version": entry.version,
        "summary": entry.summary,
        "homepage": entry.homepage,
        "license": entry.license,
        "checked": str(entry.checked) if entry.checked else "",
        "install": install_line(entry),
        "components": [component._asdict() for component in entry.components],
    }


def _origin(catalogue: Catalogue) -> dict[str, str]:
    return {"date": catalogue.date, "source": catalogue.source}


def _origin_line(catalogue: Catalogue) -> str:
    return f"Catalogue of {catalogue.date or 'an unknown day'}, {catalogue.source}."
