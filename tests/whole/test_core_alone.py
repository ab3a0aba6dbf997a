"""The core without torch, transformers, datasets and mlflow: it helps, lists and validates."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ABSENT = (
    "torch",
    "transformers",
    "datasets",
    "mlflow",
    "accelerate",
    "peft",
    "scipy",
    "matplotlib",
    "openai",
)

BLOCKED = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import halo_core.cli
sys.exit(halo_core.cli.call(sys.argv[1:]))
"""

SPECS = sorted((ROOT / "examples").glob("*.yaml"))


def without_heavy_modules(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["plugins"],
        ["plugins", "show", "kto"],
        ["plugins", "show", "train"],
        ["plugins", "show", "gpt-4"],
        ["schema"],
    ],
)
def test_light_commands_need_no_heavy_module(arguments: list[str]) -> None:
    done = without_heavy_modules(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_an_example_is_validated_without_a_heavy_module(spec: Path) -> None:
    done = without_heavy_modules("validate", str(spec), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer.get("stages") or answer.get("cells")


def test_no_component_imports_a_heavy_module_at_its_top() -> None:
    code = (
        "import sys\n"
        "from halo_core.plugins.describe import component_class\n"
        "from halo_core.plugins.discovery import discover\n"
        "for r in discover().registrations:\n"
        "    if r.kind != 'command':\n"
        "        component_class(r)\n"
        f"print([m for m in {ABSENT!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def core_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the `halo` of a new environment with halo-core and its requirements."""
    folder = tmp_path_factory.mktemp("core-only")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, env=environment)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, *constraints, str(ROOT)], check=True, env=environment, timeout=250)
    return folder / "bin" / "halo"


def alone(halo: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [str(halo), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=halo.parent
    )


@pytest.mark.slow
def test_the_core_installed_alone_helps_and_lists(core_only: Path) -> None:
    python = core_only.with_name("python")
    for module in ABSENT:
        imported = subprocess.run([str(python), "-c", f"import {module}"], capture_output=True)
        assert imported.returncode != 0, module
    assert re.search(r"\bui +In halo-mlflow: not installed", alone(core_only, "--help").stdout)
    listed = alone(core_only, "plugins")
    assert listed.returncode == 0
    assert listed.stdout == "No plugins are installed. Available: halo plugins --available\n"
    assert "pip install halo-methods" in alone(core_only, "plugins", "--available").stdout


@pytest.mark.slow
def test_the_core_installed_alone_validates(core_only: Path) -> None:
    done = alone(core_only, "validate", str(SPECS[0]), "--json")
    assert done.returncode == 2, done.stderr
    messages = [error["message"] for error in json.loads(done.stdout)["errors"]]
    assert messages
    assert all("is not installed: pip install halo-" in message for message in messages)
