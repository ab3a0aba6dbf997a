"""The fixtures for tests of plugins, in a pytest of their own, and what they return."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from halo_core.testing import TrackerServer, tiny_model

ROOT = Path(__file__).parents[2]
PLUGIN = "halo_core.pytest_plugin"

WITHOUT = """
import sys

def test_nothing_of_halo_is_imported_before_a_fixture_is_used():
    ours = {name for name in sys.modules if name.startswith("halo_core")}
    assert ours == {"halo_core", "halo_core.pytest_plugin"}
    assert "pydantic" not in sys.modules
"""

STAGE = """
from typing import ClassVar
from pydantic import Field
from halo_core import Stage, StageResult, TestRef
from halo_core.workspace.records import SAMPLES, SampleLine

class Echo(Stage):
    "Answers each prompt with yes."
    produces: ClassVar = "samples"
    prompts: TestRef = Field(description="The prompts.")

    def run(self, context):
        SAMPLES.write(context.folder / SAMPLES.name, [
            SampleLine(prompt_id=row["prompt_id"], prompt=row["prompt"], completion="yes", tokens=1)
            for row in context.data["prompts"]
        ])
        return StageResult({"n": len(context.data["prompts"])}, "answered")
"""

WITH = '''
import urllib.request
from importlib.metadata import entry_points
from pathlib import Path

SPEC = """
name: echo
seed: 1
model: {hub: someone/small, revision: main}
data:
  rows: {use: jsonl, path: rows.jsonl}
stages:
  answers: {use: "file:./echo.py:Echo", prompts: rows}
tracking: []
reports: []
"""

def test_all_fixtures(
    tmp_path, halo_stage_context, halo_run_spec, halo_tiny_model, halo_tracker_server
):
    assert halo_stage_context(seed=3).folder == tmp_path / "stage"
    assert (Path(halo_tiny_model.path) / "model.safetensors").is_file()
    assert urllib.request.urlopen(halo_tracker_server.url).status == 200
    (tmp_path / "echo.py").write_text(Path("echo.py").read_text())
    line = '{"prompt": [{"role": "user", "content": "Moo?"}]}'
    (tmp_path / "rows.jsonl").write_text(line + chr(10))
    done = halo_run_spec(SPEC)
    assert done.code == 0, (done.answer, done.said)
    (ended,) = done.events("stage-ended")
    assert ended["metrics"] == {"n": 1}
    assert halo_run_spec("name: [").code == 2
'''


@pytest.mark.slow
def test_the_fixtures_work_and_cost_nothing_before_they_are_used(tmp_path: Path) -> None:
    for name, text in {"echo": STAGE, "test_a_without": WITHOUT, "test_b_with": WITH}.items():
        (tmp_path / f"{name}.py").write_text(text, "utf-8")
    # pytest finds the plugin by itself if the installed distribution is not older than the plugin.
    known = any(point.value == PLUGIN for point in entry_points(group="pytest11"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *([] if known else ["-p", PLUGIN])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_distribution_announces_the_fixtures_to_pytest() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"halo": "halo_core.pytest_plugin"}


def test_the_tracker_server_is_slow_dies_and_comes_back() -> None:
    with TrackerServer() as server:
        server.answer_slowly(30)
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(server.url, timeout=0.05)
        server.answer_slowly(0)
        server.die()
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            urllib.request.urlopen(f"{server.url}/lost", data=b"event")
        server.come_back()
        assert urllib.request.urlopen(f"{server.url}/again", data=b"event").read() == b"{}"
    told = [(each.path, each.answered) for each in server.requests if each.body]
    assert told == [("/lost", False), ("/again", True)]


def test_the_tiny_model_is_read_by_transformers(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = tiny_model(tmp_path / "model", seed=1).path
    tokenizer, model = (
        each.from_pretrained(path) for each in (AutoTokenizer, AutoModelForCausalLM)
    )
    turns = [{"role": "user", "content": "Wörld?"}, {"role": "assistant", "content": "Yes."}]
    ids = tokenizer.apply_chat_template(turns, return_dict=False)
    assert tokenizer.decode(ids) == "<|user|>Wörld?<|assistant|>Yes.<|end|>"
    assert sum(weight.numel() for weight in model.parameters()) == 6400
    assert tiny_model(tmp_path / "other", seed=2).digest != tiny_model(tmp_path / "model").digest
