"""The core without torch, transformers, datasets and mlflow: it helps, lists and validates."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
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
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Absent())
import halo_core.cli
for arguments in {{commands!r}}:
    code = halo_core.cli.call(arguments)
    print("\\n== ended with", code)
"""

SPECS = sorted((ROOT / "examples").glob("*.yaml"))


def without_heavy_modules(*commands: Sequence[str]) -> list[str]:
    """Returns what each command prints, in one process without the heavy modules."""
    code = BLOCKED.format(commands=[list(arguments) for arguments in commands])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    said = done.stdout.split("\n== ended with 0\n")
    assert (len(said), said[-1]) == (len(commands) + 1, ""), done.stdout + done.stderr
    return said[:-1]


def test_light_commands_need_no_heavy_module() -> None:
    commands = [
        ["--help"],
        ["plugins"],
        *(["plugins", "show", name] for name in ("kto", "train", "gpt-4")),
        ["schema"],
    ]
    assert all(without_heavy_modules(*commands))


@pytest.mark.slow
def test_examples_are_validated_without_a_heavy_module() -> None:
    assert len(SPECS) >= 9
    for said in without_heavy_modules(*(["validate", str(spec), "--json"] for spec in SPECS)):
        answer = json.loads(said)
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
    # Without a pip of its own, and compiled when it is imported: each takes seconds.
    venv = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(venv, check=True, env=environment)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    pip += ["--quiet", "--no-compile"]
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
    listed = alone(core_only, "plugins", "--available").stdout
    assert "halo plugins install halo-methods" in listed


@pytest.mark.slow
def test_the_core_installed_alone_validates(core_only: Path) -> None:
    done = alone(core_only, "validate", str(SPECS[0]), "--json")
    assert done.returncode == 2, done.stderr
    messages = [error["message"] for error in json.loads(done.stdout)["errors"]]
    assert messages
    assert all("is not installed: pip install halo-" in message for message in messages)
