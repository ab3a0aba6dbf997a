"""The sampled token ids are exactly those that are labelled, read and trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from halo_core.completion import completions_in
from halo_core.rows import DataSet

ROUND = """\
  draw{n}: {{use: sample, from: {model}, prompts: train, n: 24, max_new_tokens: 12}}
  labels{n}: {{use: label, of: draw{n}, judge: longest, feedback: binary, threshold: median}}
  kto{n}: {{use: train, from: {model}, data: labels{n}, loss: kto, batch_size: 8, steps: 2}}
"""
SPEC = f"""\
name: ids
seed: 1
model:
  scratch:
    data: corpus
    vocab_size: 300
    config: {{hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2,
      max_position_embeddings: 256}}
data:
  corpus: {{use: toy, feedback: text, size: 200}}
  train: {{use: toy, feedback: paired, size: 64}}
stages:
{ROUND.format(n=1, model="model")}{ROUND.format(n=2, model="kto1")}\
  rival: {{use: sample, from: kto2, prompts: train, n: 24, max_new_tokens: 12, temperature: 1.5}}
  pairs: {{use: label, of: draw1, against: rival, judge: longest, feedback: paired}}
  dpo: {{use: train, from: kto2, data: pairs, loss: dpo, batch_size: 8, steps: 1}}
reports: []
"""
SAMPLED = ("token_ids", "finish", "tokenizer", "template")


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def rows_of(stage: Path) -> list[dict[str, Any]]:
    """The rows of a training stage."""
    data = json.loads((stage / "stage.json").read_text())["data"]["data"]
    return list(DataSet(data["name"], data["feedback"], [Path(file) for file in data["files"]]))


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by stage id, for two rounds of sample, label and train, and pairs of both rounds."""
    from halo_core.cli import call

    folder = tmp_path_factory.mktemp("ids")
    (folder / "spec.yaml").write_text(SPEC)
    assert call(["run", str(folder / "spec.yaml"), "--workspace", str(folder / "w")]) == 0
    (record,) = folder.glob("w/runs/*/run.json")
    found = json.loads(record.read_text())["stages"]
    return {stage["id"]: folder / "w" / stage["folder"] for stage in found}


@pytest.mark.parametrize("number", [1, 2])
def test_labelled_samples_are_trained_as_they_were_sampled(
    stages: dict[str, Path], number: int
) -> None:
    samples = {line["prompt_id"]: line for line in lines(stages[f"draw{number}"] / "samples.jsonl")}
    rows = rows_of(stages[f"kto{number}"])
    assert len(rows) > 12
    for row in rows:
        sample = samples[row["prompt_id"]]
        kept = [row["completion_token_ids"], *(row[name] for name in SAMPLED[1:])]
        assert kept == [sample[name] for name in SAMPLED]
        assert row["completion"] == sample["completion"]


def test_the_ids_that_were_sampled_are_the_ids_that_are_learned(stages: dict[str, Path]) -> None:
    learned = set()
    for file in stages["dpo"].parents[1].glob("cache/**/*.arrow"):
        with pa.memory_map(str(file)) as source:
            table = pa.ipc.open_file(source).read_all()
        if "completions" in table.column_names:
            for completions in table.column("completions").to_pylist():
                learned |= set(map(tuple, completions))
    rows = [*rows_of(stages["kto1"]), *rows_of(stages["kto2"]), *rows_of(stages["dpo"])]
    ids = [
        (tuple(completion.token_ids or ()), completion.finish)
        for row in rows
        for completion in completions_in(row)
    ]
    # A completion that did not end has no end token.
    cut = {token_ids for token_ids, finish in ids if finish == "length"}
    assert cut
    assert cut <= learned


def test_both_sides_of_a_pair_are_trained_as_they_were_sampled(stages: dict[str, Path]) -> None:
    ids = {
        (line["prompt_id"], line["completion"]): (line["token_ids"], line["finish"])
        for id_ in ("draw1", "rival")
        for line in lines(stages[id_] / "samples.jsonl")
    }
    rows = rows_of(stages["dpo"])
    assert rows
    for row in rows:
        for side in ("chosen", "rejected"):
            kept = (row[f"{side}_token_ids"], row[f"{side}_finish"])
            assert kept == ids[row["prompt_id"], row[side]]


@pytest.mark.parametrize("id_", ["labels1", "pairs"])
def test_feedback_that_jsonl_reads_gives_the_rows_of_the_stage(
    stages: dict[str, Path], id_: str
) -> None:
    from halo_data.components import Jsonl

    given = {"labels1": "kto1", "pairs": "dpo"}
    file = stages[id_] / "feedback.jsonl"
    read = [dict(row) for row in Jsonl(path=str(file)).load("train").rows]
    trained = rows_of(stages[given[id_]])
    names = {"id", "prompt_id", "source"}
    assert [{k: v for k, v in row.items() if k not in names} for row in read] == [
        {k: v for k, v in row.items() if k not in names} for row in trained
    ]
