"""Every wheel holds its own package and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from halo_core import __version__

ROOT = Path(__file__).parents[2]
PARTS = sorted((*ROOT.glob("libraries/halo-*"), *ROOT.glob("plugins/halo-*")), key=lambda p: p.name)
PROJECTS = [ROOT, *PARTS]
CACHES = {"__pycache__", ".mypy_cache", ".ruff_cache"}
NEVER = {"libraries", "plugins", "registry", "tests", "docs", "benchmarks", "examples", "src"}


def project_of(folder: Path) -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return found


def home_of(package: str) -> Path:
    """Returns the folder of a package."""
    (found,) = (each for each in (ROOT, *(p / "src" for p in PARTS)) if (each / package).is_dir())
    return found


def test_all_distributions_have_one_version() -> None:
    assert {project_of(folder)["version"] for folder in PROJECTS} == {__version__}


def test_all_brings_every_library_and_plugin_in_this_version() -> None:
    extras = project_of(ROOT)["optional-dependencies"]
    assert isinstance(extras, dict)
    assert extras["all"] == [f"{folder.name}=={__version__}" for folder in PARTS]


def test_a_judge_installs_nothing_that_draws_or_renders() -> None:
    """Its statistics are a library, and models and endpoints are extras."""
    projects = {str(project["name"]): project for project in map(project_of, PROJECTS)}
    required, waiting = set(), ["halo-judge"]
    while waiting:
        dependencies = projects.get(waiting.pop(), {}).get("dependencies", [])
        assert isinstance(dependencies, list)
        names = {re.split(r"[<>=~! ]", text)[0] for text in dependencies}
        waiting += names - required
        required |= names
    assert "halo-statistics" in required
    assert not required & {"halo-report", "jinja2", "matplotlib", "statsmodels", "torch"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, zipfile.ZipFile]:
    """Returns the wheel of each distribution."""
    out = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(out), *map(str, PROJECTS)], check=True, timeout=250)
    return {path.name.partition("-")[0]: zipfile.ZipFile(path) for path in out.glob("*.whl")}


@pytest.mark.slow
def test_there_is_a_wheel_of_each_distribution(wheels: dict[str, zipfile.ZipFile]) -> None:
    names = {str(project_of(folder)["name"]).replace("-", "_") for folder in PROJECTS}
    assert set(wheels) == names


@pytest.mark.slow
def test_a_wheel_holds_only_its_own_package(wheels: dict[str, zipfile.ZipFile]) -> None:
    for package, wheel in wheels.items():
        tops = {name.partition("/")[0] for name in wheel.namelist()}
        assert tops == {package, f"{package}-{__version__}.dist-info"}
        assert not tops & NEVER
        # The templates of a new plugin have a folder of tests, which are not the core's own.
        names = [n for n in wheel.namelist() if not n.startswith("halo_core/new/templates/")]
        inside = {part for name in names for part in name.split("/")[1:-1]}
        assert not inside & {"tests", "__pycache__"}


@pytest.mark.slow
def test_a_wheel_is_typed_and_only_a_plugin_s_names_a_plugin(
    wheels: dict[str, zipfile.ZipFile],
) -> None:
    for package, wheel in wheels.items():
        assert f"{package}/py.typed" in wheel.namelist()
        file = f"{package}-{__version__}.dist-info/entry_points.txt"
        if home_of(package).parent.parent.name == "libraries":
            assert file not in wheel.namelist()
            continue
        expected = "halo = halo_core.cli:main" if package == "halo_core" else f"{package}.plugin"
        assert expected in wheel.read(file).decode()


@pytest.mark.slow
def test_a_wheel_has_every_file_of_its_package(wheels: dict[str, zipfile.ZipFile]) -> None:
    for package, wheel in wheels.items():
        home = home_of(package)
        files = {
            str(path.relative_to(home))
            for path in (home / package).rglob("*")
            if path.is_file() and not CACHES & {*path.parts}
        }
        assert files <= set(wheel.namelist())


@pytest.mark.slow
def test_the_core_s_wheel_holds_the_catalogue(wheels: dict[str, zipfile.ZipFile]) -> None:
    held = wheels["halo_core"].read("halo_core/registry_index.json")
    assert held == (ROOT / "registry" / "index.json").read_bytes()
    assert f"halo_core-{__version__}.dist-info/licenses/LICENSE" in wheels["halo_core"].namelist()
