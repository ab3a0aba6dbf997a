"""Checks the distributions of the catalogue, each in an environment of its own.

    python registry/check_entries.py                        every entry, and the examples
    python registry/check_entries.py halo-exo halo-judge    these entries
    python registry/check_entries.py examples/plugins/*     these folders of projects

Each is installed next to halo and its built-in plugins, which come from wheels of this checkout. A
distribution of the checkout comes from its folder, every other one from its package index. Then
`halo check` runs. The result goes to `registry/checked/`, and into the index and the page with
`python registry/build.py`. The exit code is 1 if one cannot be installed or breaks
a rule, and 2 if an entry is wrong or there is none of a name.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from entries import CHECKED, FOLDER, read_entries
from environment import PARTS, ROOT, CommandError, Environment, build_wheels, run

from halo_core import __version__
from halo_core.errors import HaloError
from halo_core.plugins.entry_points import normalised
from halo_core.plugins.package_index import look_up
from halo_core.plugins.pip_calls import index_environment, pip_settings

EXAMPLES = ROOT / "examples" / "plugins"
LONGEST = 300
"""Number of characters of a reason that a record has."""


def check(
    distribution: str, wheels: Sequence[Path], folder: Path, *, index: str = "", versions: str = ""
) -> dict[str, Any]:
    """Installs a distribution in an environment of its own, and returns the record of its check.

    Args:
        distribution: Its normalised name.
        wheels: The wheels of halo, and that of the distribution if it is not on an index.
        folder: An empty folder for the environment.
        index: The address of its package index; empty for the one that pip uses.
        versions: The versions that may be installed.

    Raises:
        CommandError: When it cannot be installed, or registers no component.
        InstallError: When its index does not have it.
    """
    environment = Environment(folder, wheels)
    local = [w for w in wheels if normalised(w.name.partition("-")[0]) == distribution]
    files: dict[str, str] = {}
    if not local:
        found = look_up(f"{distribution}{versions}", index)
        files = {found.file: found.sha256} if found.sha256 else {}
        _install(environment, f"{distribution}=={found.version}", index, found.requires)
    listed = environment.call(str(FOLDER / "components.py"), distribution)
    components = json.loads(listed.stdout) if listed.returncode == 0 else []
    if not components:
        why = listed.stderr.strip() or "it has no entry point in the group 'halo'"
        raise CommandError(f"{distribution} registers no component: {why[-500:]}")
    return {
        "distribution": distribution,
        "version": _version(environment, distribution),
        "core": __version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
        **_rules(environment, distribution),
        "files": files,
        # The index has those of this checkout from the environment that builds it.
        "components": [] if local else components,
    }


def _install(environment: Environment, what: str, index: str, requires: Sequence[str]) -> None:
    """Installs a distribution of an index, and what it needs and this environment lacks."""
    inside = index_environment(index, pip_settings())
    pip = [sys.executable, "-m", "pip", "--python", str(environment.python), "install", "--quiet"]
    run([*pip, "--no-deps", "--only-binary", ":all:", what], inside)
    others = [text for text in requires if "extra ==" not in text]
    others = [text for text in others if not normalised(text).startswith("halo-core")]
    if others:
        environment.pip(*others)


def _version(environment: Environment, distribution: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    return environment.call("-c", code).stdout.strip()


def _rules(environment: Environment, distribution: str) -> dict[str, Any]:
    """Returns the number of rules of `halo check` by state, and the broken ones."""
    done = environment.call("-m", "halo_core.cli", "check", distribution, "--json")
    try:
        findings = json.loads(done.stdout)["findings"]
    except (ValueError, KeyError):
        raise CommandError(f"halo check {distribution}: {done.stderr[-1000:]}") from None
    states = Counter(finding["state"] for finding in findings)
    failures = [
        {key: finding[key][:LONGEST] for key in ("subject", "rule", "reason")}
        for finding in findings
        if finding["state"] == "fail"
    ]
    return {
        "rules": len(findings),
        "states": dict(sorted(states.items())),
        "broken": len(failures),
        "failures": failures,
    }


def store(record: dict[str, Any]) -> None:
    """Stores the record of a check, which replaces the last one."""
    CHECKED.mkdir(exist_ok=True)
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    (CHECKED / f"{record['distribution']}.json").write_text(text, encoding="utf-8")


def check_all(names: Sequence[str]) -> int:
    """Checks entries and folders of projects, prints a line for each, and returns the exit code.

    Args:
        names: Names of entries, or folders; every entry and the examples by default.
    """
    try:
        entries = {entry["distribution"]: entry for entry in read_entries()}
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    wanted = list(names) or [*entries, *(str(path) for path in sorted(EXAMPLES.glob("*/")))]
    unknown = [n for n in wanted if n not in entries and not (Path(n) / "pyproject.toml").is_file()]
    if unknown:
        print(f"{', '.join(unknown)}: neither an entry nor a project's folder", file=sys.stderr)
        return 2
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        own = build_wheels(Path(temporary, "wheels"), PARTS)
        for number, name in enumerate(wanted):
            place = Path(temporary, str(number))
            try:
                record = _checked(name, entries, own, place)
            except (CommandError, HaloError) as error:
                failed += 1
                print(f"{name}: FAILED\n{error}")
                continue
            finally:
                shutil.rmtree(place, ignore_errors=True)
            failed += bool(record["broken"])
            print(_line(record), flush=True)
            for failure in record["failures"]:
                print(f"  {failure['subject']}: {failure['rule']}: {failure['reason']}")
    return int(failed > 0)


def _checked(
    name: str, entries: dict[str, dict[str, Any]], own: list[Path], place: Path
) -> dict[str, Any]:
    if name in entries:
        entry = entries[name]
        record = check(name, own, place, index=entry.get("index", ""), versions=entry["versions"])
        store(record)
        return record
    # An example is not on an index, so it has no entry, and its record is only printed.
    (wheel,) = build_wheels(place.with_name(f"{place.name}-wheel"), [Path(name)])
    distribution = normalised(wheel.name.partition("-")[0])
    return check(distribution, [*own, wheel], place)


def _line(record: dict[str, Any]) -> str:
    states = ", ".join(f"{count} {state}" for state, count in record["states"].items())
    return (
        f"{record['distribution']} {record['version']}: {states} "
        f"(core {record['core']}, Python {record['python']}, {record['date']})"
    )


if __name__ == "__main__":
    sys.exit(check_all(sys.argv[1:]))
