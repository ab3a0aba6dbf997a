"""A third party's stage, installed with pip, is treated like a built-in stage in all respects.

None of its options has a name that the core could know: `pupil`, `elder`, `corpus`, `exam`,
`objective`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Halo = Callable[..., Any]

DRILL = Path(__file__).with_name("drill")
ROWS = [
    *({"prompt": f"Is {n} even?", "completion": f"{n} is odd.", "label": False} for n in range(2)),
    *({"prompt": f"Say {n}.", "completion": f"{n}!", "label": True} for n in range(9)),
    {"prompt": "Say 0.", "completion": "0!", "label": False},
]
EXAM = [{"prompt": "Is 77 even?", "completion": "77 is odd.", "label": True}]
SPEC = """\
name: drilled
seed: 1
model:
  scratch:
    data: train
    vocab_size: 300
    config: {hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1,
             num_attention_heads: 2, num_key_value_heads: 2, max_position_embeddings: 128}
data:
  train: {use: jsonl, path: train.jsonl}
  test: {use: jsonl, path: exam.jsonl}
stages:
  lesson:
    use: drill/drill
    corpus: train
    exam: test
    objective: {use: kto, beta: 0.3}
  answers: {use: sample, prompts: test, max_new_tokens: 4}
  win: {use: judge, judge: longest, of: answers, against: target}
tracking: [{use: mlflow}]
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Returns the environment in which halo-drill is installed, in a folder of its own."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(DRILL)], check=True, timeout=280)
    path = [str(target), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path)}


def write_spec(folder: Path) -> Path:
    for name, rows in (("train", ROWS), ("exam", EXAM)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "spec.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return write_spec(tmp_path)


def planned(halo: Halo, spec: Path, env: dict[str, str]) -> list[str]:
    text = halo("plan", str(spec), env=env).out
    assert "lesson: drill/drill" in text, text
    block = text.partition("lesson: drill/drill")[2].partition("\n\n")[0]
    return [" ".join(line.split()) for line in block.splitlines()]


READ_AS = "binary; prompt <- prompt, completion <- completion, label <- label"


def test_its_rows_are_counted_its_model_is_linked_and_its_weights_are_told(
    halo: Halo, installed: dict[str, str], spec: Path
) -> None:
    assert planned(halo, spec, installed) == [
        ", to do",
        "pupil model",
        "elder model",
        "corpus train: jsonl, 12 rows of binary feedback",
        f"train.jsonl: {READ_AS}",
        "exam test: jsonl, 1 rows of binary feedback",
        f"exam.jsonl: {READ_AS}",
        "updates 12",
    ]
    after = halo("plan", str(spec), "--json", env=installed).json["stages"]
    assert after[2]["takes"] == {"from": "lesson"}


def test_what_it_learns_from_must_not_be_tested_on(
    halo: Halo, installed: dict[str, str], spec: Path
) -> None:
    (spec.parent / "exam.jsonl").write_text(json.dumps(ROWS[3]) + "\n")
    failed = halo("run", str(spec), "--set", "tracking=[]", env=installed)
    assert failed.code == 2
    assert "data set 'test': 1 of its 1 rows are also in 'train'" in failed.err
    assert not (spec.parent / "workspace" / "stages").exists()


def test_what_it_needs_is_converted_and_what_leads_nowhere_is_told(
    halo: Halo, installed: dict[str, str], spec: Path
) -> None:
    pairs = "data.train={use: toy, feedback: paired, size: 20}"
    block = halo("plan", str(spec), "--set", pairs, env=installed).out
    assert "(conversion inserted: paired-to-binary)" in block
    wrong = ["--set", "stages.lesson.corpus=trian", "--set", "stages.lesson.pupil=lessen"]
    failed = halo("validate", str(spec), *wrong, env=installed)
    assert "stages.lesson.corpus: unknown data set 'trian'. Did you mean 'train'?" in failed.err
    assert "stages.lesson.pupil: unknown earlier stage 'lessen'" in failed.err


@pytest.fixture(scope="module")
def done(
    halo_in: Halo,
    installed: dict[str, str],
    mlflow_tables: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Returns the folder of a run."""
    spec = write_spec(tmp_path_factory.mktemp("done"))
    workspace = spec.parent / "workspace"
    workspace.mkdir()
    shutil.copy(mlflow_tables, workspace / "mlflow.db")
    result = halo_in(spec.parent, "run", spec.name, "--json", env=installed)
    assert result.code == 0, result.err
    return Path(result.json["folder"])


def test_a_run_with_it_is_warned_sampled_judged_recorded_and_reported(done: Path) -> None:
    events = [json.loads(line) for line in (done / "events.jsonl").read_text().splitlines()]
    first = next(i for i, event in enumerate(events) if event["type"] == "stage-started")
    warned = [event["message"] for event in events[:first] if event["type"] == "warning"]
    assert "data set 'train': completions with both labels: 1." in warned[0]
    assert warned[1].startswith("lesson: ")
    assert "9 desirable" in warned[1]

    record = json.loads((done / "run.json").read_text())
    stages = {stage["id"]: stage for stage in record["stages"]}
    lesson = stages["lesson"]
    assert lesson["loss"] == "kto"
    assert lesson["models"] == {"pupil": "model", "elder": "model"}
    assert lesson["roles"] == {
        "pupil": "start",
        "corpus": "learn",
        "exam": "test",
        "objective": "loss",
    }
    assert stages["answers"]["models"] == {"from": "lesson"}

    resolved = (done / "spec.resolved.yaml").read_text()
    assert "pupil: model" in resolved
    assert "elder: model" in resolved
    page = (done / "report.html").read_text()
    assert "drill/drill (kto)" in page
    assert "lesson: loss" in page
    assert "What the losses assume about people" in page


def test_mlflow_shows_it_as_the_run_s_method(done: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{done.parents[1] / 'mlflow.db'}")
    (experiment,) = (e for e in client.search_experiments() if e.name != "Default")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "kto-b0.3-s1"
    assert run.data.tags["halo.method"] == "kto"
    assert run.data.metrics["train/loss"] > 0
    assert run.data.tags["halo.stage.lesson.steps"] == "12"


@pytest.mark.slow
def test_its_own_tests_pass(installed: dict[str, str], warm: Any) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    done = warm.run([*command, str(DRILL / "tests")], env={**os.environ, **installed}, timeout=280)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
