"""Reads the entries of the catalogue, and says what is wrong with one in one line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from halo_core.plugins.registrar import namespace

FOLDER = Path(__file__).parent
CHECKED = FOLDER / "checked"
"""The folder with the last check of each distribution, which `check_entries.py` writes."""


def read_entries(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Returns the entries, sorted by distribution.

    Raises:
        ValueError: When an entry is not TOML, is not as the schema says, is not in the file of its
            name, or shares its namespace with another one.
    """
    entries: list[dict[str, Any]] = []
    owners: dict[str, str] = {}
    for file in sorted(folder.glob("*.toml")):
        try:
            entry = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{file.name}: {' '.join(str(error).split())}") from error
        if mistake := mistake_of(entry):
            raise ValueError(f"{file.name}: {mistake}")
        if entry["distribution"] != file.stem:
            raise ValueError(
                f"{file.name}: distribution is {entry['distribution']!r}; expected {file.stem!r}, "
                "the name of the file"
            )
        name = namespace(entry["distribution"])
        if name in owners:
            raise ValueError(
                f"{file.name}: {owners[name]} has the namespace {name!r} too, so the names of "
                "their components would be ambiguous"
            )
        owners[name] = entry["distribution"]
        entries.append(entry)
    return entries


def mistake_of(entry: Mapping[str, Any]) -> str:
    """Returns what is wrong with an entry, in one line; empty if nothing is.

    Args:
        entry: The content of its file.
    """
    schema = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
    error = next(iter(jsonschema.Draft202012Validator(schema).iter_errors(entry)), None)
    if error is not None:
        place = error.json_path.removeprefix("$").lstrip(".")
        wanted = error.schema.get("description", "") if error.validator == "pattern" else ""
        expected = f"; expected: {wanted}" if wanted else ""
        return " ".join(f"{f'{place}: ' if place else ''}{error.message}{expected}".split())
    if "\n" in entry["summary"]:
        return "summary: it has several lines; expected one"
    try:
        canonicalize_license_expression(entry["license"])
    except InvalidLicenseExpression:
        return (
            f"license: {entry['license']!r} is not an SPDX expression; expected, for example, "
            "Apache-2.0, MIT or LicenseRef-Acme"
        )
    try:
        SpecifierSet(entry["versions"])
    except InvalidSpecifier:
        return f"versions: {entry['versions']!r} is not a range; expected, for example, >=1.2,<2"
    return ""


def read_checked(distribution: str) -> dict[str, Any]:
    """Returns the record of the last check of a distribution; empty if it was never checked."""
    file = CHECKED / f"{distribution}.json"
    if not file.is_file():
        return {}
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def entry_text(entry: Mapping[str, Any]) -> str:
    """Returns the TOML of an entry.

    Args:
        entry: Texts and lists of texts by key.
    """
    # JSON's strings and lists of strings are TOML's too.
    return "".join(f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in entry.items() if v)
