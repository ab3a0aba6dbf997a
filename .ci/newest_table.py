"""Writes the table of `.ci/newest`: the versions that were tried, and what broke.

python .ci/newest_table.py build/newest
python .ci/newest_table.py --newest torch
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
LINES = 12
"""Largest number of lines that are shown of what failed."""


def newest(name: str) -> str:
    """Returns the newest release of a distribution on the index, without its local part."""
    command = [sys.executable, "-m", "pip", "index", "versions", name]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"\((\d[^)+]*)", said)
    if found is None:
        raise SystemExit(f"the index has no release of {name}")
    return found[1]


def requirements() -> dict[str, str]:
    """Returns the range of each distribution that halo depends on, from all pyproject files."""
    ranges: dict[str, set[str]] = {}
    for file in (ROOT / "pyproject.toml", *ROOT.glob("*/*/pyproject.toml")):
        project = tomllib.loads(file.read_text())["project"]
        more = project.get("optional-dependencies", {}).values()
        for text in (*project.get("dependencies", ()), *(text for texts in more for text in texts)):
            requirement = Requirement(text)
            if not requirement.name.startswith("halo-"):
                ranges.setdefault(requirement.name.lower(), set()).add(str(requirement.specifier))
    return {name: " and ".join(sorted(filter(None, found))) for name, found in ranges.items()}


def pinned() -> dict[str, str]:
    """Returns the versions that are developed with."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if "==" in line)
    return {name.lower().replace("_", "-"): version for name, version in pairs}


def installed(name: str) -> str:
    """Returns the installed version of a distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def versions() -> str:
    """Returns the table of versions."""
    known = pinned()
    lines = ["| distribution | allowed | developed with | tried |", "|---|---|---|---|"]
    for name, allowed in sorted(requirements().items()):
        ours = known.get(name.replace("_", "-"), "")
        lines.append(f"| {name} | `{allowed or 'any'}` | {ours} | {installed(name)} |")
    return "\n".join(lines)


def results(folder: Path) -> str:
    """Returns what was tried, with the last lines of what failed."""
    parts = []
    for file in sorted(folder.glob("*.result")):
        log = (folder / f"{file.stem}.log").read_text(errors="replace").strip().splitlines()
        failed = [line for line in log if line.startswith(("FAILED", "ERROR"))]
        last = log[-1] if log else "done"
        if file.read_text() == "0":
            parts.append(f"* {file.stem}: works. {last}")
        else:
            shown = "\n".join((failed or log)[-LINES:])
            parts.append(f"* {file.stem}: broken. {last}\n\n```\n{shown}\n```")
    return "\n".join(parts)


def main() -> None:
    """Prints a version or the tables."""
    if sys.argv[1] == "--newest":
        print(newest(sys.argv[2]))
        return
    print(f"{versions()}\n\n{results(Path(sys.argv[1]))}")


if __name__ == "__main__":
    main()
