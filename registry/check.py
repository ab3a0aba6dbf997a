"""Checks packages of plugins as their authors would: built, installed, tested, linted.

    python registry/check.py                     every kind that `halo new` writes, and others
    python registry/check.py --write             write the table to docs/evidence/plugin-packages.md
    python registry/check.py --project FOLDER    the package in a folder

Each package gets an `Environment` of its own with halo's wheels. Nothing is downloaded.
`check_entries.py` checks the entries of the catalogue, which have no tests here.
"""

from __future__ import annotations

import argparse
import email
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from environment import PARTS, ROOT, CommandError, Environment, build_wheels, run

from halo_core.new.kinds import KINDS
from halo_core.new.names import parts_of
from halo_core.new.package import Plan, package_files
from halo_core.new.write import write_package

PAGE = ROOT / "docs" / "evidence" / "plugin-packages.md"
GUIDE = ROOT / "docs" / "how-to" / "write-a-plugin.md"
STRANGERS = ROOT / "tests" / "strangers"

NOT_CONFIGURED = "not configured"


@dataclass(frozen=True)
class Step:
    """The result of one step of a check.

    Attributes:
        name: ``build``, ``tests``, ``lint``, ``types`` or ``halo check``.
        passed: Whether it passed.
        said: Its result in a few words.
        output: The end of what it printed, if it failed.
    """

    name: str
    passed: bool
    said: str
    output: str = ""


@dataclass
class Checked:
    """The results of all steps of the check of a package.

    Attributes:
        distribution: Its name.
        version: Its version; empty if it could not be built.
        steps: The steps, in their order. After a build that failed there is no other.
    """

    distribution: str
    version: str = ""
    steps: list[Step] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every step passed."""
        return all(step.passed for step in self.steps)

    def said(self, name: str) -> str:
        """Returns the result of a step in a few words; a dash if it was not done."""
        return next((step.said for step in self.steps if step.name == name), "-")


def check_project(
    project: Path, folder: Path, *, halo: Sequence[Path] = (), types: bool = True
) -> Checked:
    """Builds a package, installs it into a new environment, and runs all that it ships.

    Args:
        project: The folder with its ``pyproject.toml``, tests and settings of ruff and mypy.
        folder: An empty folder for the wheel and the environment.
        halo: The wheels of halo. By default the environment uses the sources of this checkout.
        types: Whether to check its types, too.

    Returns:
        Its steps: ``build``, ``tests``, ``lint``, ``types`` and ``halo check``.
    """
    try:
        (wheel,) = build_wheels(folder / "wheels", [project])
        environment = Environment(folder / "environment", [*halo, wheel])
    except CommandError as error:
        return Checked(project.name, steps=[Step("build", False, "failed", str(error))])
    if not halo:
        _add_sources(environment)
    checked = Checked(*name_and_version(wheel), steps=[Step("build", True, "passed")])
    checked.steps.append(_tests(project, environment))
    checked.steps.append(_lint(project))
    if types:
        checked.steps.append(_types(project, environment))
    checked.steps.append(_rules(checked.distribution, environment))
    return checked


def name_and_version(wheel: Path) -> tuple[str, str]:
    """Returns the name and the version in the metadata of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (file,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        found = email.message_from_bytes(archive.read(file))
    return found["Name"], found["Version"]


def generated(folder: Path) -> Iterator[Path]:
    """Writes the packages of `halo new`: one of each kind, and one with all kinds.

    Args:
        folder: The folder to write into.
    """
    folder.mkdir(exist_ok=True)
    packages = {f"one-{option}": [option] for option in KINDS}
    packages["everything"] = [*KINDS]
    for name, kinds in packages.items():
        plan = Plan(name, parts_of(kinds, name), "mit", "The authors of halo", 2026)
        write_package(folder / plan.distribution, package_files(plan))
        yield folder / plan.distribution


def from_the_guide(folder: Path) -> Path:
    """Writes the package of the page *Write a plugin* from the page alone.

    The page has all of its files but the README, `__init__.py` and `py.typed`, which are empty.

    Args:
        folder: The folder to write into.
    """
    prefix = "tests/strangers/stranger/"
    blocks = re.findall(r"<!-- from: (\S+) -->\n\n```\w+\n(.*?)```\n", GUIDE.read_text(), re.DOTALL)
    project = folder / "halo-stranger"
    texts = {path.removeprefix(prefix): text for path, text in blocks if path.startswith(prefix)}
    empty = ("README.md", "src/halo_stranger/__init__.py", "src/halo_stranger/py.typed")
    for path, text in {**dict.fromkeys(empty, ""), **texts}.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text, encoding="utf-8")
    return project


