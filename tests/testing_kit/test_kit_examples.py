import urllib.request
from pathlib import Path

import pytest

from halo_core import StageContext, StageResult
from halo_core.testing import TrackerServer, run_spec, stage_context, tiny_model

SPEC = """
name: pairs
seed: 1
model: {hub: someone/small, revision: main}  # It need not exist, because no stage loads it.
data:
  pairs: {use: toy, feedback: paired, size: 4}
stages:
  count: {use: "file:./count.py:Count", data: pairs}
tracking: []
reports: []
"""

STAGE = """
from typing import ClassVar
from pydantic import Field
from halo_core import LearnRef, Stage, StageResult

class Count(Stage):
    "Counts its rows."
    produces: ClassVar = "model"
    data: LearnRef = Field(description="The rows.")

    def run(self, context):
        (context.folder / "model").mkdir(exist_ok=True)
        (context.folder / "model" / "rows.txt").write_text(str(len(context.data["data"])))
        return StageResult({"rows": len(context.data["data"])}, "counted")
"""


@pytest.mark.slow
def test_a_spec_runs_with_my_stage(tmp_path: Path) -> None:
    (tmp_path / "count.py").write_text(STAGE)
    done = run_spec(tmp_path, SPEC)
    assert done.code == 0, done.answer
    (ended,) = done.events("stage-ended")
    assert ended["metrics"] == {"rows": 4}


def test_a_function_of_mine_gets_a_context(tmp_path: Path) -> None:
    def work(context: StageContext) -> StageResult:
        return StageResult({"seed": context.seed})

    model = tiny_model(tmp_path / "model")
    context = stage_context(tmp_path / "stage", seed=3, models={"from": model})
    assert work(context).metrics == {"seed": 3}
    assert (Path(context.models["from"].path) / "config.json").is_file()


def test_a_request_is_sent_again_after_the_server_died() -> None:
    def send(url: str) -> bool:
        try:
            return urllib.request.urlopen(url, data=b"event").status == 200
        except OSError:
            return False

    with TrackerServer() as server:
        server.die()
        assert not send(server.url)
        server.come_back()
        assert send(server.url)
    assert [request.answered for request in server.requests] == [False, True]
