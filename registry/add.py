"""Adds a distribution to the catalogue: its entry, its check, and its rows on the page.

    python registry/add.py halo-exo
    python registry/add.py halo-exo --versions ">=0.2,<1" --index https://example.org/simple

Run it in a clone, with the development environment. The metadata come from pip, so it works with
every package index. A distribution that no index has is refused, and so is one that registers no
component. If it breaks a rule of `halo check`, the entry stays, and the page says so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import build
from check_entries import check, store
from entries import CHECKED, FOLDER, entry_text, mistake_of, read_entries
from environment import PARTS, CommandError, build_wheels
from packaging.version import Version

from halo_core.errors import HaloError
from halo_core.plugins.catalogue import DISTRIBUTION
from halo_core.plugins.entry_points import normalised
from halo_core.plugins.package_index import Found, look_up


def new_entry(found: Found, options: argparse.Namespace) -> dict[str, Any]:
    """Returns the entry of a distribution.

    Args:
        found: Its metadata.
        options: The options of the command, which replace what the metadata say.

    Raises:
        ValueError: When the metadata lack something, or do not fit an entry.
    """
    entry = {
        "distribution": normalised(found.distribution),
        "summary": options.summary or found.summary,
        "license": options.license or found.license,
        "versions": options.versions or _versions(found.version),
        "homepage": found.homepage,
        "index": options.index,
    }
    entry = {key: value for key, value in entry.items() if value}
    if mistake := mistake_of(entry):
        raise ValueError(
            f"{found.distribution} {found.version}: {mistake}. Correct its metadata, or give "
            "--summary, --license or --versions"
        )
    return entry


def named(options: argparse.Namespace) -> str:
    """Returns the normalised name of the distribution.

    Everything that was given is checked here, before an index is asked. Otherwise pip would look
    for the distribution ``halo-exo2`` if the versions of halo-exo were given as ``2``.

    Args:
        options: The options of the command.

    Raises:
        ValueError: When the name is not one, or an option does not fit an entry.
    """
    name = normalised(options.distribution)
    if not DISTRIBUTION.fullmatch(name):
        raise ValueError("expected the name of a distribution alone; --versions takes a range")
    draft = {
        "distribution": name,
        "summary": options.summary or "Its metadata say it",
        "license": options.license or "MIT",
        "versions": options.versions or ">=0",
    }
    if mistake := mistake_of({**draft, "index": options.index} if options.index else draft):
        raise ValueError(mistake)
    return name


def _versions(version: str) -> str:
    """Returns the range from a version to the next major one, which may break what it promises."""
    return f">={version},<{Version(version).major + 1}"


def add(options: argparse.Namespace) -> None:
    """Adds an entry with its check, and builds the index and the pages.

    Args:
        options: The options of the command.

    Raises:
        ValueError: When there is such an entry, or what was given or found does not fit one.
        CommandError: When it cannot be installed, or registers no component.
        InstallError: When no index has it.
    """
    name = named(options)
    file = FOLDER / f"{name}.toml"
    if file.exists():
        raise ValueError(
            f"{file.name} exists; to check it again: python registry/check_entries.py {name}"
        )
    found = look_up(f"{name}{options.versions}", options.index)
    entry = new_entry(found, options)
    file.write_text(entry_text(entry), encoding="utf-8")
    print(f"{file}\n{found.distribution} {found.version} from {found.index_url}")
    print("It is checked now, for some minutes")
    try:
        read_entries()
        with tempfile.TemporaryDirectory() as temporary:
            wheels = build_wheels(Path(temporary, "wheels"), PARTS)
            place = Path(temporary, "environment")
            record = check(name, wheels, place, index=options.index, versions=entry["versions"])
    except BaseException:
        file.unlink()
        raise
    store(record)
    print(f"{CHECKED / name}.json: {record['rules']} rules, {record['broken']} broken")
    for failure in record["failures"]:
        print(f"  {failure['subject']}: {failure['rule']}: {failure['reason']}")


def main(arguments: Sequence[str]) -> int:
    """Adds an entry, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="registry/add.py", description=__doc__.partition("\n")[0])
    parser.add_argument("distribution", help="its name on the package index")
    parser.add_argument("--versions", default="", help="a range, as in a requirement")
    parser.add_argument("--index", default="", help="its package index, if pip does not use it")
    parser.add_argument("--license", default="", help="an SPDX expression, if it states none")
    parser.add_argument("--summary", default="", help="one line, if it has none that fits")
    options = parser.parse_args(arguments)
    try:
        add(options)
    except (ValueError, CommandError, HaloError) as error:
        print(f"{options.distribution}: {error}", file=sys.stderr)
        return 2
    return build.main([])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
