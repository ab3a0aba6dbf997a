"""The example with a real model keeps to what two processor cores can do in 25 minutes."""

from __future__ import annotations

import json
from pathlib import Path

from halo_core.spec.spec import load_spec

EXAMPLES = Path(__file__).parents[2] / "examples"
STAGES = load_spec(EXAMPLES / "real-smollm2.yaml").stages
OPTIONS = {stage.id: stage.resolved.tree() for stage in STAGES}


def prompts(name: str) -> list[str]:
    lines = (EXAMPLES / "real" / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["prompt"] for line in lines]


def test_no_pass_answers_more_than_96_prompts_or_writes_more_than_48_tokens() -> None:
    assert (len(prompts("prompts.jsonl")), len(prompts("held-out.jsonl"))) == (96, 48)
    sampled = [options for options in OPTIONS.values() if options["use"] == "sample"]
    assert len(sampled) == 6
    assert {options["max_new_tokens"] for options in sampled} == {48}


def test_both_rounds_train_factors_of_low_rank_on_short_rows() -> None:
    trained = {id_: options for id_, options in OPTIONS.items() if options["use"] == "train"}
    assert list(trained) == ["kto-1", "kto-2"]
    for options in trained.values():
        assert (options["max_length"], options["epochs"], options["lora"]["rank"]) == (256, 1, 16)


def test_held_out_prompts_are_about_other_things() -> None:
    both = [*prompts("prompts.jsonl"), *prompts("held-out.jsonl")]
    about = [
        text.removeprefix("Write two sentences about ")
        .removeprefix("What is it like: ")
        .removeprefix("Describe ")
        .removesuffix(" in two sentences.")
        .rstrip(".?")
        for text in both
    ]
    assert len(set(about)) == len(about)


def test_the_second_judge_is_not_the_one_that_labels() -> None:
    functions = {id_: o["judge"]["function"] for id_, o in OPTIONS.items() if "judge" in o}
    names = {id_: function.rpartition(":")[2] for id_, function in functions.items()}
    assert {names[id_] for id_ in names if id_.startswith(("labels", "win"))} == {"vader"}
    assert {names[id_] for id_ in names if id_.startswith("other")} == {"afinn"}
