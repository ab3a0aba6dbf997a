"""Stages that make feedback, and stages that take it as data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.data import DataInfo
from halo_core.errors import SpecErrors
from halo_core.rows import DataSet
from halo_core.run.plan import make_plan
from halo_core.run.run_files import resolved_tree, to_yaml
from halo_core.spec.spec import Spec, load_spec
from halo_core.spec.stage_feedback import StageFeedback
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import DONE, FEEDBACK

Halo = Callable[..., Any]
MADE = Path(__file__).parents[1] / "made_components.py"

SPEC = f"""\
name: rounds
seed: 1
model: {{hub: someone/small, revision: main}}
data:
  train: {{use: "file:{MADE}:Pairs", prefix: a}}
  test: {{use: "file:{MADE}:Pairs", prefix: b, split: test}}
stages:
  sft: {{use: "file:{MADE}:Learn", data: train, loss: {{use: "file:{MADE}:PairLoss"}}}}
  drawn: {{use: "file:{MADE}:Answer", prompts: train}}
  labels: {{use: "file:{MADE}:Label", of: drawn}}
  align:
    use: "file:{MADE}:Learn"
    data: labels
    loss: {{use: "file:{MADE}:PairLoss"}}
  answers: {{use: "file:{MADE}:Answer", prompts: test}}
