"""The files of commit 9e8c1e9 can still be read, and give the same numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.spec.stage_feedback import StageFeedback

pytestmark = pytest.mark.slow

FIXTURES = Path(__file__).parents[1] / "fixtures"
PLACE = "{workspace}"
ALONE = "alone-afd424"
FAMILY = "family-0a18b7"
STUB = '''
import json

from halo_core.tracker import Tracker, TrackerSession


class Session(TrackerSession):
    def __init__(self, file):
        self.file = file

    def handle(self, events):
        with self.file.open("a") as file:
            for event in events:
                file.write(json.dumps(event) + "\\n")

    def describe(self):
        return {}

    def close(self):
        pass


class Stub(Tracker):
    """Writes events to a file of the run's name."""

    def open(self, run, workspace):
        return Session(workspace / f"{run.name}.seen")
'''


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the old workspace, with the component versions that it was written with."""
    folder = tmp_path / "ws"
    shutil.copytree(FIXTURES / "workspace-9e8c1e9", folder)
    for file in folder.rglob("*"):
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            file.write_text(text.replace(PLACE, str(folder)), encoding="utf-8")
    versions = dict(_versions(folder))
    monkeypatch.setattr(
        "halo_core.run.identity.version", lambda found: versions.get(found.name, "none")
    )
    monkeypatch.chdir(tmp_path)
    return folder


def _versions(folder: Path) -> Iterator[tuple[str, str]]:
    """Yields name and version of each component, as the stages' identities have them."""
    trees = [
        json.loads(file.read_text())["identity"] for file in folder.glob("stages/*/stage.json")
    ]
    while trees:
        tree = trees.pop()
        if isinstance(tree, dict) and {"use", "version"} <= tree.keys():
            yield tree["use"], tree["version"]
        trees += tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()


def said_then(command: str, workspace: Path) -> Any:
    text = (FIXTURES / "said-by-9e8c1e9" / f"{command}.json").read_text(encoding="utf-8")
    return json.loads(text.replace(PLACE, str(workspace)))


def said_now(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert call([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def missing(then: Any, now: Any, place: str = "") -> list[str]:
    """Returns the places at which `now` differs from `then`; it may have more keys."""
    if isinstance(then, dict) and isinstance(now, dict):
        return [
            line
            for key, value in then.items()
            for line in missing(value, now.get(key), f"{place}.{key}")
        ]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [
            line
            for i, (a, b) in enumerate(zip(then, now, strict=True))
            for line in missing(a, b, f"{place}[{i}]")
        ]
    return [] if then == now else [f"{place}: {then!r} -> {now!r}"]


def lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def stage_folder(workspace: Path, run: str, stage: str) -> Path:
    record = json.loads((workspace / "runs" / run / "run.json").read_text())
    (found,) = (each["folder"] for each in record["stages"] if each["id"] == stage)
    return workspace / found


@pytest.mark.parametrize("arguments", [("report", "family"), ("compare", "alone", "family")])
def test_a_command_that_reads_runs_says_what_it_said(
    workspace: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    no_tracker(workspace)
    then = said_then(arguments[0], workspace)
    now = said_now(capsys, *arguments, "--workspace", "ws")
    # The words of these sentences may change. The numbers of the conclusion are in `tests`.
    assert bool(now.get("conclusion")) == bool(then.pop("conclusion", ""))
    if "unlike" in then:
        then["unlike"] = [line.replace("sampler", "sampling") for line in then["unlike"]]
    assert missing(then, now) == []


def test_a_plan_finds_the_stages_that_are_done(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = said_now(capsys, "plan", "ws/alone.yaml", "--workspace", "ws")
    assert missing(said_then("plan-alone", workspace), now) == []


def test_a_plan_of_a_suite_finds_the_cells_that_are_done(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [f"--cell=*/{method}" for method in ("base", "KTO", "DPO")]
    now = said_now(capsys, "plan", "ws/family.yaml", "--workspace", "ws", *cells)
    then = said_then("plan-family", workspace)
    planned = [cell for cell in then["cells"] if not cell["id"].endswith("/broken")]
    assert len(planned) == 6
    assert missing({"cells": planned}, now) == []
    # At that commit, a cell with too long a max_length failed when it ran; now the plan refuses it.
    refused = said_now(capsys, "plan", "ws/family.yaml", "--workspace", "ws", code=2)
    assert "max_length 4096 is more than the 128 tokens" in json.dumps(refused)


def test_a_run_that_was_done_then_computes_nothing(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = lines(workspace / "runs" / ALONE / "events.jsonl")
    now = said_now(capsys, "run", "ws/alone.yaml", "--workspace", "ws", "--set", "tracking=[]")
    assert now["run"] == ALONE
    assert {stage["status"] for stage in now["stages"]} == {"cached"}
    (win,) = (stage["metrics"] for stage in now["stages"] if stage["id"] == "win")
    assert (win["win"], win["wins"], win["losses"], win["n"]) == (0.5, 5, 5, 10)
    after = lines(workspace / "runs" / ALONE / "events.jsonl")
    assert after[: len(before)] == before
    assert len(after) > len(before)


def test_a_judge_that_was_killed_then_keeps_its_verdicts(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stage_folder(workspace, ALONE, "win")
    before = lines(folder / "verdicts.jsonl")
    (folder / "done.json").unlink()
    # The oracle would give other verdicts, so a repeated request would be visible.
    kept = [{**before[0], "result": "tie"}, *before[1:4]]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept)
    (folder / "verdicts.jsonl").write_text(text + '{"prompt_id": "half a li', encoding="utf-8")
    now = said_now(capsys, "run", "ws/alone.yaml", "--workspace", "ws", "--set", "tracking=[]")
    (win,) = (stage for stage in now["stages"] if stage["id"] == "win")
    assert win["status"] == "computed"
    after = lines(folder / "verdicts.jsonl")
    assert missing([kept[0], *before[1:]], after) == []


def test_a_labelling_that_was_killed_then_keeps_its_scores(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stage_folder(workspace, ALONE, "labels")
    before = {name: lines(folder / name) for name in ("scores.jsonl", "feedback.jsonl")}
    for name in ("done.json", "feedback.jsonl", "counts.json"):
        (folder / name).unlink()
    said_now(capsys, "run", "ws/alone.yaml", "--workspace", "ws", "--set", "tracking=[]")
    for name, then in before.items():
        assert missing(then, lines(folder / name)) == [], name


def test_feedback_is_read_as_rows(workspace: Path) -> None:
    folder = stage_folder(workspace, ALONE, "labels")
    source = StageFeedback(stage="labels", feedback="binary", folder=str(folder))
    rows = list(source.load("train").rows)
    assert [row["desirable"] for row in rows].count(True) == 11
    assert len(rows) == 16
    assert rows[0]["prompt"][0]["content"] == "Excuse me, What is the capital of Italy?"


def test_samples_are_judged_and_labelled(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (stage_folder(workspace, ALONE, f"{name}-answers") for name in ("kto", "sft"))
    judged = said_now(
        capsys, "judge", "--a", str(a), "--b", str(b), "--judge", "longest", "--workspace", "ws"
    )
    labelled = said_now(
        capsys,
        *("label", "--of", "alone:draw", "--judge", "longest", "--threshold", "median"),
        *("--out", "labels.jsonl", "--workspace", "ws"),
    )
    metrics = judged["metrics"]
    assert (metrics["wins"], metrics["losses"], metrics["ties"]) == (2, 7, 1)
    assert (judged["characters"], metrics["len"]) == ([17.0, 17.0], 12.0)
    assert (labelled["desirable"], labelled["undesirable"], labelled["threshold"]) == (8, 8, 17.0)


def test_events_are_sent_to_a_tracker_of_today(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub(workspace)
    now = said_now(capsys, "sync", "alone", "--workspace", "ws")
    assert (now["run"], now["sent"][0]["events"]) == (ALONE, 41)
    events = lines(workspace / f"{ALONE}.seen")
    assert events == lines(workspace / "runs" / ALONE / "events.jsonl")
    now = said_now(capsys, "sync", "family", "--workspace", "ws")
    sent = {cell["id"]: [each["events"] for each in cell["sent"]] for cell in now["cells"]}
    assert sent == {"small/base": [15], "small/KTO": [19], "small/DPO": [19], "small/broken": [9]}


def test_mlflow_begins_a_new_run_where_its_store_is_gone(
    workspace: Path, mlflow_tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(mlflow_tables, workspace / "mlflow.db")
    state = json.loads((workspace / "runs" / ALONE / "mlflow.json").read_text())
    (old,) = state["stores"].values()
    now = said_now(capsys, "sync", "alone", "--workspace", "ws")
    assert now["sent"] == [{"use": "mlflow", "status": "sent", "events": 41}]
    record = json.loads((workspace / "runs" / ALONE / "run.json").read_text())
    assert record["trackers"] == now["trackers"]
    assert now["trackers"]["mlflow"]["label"] == "MLflow"
    state = json.loads((workspace / "runs" / ALONE / "mlflow.json").read_text())
    (new,) = state["stores"].values()
    assert new["run_id"] not in (None, old["run_id"])
    # A new run of MLflow has the names of metrics of today.
    assert sorted(new["last_steps"].values()) == sorted(old["last_steps"].values())
    assert "upstream.sft/train/loss" in new["last_steps"]
    assert new["headlines"] == old["headlines"]


def no_tracker(workspace: Path) -> None:
    """Removes the trackers from the runs, because MLflow takes seconds."""
    for file in workspace.glob("runs/*/run.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "tracking": []}))


def stub(workspace: Path) -> None:
    """Gives the runs a tracker that writes events to files."""
    (workspace / "stub.py").write_text(STUB)
    trackers = [{"use": f"file:{workspace / 'stub.py'}:Stub"}]
    for file in workspace.glob("runs/*/run.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "tracking": trackers}))
