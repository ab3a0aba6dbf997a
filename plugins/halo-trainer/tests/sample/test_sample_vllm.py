"""The calls of vLLM's offline engine, against a module with its documented names."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from halo_core.errors import UserError
from halo_core.rows import DataSet
from halo_core.stage import ModelInput, StageContext
from halo_models.load import load_tokenizer
from halo_trainer.sample.options import Sample

ROWS = [{"prompt": [{"role": "user", "content": f"moo {i}"}], "completion": "x"} for i in range(3)]


class LLM:
    """A model that writes 7, a token of the seed, and the first end, or no end at all."""

    made: dict[str, Any]
    calls: list[tuple[Any, Any]]

    def __init__(self, **options: Any) -> None:
        type(self).made, type(self).calls = options, []

    def generate(self, prompts: Any, params: Any, *, use_tqdm: bool) -> list[Any]:
        self.calls.append((prompts, params))
        return [SimpleNamespace(outputs=[self._output(each)]) for each in params]

    def _output(self, params: Any) -> Any:
        ids = (7, 5 + params.seed % 40, params.stop_token_ids[0])
        logprobs = [{id_: SimpleNamespace(logprob=-0.25)} for id_ in ids]
        return SimpleNamespace(token_ids=ids, logprobs=logprobs, finish_reason="stop")


@pytest.fixture
def context(
    tiny_model: ModelInput,
    make_data: Callable[..., DataSet],
    make_context: Callable[..., StageContext],
) -> StageContext:
    data = {"prompts": make_data("demonstration", ROWS, name="test")}
    return make_context(data=data, models={"from": tiny_model})


def stage(**options: Any) -> Sample:
    given = {"prompts": "test", "max_new_tokens": 12, "engine": "vllm"}
    return Sample.build(json.dumps(given | options), {})


def test_the_offline_engine_gets_ids_and_gives_ids_and_log_probabilities(
    context: StageContext, tiny_model: ModelInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, SimpleNamespace
    monkeypatch.setitem(sys.modules, "vllm", module)
    result = stage(samples_per_prompt=2, batch_size=2, precision="float32").run(context)
    made = [json.loads(line) for line in (context.folder / "samples.jsonl").open()]
    assert result.metrics["n"] == len(made) == 6
    for sample in made:
        assert (sample["tokens"], sample["finish"]) == (2, "stop")
        assert sample["token_logps"] == [-0.25] * 3
    tokenizer = load_tokenizer(tiny_model, None)
    assert LLM.made["model"] == tiny_model.path
    assert (LLM.made["dtype"], LLM.made["trust_remote_code"]) == ("float32", False)
    assert [len(prompts) for prompts, _ in LLM.calls] == [4, 2]
    prompts, params = LLM.calls[0]
    text = tokenizer.decode(prompts[0]["prompt_token_ids"])
    assert text.startswith(tokenizer.decode(tokenizer.encode("<|user|>")))
    assert (params[0].max_tokens, params[0].top_p, params[0].logprobs) == (12, 0.95, 0)
    assert tokenizer.eos_token_id in params[0].stop_token_ids
    assert len({each.seed for _, params in LLM.calls for each in params}) == 6


def test_a_missing_vllm_is_an_error_that_says_what_to_do(
    context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match="vLLM is not installed: pip install vllm, or leave engine"):
        stage().run(context)
    assert [each.name for each in stage().needed_here()] == ["vllm"]


def test_options_that_vllm_does_not_use_are_mistakes() -> None:
    assert [option for option, _ in stage(device="cpu", tokens_at_once=9).mistakes()] == [
        "tokens_at_once",
        "device",
    ]
