"""Describes one component for `halo plugins show NAME`."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from halo_core.hashing import file_hash
from halo_core.plugins.describe import component_class, facts_of, options_of, summary_of
from halo_core.plugins.local_file import FILE_PREFIX
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import import_target

_WIDTH = 80


def component_fields(registration: Registration) -> dict[str, Any]:
    """Imports a component and returns all that is known about it.

    Raises:
        PluginError: When it cannot be imported or is not a component.
    """
    from halo_core.run.identity import source_hash

    in_file = registration.target.startswith(FILE_PREFIX)
    fields: dict[str, Any] = {
        "kind": registration.kind,
        "name": registration.target if in_file else registration.canonical,
        "distribution": registration.distribution,
        "version": registration.version,
        "origin": registration.origin,
        "target": registration.target,
        "source_hash": file_hash(Path(registration.origin))[:16]
        if in_file
        else source_hash(registration),
    }
    if registration.kind == "command":
        command: click.Command = import_target(registration)
        return {**fields, "summary": registration.help or command.get_short_help_str(), "facts": {}}
    component = component_class(registration)
    return {
        **fields,
        "summary": summary_of(component),
        "facts": facts_of(component),
        "options": [asdict(option) for option in options_of(component)],
    }


def component_text(fields: dict[str, Any]) -> str:
    """Returns these fields as text for people, in 80 columns."""
    head = [f"{fields['kind'].replace('_', ' ')} {fields['name']}", *_wrapped(fields["summary"])]
    facts = {
        "from": f"{fields['distribution']} {fields['version']}",
        **{name.replace("_", " "): _value(value) for name, value in fields["facts"].items()},
        "class": fields["target"],
        "origin": fields["origin"],
        "source hash": fields["source_hash"],
    }
    width = max(len(name) for name in facts)
    lines = [*head, ""]
    for name, value in facts.items():
        lines += _wrapped(value, first=f"{name:{width}}  ", rest=" " * (width + 2))
    for option in fields.get("options", ()):
        lines += ["", *_option_lines(option)]
    if fields.get("options") == []:
        lines += ["", "It has no options."]
    return "\n".join(lines)


def _option_lines(option: dict[str, Any]) -> list[str]:
    parts = [option["type"], option["constraint"]]
    given = "required" if option["required"] else f"default {json.dumps(option['default'])}"
    line = f"{option['name']}: {', '.join(part for part in [*parts, given] if part)}"
    return [*_wrapped(line, rest="    "), *_wrapped(option["description"], "    ", "    ")]


def _value(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
