"""Runs with rounds: what is computed, what a plan and the record say, and a run that was killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.run.plan import make_plan
from halo_core.spec.document import read_document
from halo_core.spec.spec import load_spec
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import RUN

Halo = Callable[..., Any]
TESTS = Path(__file__).parents[1]
MADE = TESTS / "made_components.py"
SPEC = f"""\
name: online
seed: 1
model: {{hub: someone/small, revision: main}}
data:
  asked: {{use: "file:{MADE}:Pairs", prefix: a, split: test}}
  test: {{use: "file:{MADE}:Pairs", prefix: b, split: test}}
stages:
  draw: {{use: "file:{MADE}:Answer", from: previous, prompts: asked}}
  labels: {{use: "file:{MADE}:Label", of: draw, said: "rounds"}}
  learn:
    use: "file:{MADE}:Learn"
    from: previous
    data: labels
    loss: {{use: "file:{MADE}:PairLoss", beta: 0.1}}
  answers: {{use: "file:{MADE}:Answer", from: learn, prompts: test}}
rounds: {{n: 1, stages: [draw, labels, learn]}}
reports: []
"""


@pytest.fixture
def rounds_file(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def statuses(done: Any) -> dict[str, str]:
    return {stage["id"]: stage["status"] for stage in done.json["stages"]}


def calls(done: Any, id_: str) -> int:
    (folder,) = (stage["folder"] for stage in done.json["stages"] if stage["id"] == id_)
    return len((Path(folder) / "calls.txt").read_text().splitlines())


def test_a_further_round_computes_only_what_is_new(halo: Halo, rounds_file: Path) -> None:
    assert halo("run", str(rounds_file)).code == 0
    done = halo("run", str(rounds_file), "--json", "--set", "rounds.n=2")
    assert done.code == 0, done.err
    assert [id_ for id_, status in statuses(done).items() if status == "computed"] == [
        *("draw-2", "labels-2", "learn-2", "answers")
    ]
    assert statuses(done)["learn-1"] == "cached"


@pytest.mark.slow
def test_a_killed_round_goes_on_and_earlier_rounds_are_not_computed_again(
    halo: Halo, rounds_file: Path
) -> None:
    assert halo("run", str(rounds_file)).code == 0
    settings = ("--set", "rounds.n=2", "--set", "stages.learn.workers=2")
    two = ("run", str(rounds_file), "--json", *settings)
    killed = halo(*two, "--set", "stages.learn.fail=killed")
    assert killed.code == 1
    assert "it was killed" in killed.json["error"]["message"]
    assert statuses(killed) == {
        **dict.fromkeys(("draw-1", "labels-1", "learn-1"), "cached"),
        **{"draw-2": "computed", "labels-2": "computed", "learn-2": "failed", "answers": "pending"},
    }
    done = halo(*two)
    assert done.code == 0, done.err
    assert [id_ for id_, status in statuses(done).items() if status == "computed"] == [
        *("learn-2", "answers")
    ]
    assert (calls(done, "learn-1"), calls(done, "learn-2")) == (1, 2)


def test_the_record_and_the_plan_have_the_rounds(halo: Halo, rounds_file: Path) -> None:
    done = halo("run", str(rounds_file), "--json", "--set", "rounds.n=2")
    folder = Path(done.json["folder"])
    record = RUN.read(folder)
    assert record is not None
    assert [(s["id"], s.get("round"), s.get("repeats")) for s in record["stages"]] == [
        *(("draw-1", 1, "draw"), ("labels-1", 1, "labels"), ("learn-1", 1, "learn")),
        *(("draw-2", 2, "draw"), ("labels-2", 2, "labels"), ("learn-2", 2, "learn")),
        ("answers", None, None),
    ]
    assert read_document(folder / "spec.yaml").tree["rounds"]["n"] == 2
    again = halo("plan", str(folder / "spec.yaml"), "--json", "--allow-file", str(TESTS))
    assert again.json["run"] == record["name"]
    assert again.json["rounds"] == {"n": 2, "stages": ["draw", "labels", "learn"], "from": "model"}
    shown = halo("plan", str(rounds_file), "--set", "rounds.n=2").out
    assert "2 rounds of draw, labels, learn; the first starts from model\n" in shown
    assert "\nlearn-2: " in shown


def test_the_example_has_the_keys_of_the_one_that_was_written_by_hand() -> None:
    workspace = Workspace(Path("/nowhere"))
    by_hand = make_plan(load_spec(TESTS / "fixtures" / "rounds-by-hand.yaml"), workspace)
    example = make_plan(load_spec(TESTS.parent / "examples" / "rounds-toy.yaml"), workspace)
    keys = {stage.id: stage.key for stage in example.stages}
    assert {stage.id: stage.key for stage in by_hand.stages} == {
        id_.replace("-", ""): key for id_, key in keys.items()
    }
