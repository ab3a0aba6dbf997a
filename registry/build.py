"""Generates `registry/index.json` from the entries and the components of the installed plugins.

    python registry/build.py            write the index, the examples' schema, and pages of the docs
    python registry/build.py --check    exit with 1 if they would change

The names of the files that changed are printed. The components of a distribution that is not
installed come from its last check, which `check_entries.py` records.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blocks import pages_with_blocks
from catalogue_page import catalogue_page
from components import described
from entries import read_checked, read_entries
from formats_page import formats_page
from page import components_page
from trained_page import trained_page

from halo_core.plugins.discovery import discover
from halo_core.plugins.entry_points import normalised
from halo_core.plugins.registry import Registry
from halo_core.spec.json_schema import spec_schema

FOLDER = Path(__file__).parent
INDEX = FOLDER / "index.json"
REFERENCE = FOLDER.parent / "docs" / "reference"
PAGE = REFERENCE / "components.md"
CATALOGUE = REFERENCE / "catalogue.md"
FORMATS = REFERENCE / "formats.md"
SCHEMA = FOLDER.parent / "examples" / "halo.schema.json"
TRAINED = REFERENCE.parent / "explanation" / "what-is-trained.md"
_CHECKED = ("version", "core", "python", "date", "rules", "broken", "files")
"""The fields of the record of a check that the index has."""


def build_index(
    entries: Sequence[dict[str, Any]], registry: Registry, previous: dict[str, Any]
) -> dict[str, Any]:
    """Returns the index of some entries.

    Args:
        entries: Entries from `read_entries`.
        registry: The installed plugins.
        previous: The earlier index. Its date stays if nothing else changes.
    """
    distributions = [_with_components(entry, registry) for entry in entries]
    unchanged = previous.get("distributions") == distributions and "date" in previous
    date = previous["date"] if unchanged else datetime.now(UTC).date().isoformat()
    return {"schema": 1, "date": date, "distributions": distributions}


def _with_components(entry: dict[str, Any], registry: Registry) -> dict[str, Any]:
    name = entry["distribution"]
    record = read_checked(name)
    here = [r.version for r in registry.registrations if normalised(r.distribution) == name]
    components = described(name, registry) if here else record.get("components", [])
    checked = {key: record[key] for key in _CHECKED if key in record}
    return {
        "distribution": name,
        "version": here[0] if here else record.get("version", ""),
        "versions": entry["versions"],
        "summary": entry["summary"],
        "license": entry["license"],
        "homepage": entry.get("homepage", ""),
        "index": entry.get("index", ""),
        "checked": checked or None,
        "components": components,
    }


def main(arguments: Sequence[str]) -> int:
    """Writes or checks the index and the pages, and returns the exit code."""
    previous = json.loads(INDEX.read_text(encoding="utf-8"))
    registry = discover()
    try:
        entries = read_entries()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    index = build_index(entries, registry, previous)
    built_in = Registry([r for r in registry.registrations if registry.is_built_in(r)])
    files = {
        INDEX: json.dumps(index, indent=2, ensure_ascii=False) + "\n",
        PAGE: components_page(index),
        CATALOGUE: catalogue_page(index),
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
        if _read(file) != text:
            file.write_text(text, encoding="utf-8")
            print(file)
    return 0


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