reports: []
"""


@pytest.fixture
def rounds(tmp_path: Path) -> Path:
    path = tmp_path / "rounds.yaml"
    path.write_text(SPEC)
    return path


def load(path: Path, **overrides: str) -> Spec:
    return load_spec(path, {f"stages.{k.replace('__', '.')}": v for k, v in overrides.items()})


def mistakes(path: Path, **overrides: str) -> str:
    with pytest.raises(SpecErrors) as error:
        load(path, **overrides)
    return str(error.value)


def seen(result: Any, stage: str) -> list[str]:
    folder = next(s["folder"] for s in result.json["stages"] if s["id"] == stage)
    found: list[str] = json.loads((Path(folder) / "model" / "seen.json").read_text())
    return found


def statuses(result: Any) -> dict[str, str]:
    return {stage["id"]: stage["status"] for stage in result.json["stages"]}


def test_a_stage_learns_from_what_a_stage_of_the_same_run_labelled(
    halo: Halo, rounds: Path
) -> None:
    done = halo("run", str(rounds), "--json")
    assert done.code == 0, done.err
    ids = seen(done, "align")
    assert len(ids) == 1
    assert ids[0].endswith(":1")
    again = halo("run", str(rounds), "--json")
    assert set(statuses(again).values()) == {"cached"}


def test_labels_computed_again_are_learned_from_again(halo: Halo, rounds: Path) -> None:
    halo("run", str(rounds), "--json")
    other = ["--set", "stages.labels.said=else"]  # An execution option: the key stays.
    done = halo("run", str(rounds), *other, "--again", "labels", "--json")
    assert statuses(done) == {
        "sft": "cached",
        "drawn": "cached",
        "labels": "computed",
        "align": "computed",
        "answers": "computed",
    }
    stages = {s["id"]: Path(s["folder"]) for s in done.json["stages"]}
    data = json.loads((stages["align"] / "stage.json").read_text())["data"]["data"]
    assert data["feedback"] == "paired"
    rows = DataSet("labels", "paired", [Path(file) for file in data["files"]])
    assert rows[0]["prompt"][0]["content"] == "what about else"


def test_the_key_follows_the_labels_and_not_their_name(rounds: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    key = make_plan(load(rounds), workspace).stage("align").key
    changed = make_plan(load(rounds, labels__word="fine"), workspace).stage("align")
    assert changed.key != key
    renamed = tmp_path / "renamed.yaml"
    text = SPEC.replace("  labels:", "  marks:").replace("data: labels", "data: marks")
    renamed.write_text(text)
    assert make_plan(load(renamed), workspace).stage("align").key == key


def test_the_plan_knows_before_the_stage_has_run(halo: Halo, rounds: Path) -> None:
    before = halo("plan", str(rounds))
    assert before.code == 0, before.err
    assert "labels: stage-feedback, rows unknown: known when labels is done" in before.out
    halo("run", str(rounds))
    assert "labels: stage-feedback, 1 rows of paired feedback" in halo("plan", str(rounds)).out


def test_a_resolved_spec_names_the_stage_and_can_be_read_again(
    rounds: Path, tmp_path: Path
) -> None:
    spec = load(rounds)
    tree = resolved_tree(spec)
    assert tree["stages"]["align"]["data"] == ["labels"]
    again = tmp_path / "again.yaml"
    again.write_text(to_yaml(tree).replace("scratch: true", ""))
    workspace = Workspace(tmp_path / "w")
    key = make_plan(spec, workspace).stage("align").key
    assert make_plan(load_spec(again), workspace).stage("align").key == key


def test_labels_are_mixed_with_sets_and_sources(halo: Halo, rounds: Path) -> None:
    mixed = f'[labels, train, {{use: "file:{MADE}:Pairs", prefix: c, count: 2}}]'
    done = halo("run", str(rounds), "--set", f"stages.align.data={mixed}", "--json")
    assert done.code == 0, done.err
    assert len(seen(done, "align")) == 1 + 4 + 2


def test_a_conversion_is_inserted_behind_labels(rounds: Path, tmp_path: Path) -> None:
    spec = load(rounds, align__loss="kto", align__use="train")
    (source,) = next(s for s in spec.stages if s.id == "align").data["data"].sources
    assert source.converted == "paired-to-binary"
    assert source.info == DataInfo("binary", ("train",), None)
    plan = make_plan(spec, Workspace(tmp_path / "w"))
    (source,) = plan.stage("align").spec.data["data"].sources
    assert source.info.feedback == "binary"
    assert source.info.digest is not None
    assert plan.stage("align").spec.feedback_from == ["labels"]


def test_a_source_may_wrap_labels(rounds: Path, tmp_path: Path) -> None:
    options = {"align__use": "train", "align__loss": "kto", "labels__kind_of_rows": "binary"}
    spec = load(rounds, **options, align__data="{use: settle-labels, source: labels}")
    tree = resolved_tree(spec)["stages"]["align"]["data"][0]
    assert tree["source"] == "labels"
    plan = make_plan(spec, Workspace(tmp_path / "w"))
    assert plan.stage("align").spec.feedback_from == ["labels"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"align__data": "label"}, "unknown data set 'label'. Did you mean 'labels'?"),
        ({"align__data": "drawn"}, "the stage 'drawn' makes samples; expected feedback"),
        ({"align__data": "sft"}, "the stage 'sft' makes model; expected feedback"),
        ({"sft__data": "labels"}, "unknown data set 'labels'. Known: test, train"),
        (
            {"labels__use": f'"file:{MADE}:WrongLabel"'},
            "feedback_given() returned None, but it makes",
        ),
        ({"labels__kind_of_rows": "scored"}, "learns from paired feedback, but the data 'labels'"),
    ],
)
def test_what_is_no_feedback_is_told(rounds: Path, overrides: dict[str, str], message: str) -> None:
    assert message in mistakes(rounds, **overrides)


def test_labels_with_a_mistake_of_their_own_are_one_mistake(rounds: Path) -> None:
    found = mistakes(rounds, labels__of="nothing")
    assert "1 mistake in the spec" in found
    assert "unknown earlier stage 'nothing'" in found


@pytest.mark.parametrize(("name", "what"), [("train", "a data set"), ("toy", "a data source")])
def test_a_stage_of_feedback_is_not_called_like_other_data(
    rounds: Path, name: str, what: str
) -> None:
    rounds.write_text(SPEC.replace("  labels:", f"  {name}:"))
    assert f"{name!r} is also {what}, so data: {name} is ambiguous; rename it" in mistakes(rounds)


def test_prompts_that_are_labelled_are_not_tested_on(halo: Halo, rounds: Path) -> None:
    rounds.write_text(SPEC.replace("prompts: train", f'prompts: {{use: "file:{MADE}:Pairs"}}'))
    same = ["--set", "data.train.prefix=q"]
    done = halo("run", str(rounds), *same, "--json")
    assert done.code == 0, done.err


def test_labels_that_stand_in_the_test_are_an_error_before_they_are_learned_from(
    halo: Halo, rounds: Path
) -> None:
    test = f'{{use: "file:{MADE}:Pairs", prefix: "what about ", split: test}}'
    done = halo(
        *("run", str(rounds), "--set", f"stages.answers.prompts={test}"),
        *("--set", "stages.labels.said=test0", "--set", "stages.labels.word=yes"),
    )
    assert done.code == 2
    assert "1 of its 4 rows are also in 'labels'" in done.err
    # The labels are made, and nothing is learned from them.
    assert "labels: done" in done.err
    assert "align: done" not in done.err


def test_a_component_within_a_stage_may_name_a_model(
    halo: Halo, rounds: Path, tmp_path: Path
) -> None:
    judge = f'{{use: "file:{MADE}:Wise", from: sft}}'
    stage = f'  win: {{use: "file:{MADE}:CompareWith", of: answers, judge: {judge}}}\n'
    rounds.write_text(SPEC.replace("reports: []", stage + "reports: []"))
    spec = load(rounds)
    assert spec.stages[-1].models == {"judge.from": "sft"}
    assert resolved_tree(spec)["stages"]["win"]["judge"]["from"] == "sft"
    plan = make_plan(spec, Workspace(tmp_path / "w"))
    other = make_plan(load(rounds, win__judge__from="align"), Workspace(tmp_path / "w"))
    assert plan.stage("win").key != other.stage("win").key
    assert "judge.from   sft" in halo("plan", str(rounds)).out
    done = halo("run", str(rounds), "--json")
    assert done.code == 0, done.err
    sft, *_, win = done.json["stages"]
    assert win["headline"] == str(Path(sft["folder"]) / "model")
    message = "stages.win.judge.from: unknown earlier stage 'sftt'. Did you mean 'sft'?"
    assert message in mistakes(rounds, win__judge__from="sftt")
    assert "the stage 'drawn' makes samples; expected model" in mistakes(
        rounds, win__judge__from="drawn"
    )


def test_rows_do_not_depend_on_the_version_of_their_lines(tmp_path: Path) -> None:
    row = {"prompt": [{"role": "user", "content": "q"}], "completion": "a", "desirable": True}
    DONE.write(tmp_path, {"metrics": {}, "headline": ""})
    source = StageFeedback(stage="labels", feedback="binary", folder=str(tmp_path))
    FEEDBACK.write(tmp_path / FEEDBACK.name, [row])
    new = list(source.load("train").rows)
    (tmp_path / FEEDBACK.name).write_text(json.dumps(row) + "\n")
    assert new == list(source.load("train").rows) == [{"id": f"{tmp_path.name}:1", **row}]
