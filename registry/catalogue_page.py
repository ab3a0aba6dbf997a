"""Writes the page of the docs that lists every component of the catalogue, and can be searched."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

_HEAD = """\
# The catalogue

`registry/build.py` generates this page from the catalogue of plugins of {date}; do not edit it.
`halo plugins search WORD` searches the newest catalogue. [Components and options](components.md)
describes each option.

`halo plugins install DISTRIBUTION` shows a distribution, and asks before pip installs it. A plugin
is code that runs with your rights: see [What is trusted](../explanation/what-is-trusted.md). The
built-in plugins come with `pip install "halo-core[all]"` too.

## Distributions

"""
_NAMES = {"data": "data source"}


def catalogue_page(index: Mapping[str, Any]) -> str:
    """Returns the page, in Markdown with a table in HTML, of an index."""
    entries = index["distributions"]
    rows = [
        _row(component, entry)
        for entry in entries
        for component in sorted(entry["components"], key=lambda c: (c["name"], c["kind"]))
    ]
    lines = [_HEAD.format(date=index["date"]), _distributions(entries), "\n## Components\n\n"]
    # `docs/javascripts/catalogue.js` adds the field for the search above the table.
    lines += ['<div class="catalogue">\n<table>\n<thead><tr>']
    lines += [f"<th>{title}</th>" for title in ("component", "kind", "description", "install")]
    lines += ["</tr></thead>\n<tbody>\n", *rows, "</tbody>\n</table>\n</div>\n"]
    return "".join(lines)


def _distributions(entries: list[Mapping[str, Any]]) -> str:
    lines = [
        "| distribution | description | versions | licence | last check |",
        "|---|---|---|---|---|",
    ]
    for entry in entries:
        name = entry["distribution"]
        linked = f"[{name}]({entry['homepage']})" if entry["homepage"] else name
        summary = entry["summary"].replace("|", "\\|")
        versions = f"`{entry['versions']}`"
        checked = _checked(entry)
        lines.append(f"| {linked} | {summary} | {versions} | {entry['license']} | {checked} |")
    return "\n".join(lines) + "\n"


def _row(component: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    kind = _NAMES.get(component["kind"], component["kind"].replace("_", " "))
    options = ", ".join(_code(option["name"]) for option in component.get("options", ()))
    about = [_prose(component["summary"])]
    if options:
        about.append(f"Options: {options}.")
    if component.get("citation"):
        about.append(f"<em>{_prose(component['citation'])}</em>")
    install = [
        _code(f"halo plugins install {entry['distribution']}"),
        f"{html.escape(entry['license'])}. {_checked(entry).capitalize()}.",
    ]
    cells = [_code(component["name"]), kind, "<br>".join(about), "<br>".join(install)]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"


def _checked(entry: Mapping[str, Any]) -> str:
    checked = entry["checked"]
    if not checked:
        return "not checked yet"
    broken = checked["broken"]
    result = f"{broken} of {checked['rules']} rules broken" if broken else "passed"
    return f"{checked['version']} with core {checked['core']} on {checked['date']}: {result}"


def _code(text: str) -> str:
    return f"<code>{html.escape(text)}</code>"


def _prose(text: str) -> str:
    """Returns a text as HTML, in which text between backticks is code."""
    return re.sub(r"(`+)([^`]+)\1", r"<code>\2</code>", html.escape(text))
