"""Generates `registry/index.json` from the entries and the components of the installed plugins.

    python registry/build.py            write the index, the examples' schema, and pages of the docs
    python registry/build.py --check    exit with 1 if they would change

A distribution that is not installed keeps its earlier entry in the index.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonschema
from blocks import pages_with_blocks
from formats_page import formats_page
from page import components_page
from trained_page import trained_page

from halo_core.plugins.describe import component_class, facts_of, options_of, summary_of
from halo_core.plugins.discovery import discover
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import Registry
from halo_core.spec.json_schema import spec_schema

FOLDER = Path(__file__).parent
INDEX = FOLDER / "index.json"
REFERENCE = FOLDER.parent / "docs" / "reference"
PAGE = REFERENCE / "components.md"
FORMATS = REFERENCE / "formats.md"
SCHEMA = FOLDER.parent / "examples" / "halo.schema.json"
TRAINED = REFERENCE.parent / "explanation" / "what-is-trained.md"


def read_entries(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Returns the entries, sorted by distribution.

    Raises:
        ValueError: When an entry does not match the schema or the name of its file.
    """
    schema = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
    entries = []
    for file in sorted(folder.glob("*.toml")):
        entry = tomllib.loads(file.read_text(encoding="utf-8"))
        try:
            jsonschema.validate(entry, schema)
        except jsonschema.ValidationError as error:
            raise ValueError(f"{file.name}: {error.json_path}: {error.message}") from error
        if entry["distribution"] != file.stem:
            raise ValueError(f"{file.name}: is about {entry['distribution']!r}; expected one name")
        entries.append(entry)
    return entries


def build_index(
    entries: Sequence[dict[str, Any]], registry: Registry, previous: dict[str, Any]
) -> dict[str, Any]:
    """Returns the index of some entries.

    Args:
        entries: Entries from `read_entries`.
        registry: The installed plugins.
        previous: Earlier index, for distributions that are not installed.
    """
    before = {entry["distribution"]: entry for entry in previous["distributions"]}
    return {
        "schema": 1,
        "distributions": [
            _with_components(entry, registry, before.get(entry["distribution"], {}))
            for entry in entries
        ],
    }


def _with_components(
    entry: dict[str, Any], registry: Registry, before: dict[str, Any]
) -> dict[str, Any]:
    found = [r for r in registry.registrations if r.distribution == entry["distribution"]]
    return {
        "distribution": entry["distribution"],
        "version": found[0].version if found else before.get("version", ""),
        "summary": entry["summary"],
        "license": entry["license"],
        "homepage": entry.get("homepage", ""),
        "components": [_component(r) for r in sorted(found, key=lambda r: (r.kind, r.name))]
        if found
        else before.get("components", []),
    }


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


def main(arguments: Sequence[str]) -> int:
    """Writes or checks the index and the page, and returns the exit code."""
    previous = json.loads(INDEX.read_text(encoding="utf-8"))
    registry = discover()
    index = build_index(read_entries(), registry, previous)
    built_in = Registry([r for r in registry.registrations if registry.is_built_in(r)])
    files = {
        INDEX: json.dumps(index, indent=2, ensure_ascii=False) + "\n",
        PAGE: components_page(index),
        FORMATS: formats_page(),
        TRAINED: trained_page(),
        SCHEMA: json.dumps(spec_schema(built_in), indent=1, ensure_ascii=False) + "\n",
        **pages_with_blocks(),
    }
    if "--check" in arguments:
        old = [file for file, text in files.items() if _read(file) != text]
        for file in old:
            print(f"{file} is out of date: python registry/build.py", file=sys.stderr)
        return int(bool(old))
    for file, text in files.items():
        file.write_text(text, encoding="utf-8")
        print(file)
    return 0


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
