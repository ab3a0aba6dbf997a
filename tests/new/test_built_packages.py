"""Packages of `halo new` are built, installed and checked as their authors would do it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from halo_core.new.names import parts_of
from halo_core.new.package import Plan, package_files
from halo_core.new.write import write_package

CHECK = Path(__file__).parents[2] / "registry" / "check.py"


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(CHECK.parent))  # It imports a module from its own folder.
    spec = importlib.util.spec_from_file_location("registry_check", CHECK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up.
    monkeypatch.setitem(sys.modules, "registry_check", module)
    spec.loader.exec_module(module)
    return module


def written(folder: Path, name: str, *kinds: str) -> Path:
    plan = Plan(name, parts_of(kinds, name), "mit", "Ana Diaz", 2026)
    write_package(folder / plan.distribution, package_files(plan))
    return folder / plan.distribution


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize(
    "kinds", [("loss",), ("data", "conversion", "judge", "stage", "tracker", "command")]
)
def test_a_new_package_passes_all_that_it_ships(
    kinds: tuple[str, ...], check: ModuleType, tmp_path: Path
) -> None:
    result = check.check_project(written(tmp_path, "manners", *kinds), tmp_path, types=False)
    assert result.passed, result.steps
    assert [step.name for step in result.steps] == [*("build", "tests", "lint", "halo check")]
    assert "skipped" not in result.said("halo check")


@pytest.mark.slow(seconds=10)
def test_a_broken_package_fails_at_each_step(check: ModuleType, tmp_path: Path) -> None:
    project = written(tmp_path, "manners", "command")
    module = project / "src" / "halo_manners" / "manners_command.py"
    text = module.read_text().replace("def command(", "def broken(")
    text = text.replace("command.examples", "broken.examples")
    module.write_text(text.replace("import click\n", "import click\nimport os\n", 1))
    result = check.check_project(project, tmp_path, types=False)
    failed = {step.name: step.output for step in result.steps if not step.passed}
    assert [*failed] == ["tests", "lint", "halo check"]
    assert "F401" in failed["lint"]
    assert "has no attribute 'command'" in failed["halo check"]
    assert "| failed |" in check.table([result])


def test_the_page_has_every_file_of_the_package_that_it_explains(
    check: ModuleType, tmp_path: Path
) -> None:
    project = check.from_the_guide(tmp_path)
    original = check.STRANGERS / "stranger"
    for file in original.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            copy = project / file.relative_to(original)
            assert copy.is_file(), file
            same = copy.read_text() == file.read_text()
            assert same or file.name in ("README.md", "__init__.py"), file