def table(results: Sequence[Checked]) -> str:
    """Returns the results as a table in Markdown."""
    steps = ("tests", "lint", "types", "halo check")
    lines = ["| package | tests | lint | types | `halo check --strict` |", "|---|---|---|---|---|"]
    for each in results:
        cells = [f"{each.distribution} {each.version}".strip(), *map(each.said, steps)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def page(results: Sequence[Checked]) -> str:
    """Returns the page of the docs with the results, their date and the versions."""
    day = datetime.now(UTC).date().isoformat()
    names = ("halo-core", "torch", "transformers", "pytest", "ruff", "mypy")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"""\
# Packages of plugins

`python registry/check.py --write` writes this page. It was last run on {day} with Python
{platform.python_version()}, {versions}.

Each package was built as a wheel, installed into an environment of its own, and checked there: with
its own tests, with ruff and mypy as its `pyproject.toml` configures them, and with
`halo check --strict`. The packages `halo-one-KIND` and `halo-everything` are as
[`halo new plugin`](../reference/cli.md#halo-new) writes them. `halo-stranger` was written from the
files on the page [Write a plugin](../how-to/write-a-plugin.md) alone.

{table(results)}

A skipped rule could not be checked here; `halo check` says why. A package that does not configure
ruff or mypy is not checked with it.
"""


def main(arguments: Sequence[str]) -> int:
    """Checks packages, prints the table, and returns the exit code."""
    parser = argparse.ArgumentParser(description="Check packages of plugins.")
    parser.add_argument("--project", type=Path, help="check only the package in this folder")
    parser.add_argument("--write", action="store_true", help="write the page of the docs")
    options = parser.parse_args(arguments)
    if options.write and options.project:
        parser.error("--write is for the table of all packages, without --project")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.project:
            projects = [options.project.resolve()]
        else:
            projects = [*generated(folder / "new"), from_the_guide(folder / "guide")]
        halo = build_wheels(folder / "halo", PARTS)
        results = []
        for number, project in enumerate(projects):
            place = folder / f"check-{number}"
            place.mkdir()
            results.append(check_project(project, place, halo=halo))
            shutil.rmtree(place)
            _say(results[-1])
    print(f"\n{table(results)}")
    if options.write:
        PAGE.write_text(page(results), encoding="utf-8")
        print(PAGE)
    return int(not all(result.passed for result in results))


def _say(checked: Checked) -> None:
    for step in checked.steps:
        if not step.passed:
            print(f"{checked.distribution}: {step.name}: {step.said}\n{step.output}")
    state = "passed" if checked.passed else "failed"
    print(f"{checked.distribution}: {state}", flush=True)


def _add_sources(environment: Environment) -> None:
    """Lets an environment import halo from the folders of this checkout."""
    inner = sysconfig.get_path("purelib", vars={"base": str(environment.folder)})
    sources = [ROOT, *(part / "src" for part in PARTS if part != ROOT)]
    Path(inner, "halo.pth").write_text("".join(f"{source}\n" for source in sources))


def _tests(project: Path, environment: Environment) -> Step:
    options = ("-q", "-p", "no:cacheprovider", "--rootdir", str(project))
    settings = ("-c", str(project / "pyproject.toml"), str(project / "tests"))
    done = environment.call("-m", "pytest", *options, *settings)
    said = re.findall(r"^(\d+ \w+.*?) in [\d.]+", done.stdout, re.MULTILINE)
    return Step("tests", done.returncode == 0, said[-1] if said else "none", _end(done))


def _lint(project: Path) -> Step:
    if not _configures(project, "ruff"):
        return Step("lint", True, NOT_CONFIGURED)
    ruff = [str(Path(sys.executable).with_name("ruff"))]
    try:
        for command in (["check"], ["format", "--check"]):
            run([*ruff, *command, "--no-cache", str(project)])
    except CommandError as error:
        return Step("lint", False, "failed", str(error))
    return Step("lint", True, "clean")


def _types(project: Path, environment: Environment) -> Step:
    if not _configures(project, "mypy"):
        return Step("types", True, NOT_CONFIGURED)
    options = ("--cache-dir", os.devnull, "--config-file", str(project / "pyproject.toml"))
    done = environment.call("-m", "mypy", *options, str(project / "src"))
    passed = done.returncode == 0
    return Step("types", passed, "clean" if passed else "failed", _end(done))


def _configures(project: Path, tool: str) -> bool:
    return tool in tomllib.loads((project / "pyproject.toml").read_text("utf-8")).get("tool", {})


def _rules(distribution: str, environment: Environment) -> Step:
    call = ("-m", "halo_core.cli", "check", distribution, "--strict", "--json")
    done = environment.call(*call)
    try:
        findings = json.loads(done.stdout).get("findings", [])
    except ValueError:
        findings = []
    counts = Counter(finding["state"] for finding in findings)
    words = {"pass": "passed", "fail": "failed", "warn": "warned", "skip": "skipped"}
    said = ", ".join(f"{counts[state]} {word}" for state, word in words.items() if counts[state])
    passed = done.returncode == 0 and counts["pass"] > 0
    broken = [f for f in findings if f["state"] in ("fail", "warn")]
    output = "\n".join(f"{f['subject']}: {f['rule']}: {f['reason']} {f['place']}" for f in broken)
    return Step("halo check", passed, said or f"exit code {done.returncode}", output or _end(done))


def _end(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join([*done.stdout.splitlines()[-30:], *done.stderr.splitlines()[-30:]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
