"""Completions from a real server that shares no code with halo: `transformers serve`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from halo_core.rows import DataSet
from halo_core.stage import ModelInput, StageContext
from halo_models.load import load_tokenizer
from halo_trainer.sample.options import Sample

pytestmark = [pytest.mark.slow(seconds=25), pytest.mark.timeout(600)]
ROWS = [{"prompt": [{"role": "user", "content": f"moo {i}"}], "completion": "x"} for i in range(3)]


@pytest.fixture
def url(
    tiny_model: ModelInput, transformers_serve: Callable[[str], AbstractContextManager[str]]
) -> Iterator[str]:
    with transformers_serve(tiny_model.path) as address:
        yield f"{address}/v1"


def test_a_served_model_writes_the_most_probable_tokens_as_halo_does(
    url: str,
    tiny_model: ModelInput,
    make_data: Callable[..., DataSet],
    make_context: Callable[..., StageContext],
) -> None:
    given = {"prompts": "test", "max_new_tokens": 8, "temperature": 0.0}
    endpoint = {"url": url, "model": tiny_model.path, "server": "other", "prompts": "text"}
    made = {}
    warnings: list[str] = []
    for name, options in {"here": {"device": "cpu"}, "served": {"endpoint": endpoint}}.items():
        data = {"prompts": make_data("demonstration", ROWS, name=f"set-{name}")}
        models = {"from": tiny_model}
        context = make_context(data=data, models=models, name=name, warnings=warnings)
        Sample.build(json.dumps(given | options), {}).run(context)
        made[name] = [json.loads(line) for line in (context.folder / "samples.jsonl").open()]
    tokenizer = load_tokenizer(tiny_model, None)
    # The server leaves control tokens out of its texts.
    expected = [tokenizer.decode(s["token_ids"], skip_special_tokens=True) for s in made["here"]]
    assert [sample["completion"] for sample in made["served"]] == expected
    assert any(expected)
    assert [s["prompt_id"] for s in made["served"]] == [s["prompt_id"] for s in made["here"]]
    assert [warning[:14] for warning in warnings] == ["3 of 3 samples"] * 2
