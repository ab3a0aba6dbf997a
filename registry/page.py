"""Writes the page of the docs that lists every component and option in the catalogue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from halo_core.plugins.describe import FACTS

_TITLES = {
    "loss": "Losses",
    "reference_point": "Reference points",
    "reference_update": "Reference updates",
    "data": "Data sources",
    "judge": "Judges",
    "stage": "Stages",
    "tracker": "Trackers",
    "report": "Reports",
    "command": "Commands",
}

_HEAD = """\
# Components and options

`registry/build.py` generates this page from the catalogue; do not edit it. In a spec, a component
is `NAME` or `{use: NAME, option: value}`. `halo plugins show NAME` prints the same information.
"""


def components_page(index: Mapping[str, Any]) -> str:
    """Returns the page, in Markdown, of an index."""
    found = [
        (component, entry["distribution"])
        for entry in index["distributions"]
        for component in entry["components"]
    ]
    parts = [_HEAD]
    for kind, title in _TITLES.items():
        parts.append(f"## {title}\n")
        for component, distribution in sorted(found, key=lambda pair: str(pair[0]["name"])):
            if component["kind"] == kind:
                parts.append(_section(component, distribution))
    return "\n".join(parts)


def _section(component: Mapping[str, Any], distribution: str) -> str:
    lines = [f"### {component['name']}\n", f"{_escaped(component['summary'])}\n"]
    facts = {"in": distribution}
    for name in FACTS:
        if name in component:
            value = component[name]
            text = ", ".join(value) if isinstance(value, list) else value
            facts[name.replace("_", " ")] = text
    lines.append(". ".join(f"*{name}* {_escaped(text)}" for name, text in facts.items()) + ".\n")
    if component.get("options"):
        lines += ["| option | type | default | |", "|---|---|---|---|"]
        lines += [_row(option) for option in component["options"]]
        lines.append("")
    return "\n".join(lines)


def _row(option: Mapping[str, Any]) -> str:
    kind = _code(", ".join(part for part in (option["type"], option["constraint"]) if part))
    default = "required" if option["required"] else _code(json.dumps(option["default"]))
    cells = [_code(option["name"]), kind, default, _escaped(option["description"])]
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _escaped(text: str) -> str:
    """Returns a text in which only pairs of backticks have a meaning."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return _plain(text)
    # Text between backticks is shown unchanged, with its backslashes.
    return "`".join(
        part.replace("|", "\\|") if place % 2 else _plain(part) for place, part in enumerate(parts)
    )


def _plain(text: str) -> str:
    for character in "\\|<>*_[]":
        text = text.replace(character, "\\" + character)
    return text
