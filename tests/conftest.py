"""Fixtures of the core's tests: a spec and a suite of light components, made distributions."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# The strangers' tests need their packages: other files install the packages and run them. The
# scripts in golden are run by test_golden_stages.py and test_golden_quickstart.py.
collect_ignore = [
    "strangers/stranger",
    "strangers/noticeboard",
    "strangers/drill",
    "golden",
    "check/broken",
]

MADE = Path(__file__).with_name("made_components.py")

SPEC = f"""\
name: small
seed: 1
model: {{hub: someone/small, revision: main}}
data:
  train: {{use: "file:{MADE}:Pairs", prefix: a}}
  test: {{use: "file:{MADE}:Pairs", prefix: b, split: test}}
stages:
  learn:
    use: "file:{MADE}:Learn"
    data: train
    loss: {{use: "file:{MADE}:PairLoss", beta: 0.1}}
  answers: {{use: "file:{MADE}:Answer", prompts: test}}
  win: {{use: "file:{MADE}:Compare", of: answers, against: target}}
reports: []
"""


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


SUITE = f"""\
name: tiny
seed: 1
model: {{hub: someone/small, revision: main}}
data:
  train: {{use: "file:{MADE}:Pairs", prefix: a}}
  test: {{use: "file:{MADE}:Pairs", prefix: b, split: test}}
stages:
  base:
    use: "file:{MADE}:Learn"
    data: train
    loss: {{use: "file:{MADE}:PairLoss", beta: 0.1}}
  align:
    use: "file:{MADE}:Learn"
    data: train
    loss: {{use: "file:{MADE}:PairLoss", beta: 0.2}}
  answers: {{use: "file:{MADE}:Answer", prompts: test}}
  win: {{use: "file:{MADE}:Compare", of: answers, against: target}}
reports: []
matrix:
  size:
    small:
    large: {{stages.base.rate: 2.0}}
  method:
    none: {{stages.align: null}}
    weak:
    strong: {{stages.align.loss.beta: 0.9}}
"""


@pytest.fixture(scope="session")
def suite_text() -> str:
    """A suite of 2 sizes and 3 methods, whose cells of one size share the stage `base`."""
    return SUITE


@pytest.fixture
def suite_file(tmp_path: Path, suite_text: str) -> Path:
    """A file with `suite_text`."""
    path = tmp_path / "suite.yaml"
    path.write_text(suite_text)
    return path


class Site:
    """A folder that looks as if pip had installed distributions into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def env(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.folder)}

    def add(
        self,
        distribution: str,
        source: str,
        *,
        version: str = "1.0",
        requires: str = "",
        entry_point: str | None = None,
    ) -> str:
        """Writes a distribution with one module and returns the module's name."""
        module = distribution.replace("-", "_").lower() + "_plugin"
        (self.folder / f"{module}.py").write_text(source)
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.4\nName: {distribution}\nVersion: {version}\n"
        if requires:
            metadata += f"Requires-Dist: {requires}\n"
        (info / "METADATA").write_text(metadata + "\nName: of the description\n")
        (info / "entry_points.txt").write_text(f"[halo]\nplugin = {entry_point or module}\n")
        return module


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield Site(folder)
    for path in folder.glob("*.py"):
        sys.modules.pop(path.stem, None)


REGISTERS = """\
from halo_core.hooks import hookimpl


@hookimpl
def halo_register(registry):
    {}
"""


@pytest.fixture
def registers() -> Callable[..., str]:
    """Returns the source of a plugin module that makes some calls of the registry."""

    def source(*calls: str) -> str:
        return REGISTERS.format("\n    ".join(f"registry.{call}" for call in calls))

    return source


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty `MadeWorkspace`, which the commands use."""
    spec = importlib.util.spec_from_file_location(
        "made_workspace", Path(__file__).with_name("made_workspace.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    root = tmp_path / "ws"
    root.mkdir()
    monkeypatch.setenv("HALO_WORKSPACE", str(root))
    return module.MadeWorkspace(root)
