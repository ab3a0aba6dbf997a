"""GRPO on a model's own samples: the policy begins as its sampler, and the scores rise."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.events import read_events

pytestmark = pytest.mark.slow

SPEC = """\
name: online
seed: 1
model:
  scratch:
    data: corpus
    vocab_size: 300
    config: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2,
      max_position_embeddings: 256}
data:
  corpus: {use: toy, feedback: text, size: 200}
  train: {use: toy, feedback: paired, size: 64}
stages:
  sft: {use: train, loss: sft, data: train, steps: 30, batch_size: 16, learning_rate: 5.0e-3}
  draw: {use: sample, from: previous, prompts: train, n: 32, samples_per_prompt: 4,
    max_new_tokens: 12, top_p: 1.0}
  labels: {use: label, of: draw, judge: {use: python, function: "file:judge.py:score"},
    feedback: scored}
  grpo: {use: train, from: previous, data: labels, batch_size: 16, steps: 4, learning_rate: 2.0e-3,
    log_every: 1, loss: {use: grpo, epsilon_low: 0.002, epsilon_high: 0.002, beta: 0.01}}
rounds: {n: 3, stages: [draw, labels, grpo]}
reports: []
"""
JUDGE = '''\
def score(prompt, completion):
    """Returns the share of the letters that are an a or an e."""
    return sum(letter in "ae" for letter in completion) / max(1, len(completion))
'''


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by stage id, for three rounds of sample, label and GRPO."""
    folder = tmp_path_factory.mktemp("online")
    (folder / "spec.yaml").write_text(SPEC)
    (folder / "judge.py").write_text(JUDGE)
    assert call(["run", str(folder / "spec.yaml"), "--workspace", str(folder / "w")]) == 0
    (record,) = folder.glob("w/runs/*/run.json")
    found = json.loads(record.read_text())["stages"]
    return {stage["id"]: folder / "w" / stage["folder"] for stage in found}


def curves(stage: Path) -> dict[int, dict[str, float]]:
    """Returns the metrics of each step."""
    found: dict[int, dict[str, float]] = {}
    for event, _ in read_events(stage / "events.jsonl"):
        if event["type"] == "metrics":
            found.setdefault(event["step"], {}).update(event["metrics"])
    return found


def test_every_draw_is_in_a_group_with_its_ids_and_log_probabilities(
    stages: dict[str, Path],
) -> None:
    samples = rows(stages["draw-1"] / "samples.jsonl")
    groups = rows(stages["labels-1"] / "feedback.jsonl")
    assert len(samples) == 4 * 32
    assert sum(len(group["scores"]) for group in groups) == len(samples)
    drawn = {(s["prompt_id"], tuple(s["token_ids"]), tuple(s["token_logps"])) for s in samples}
    kept = {
        (group["id"], tuple(ids), tuple(logps))
        for group in groups
        for ids, logps in zip(
            group["completions_token_ids"], group["completions_token_logps"], strict=True
        )
    }
    assert kept == drawn


@pytest.mark.parametrize("round_", [1, 2, 3])
def test_the_policy_begins_with_the_log_probabilities_of_its_sampler(
    stages: dict[str, Path], round_: int
) -> None:
    first, *_, last = curves(stages[f"grpo-{round_}"]).values()
    # No ratio is 0.2 % away from 1 at the first step, and the loss is the mean of the advantages.
    assert first["policy/clipped"] == 0
    assert first["policy/sampler_gap"] < 1e-5
    assert last["policy/sampler_gap"] > 1e-3
    assert first["train/loss"] == pytest.approx(0, abs=1e-3)
    assert first["policy/reference_kl"] == pytest.approx(0, abs=1e-6)
    assert last["policy/clipped"] > 0
    assert last["policy/reference_kl"] > 0


def test_the_mean_score_of_the_samples_rises(stages: dict[str, Path]) -> None:
    means = []
    for round_ in (1, 2, 3):
        groups = rows(stages[f"labels-{round_}"] / "feedback.jsonl")
        means.append(fmean(score for group in groups for score in group["scores"]))
    assert means[0] < means[1] < means[2], means
    assert means[2] > means[0] + 0.02, means
