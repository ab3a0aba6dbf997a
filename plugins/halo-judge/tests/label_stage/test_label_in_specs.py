"""The stage `label` in specs: the examples of the documentation, and a whole run."""

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from halo_core.cli import call
from halo_core.plugins.local_file import import_file
from halo_core.rows import DataSet
from halo_core.run.run_files import to_yaml
from halo_core.spec.spec import load_spec

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "how-to" / "label-with-a-judge.md"

RUN = """\
name: labelled
seed: 1
model:
  scratch:
    data: corpus
    vocab_size: 400
    config: {hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2, max_position_embeddings: 256}
data:
  corpus: {use: toy, feedback: text, size: 40}
  train: {use: toy, feedback: paired, size: 40}
stages:
  reward: {use: train, loss: bradley-terry, data: train, steps: 2, batch_size: 4, learning_rate: 1.0e-3}
  pairs: {use: label, data: train, judge: {use: reward-model, from: reward}, feedback: paired}
  rule: {use: label, data: train, judge: {use: python, function: "file:./judge.py:score"}, feedback: binary, threshold: 4}
  kto: {use: train, from: model, data: pairs, loss: kto, steps: 1, batch_size: 4}
  both: {use: train, from: model, data: [rule, {use: paired-to-binary, source: pairs}], loss: kto, steps: 1, batch_size: 4}
reports: []
"""  # noqa: E501


def fenced(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def as_spec(block):
    """Returns a snippet of the page as a complete spec, with the stages that it refers to."""
    tree = YAML(typ="safe", pure=True).load(block)
    if "judge" in tree:
        labels = {"use": "label", "of": "draw", "feedback": "binary", "threshold": 0.5}
        tree = {"labels": {**labels, **tree}}
    stages = dict(tree.get("stages", tree))
    given = {"sft": {"use": "train", "loss": "sft", "data": "train"}}
    drawn = {name: {"use": "sample", "prompts": "train"} for name in ("draw", "one", "two")}
    toy = {"use": "toy", "feedback": "paired", "size": 8}
    return {
        "name": "snippet",
        "model": {"hub": "someone/small"},
        "data": {"train": toy, "more": {**toy, "split": "test"}},
        "stages": {**{k: v for k, v in (given | drawn).items() if k not in stages}, **stages},
    }


@pytest.mark.parametrize("block", fenced("yaml"))
def test_the_specs_on_the_page_are_valid(block, tmp_path):
    (tmp_path / "judge.py").write_text("def score(prompt, completion): return 1\n")
    (tmp_path / "spec.yaml").write_text(to_yaml(as_spec(block)))
    load_spec(tmp_path / "spec.yaml")


def test_the_rule_on_the_page_scores(tmp_path):
    (code,) = fenced("python")
    (tmp_path / "judge.py").write_text(code)
    score = import_file(tmp_path / "judge.py").score
    assert score([], "SHOUT") < score([], "a longer answer") < score([], "short")


def test_the_example_of_rounds_is_valid():
    stages = {stage.id: stage for stage in load_spec(ROOT / "examples" / "rounds-toy.yaml").stages}
    assert stages["kto-2"].feedback_from == ["labels-2"]


@pytest.mark.slow
def test_a_run_labels_by_a_reward_model_of_its_own_and_learns_from_it(tmp_path, capfd):
    (tmp_path / "judge.py").write_text(
        "def score(prompt, completion):\n    return float(len(completion.split()))\n"
    )
    spec = tmp_path / "spec.yaml"
    spec.write_text(RUN)
    arguments = ["run", str(spec), "--workspace", str(tmp_path / "w"), "--json"]
    assert call(arguments) == 0
    stages = {stage["id"]: stage for stage in json.loads(capfd.readouterr().out)["stages"]}
    pairs = Path(stages["pairs"]["folder"])
    rows = [json.loads(line) for line in (pairs / "feedback.jsonl").read_text().splitlines()]
    assert all(row["chosen_score"] > row["rejected_score"] for row in rows)
    rule = stages["rule"]["metrics"]
    assert rule["desirable"] + rule["undesirable"] == rule["n"] > 0
    learned = json.loads((Path(stages["both"]["folder"]) / "stage.json").read_text())["data"][
        "data"
    ]
    data = DataSet("both", learned["feedback"], [Path(file) for file in learned["files"]])
    assert (data.feedback, len(data)) == ("binary", rule["n"] + 2 * len(rows))
    assert call(arguments) == 0
    again = json.loads(capfd.readouterr().out)["stages"]
    assert {stage["status"] for stage in again} == {"cached"}
