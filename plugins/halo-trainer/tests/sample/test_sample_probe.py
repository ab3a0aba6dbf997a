"""Left-padded batches of architectures are right; otherwise halo warns and samples one by one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from halo_core.errors import ModelError
from halo_core.rows import DataSet
from halo_core.sampling import Sampling
from halo_core.stage import ModelInput, StageContext
from halo_models.save import save_model_folder
from halo_trainer.sample.generate import go_on
from halo_trainer.sample.key_blocks import Decoding
from halo_trainer.sample.options import Sample
from halo_trainer.sample.probe import find_route
from halo_trainer.sample.sampler import Generated, Route, Sampler

VOCABULARY = 60
END = 1
NEW_TOKENS = 8
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": END,
    "pad_token_id": 0,
}
GROUPED = SIZES | {"num_key_value_heads": 2, "head_dim": 8}
FEW = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2}
LARGE = {"initializer_range": 0.3}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
HYBRID = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
    "expert_layer_period": 2,
    "expert_layer_offset": 1,
    "use_mamba_kernels": False,
    "mamba_d_state": 8,
}
PACKED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", GROUPED),
    "gpt2": ("gpt2", {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4} | LARGE),
    "gpt_neox": ("gpt_neox", SIZES),
    "gemma3": ("gemma3_text", GROUPED | {"sliding_window": 6}),
    "gemma2": ("gemma2", GROUPED | {"sliding_window": 6, "attn_logit_softcapping": 2.0}),
    "gpt_oss": ("gpt_oss", GROUPED | EXPERTS | {"sliding_window": 6}),
    "mistral with a short window": ("mistral", GROUPED | {"sliding_window": 5}),
    "mixtral": ("mixtral", GROUPED | EXPERTS),
    "opt": (
        "opt",
        FEW | {"ffn_dim": 64, "num_attention_heads": 4, "word_embed_proj_dim": 32, "init_std": 0.3},
    ),
}
TOGETHER: dict[str, tuple[str, dict[str, Any]]] = {
    "bloom": ("bloom", {"vocab_size": VOCABULARY, "hidden_size": 32, "n_head": 4} | LARGE),
    "falcon": ("falcon", FEW | LARGE | {"num_attention_heads": 4}),
    "falcon with alibi": ("falcon", FEW | LARGE | {"num_attention_heads": 4, "alibi": True}),
    "mamba": ("mamba", FEW | LARGE | {"state_size": 8}),
    "jamba": ("jamba", GROUPED | HYBRID),
}
ALONE: dict[str, tuple[str, dict[str, Any]]] = {
    "rwkv": ("rwkv", FEW | {"attention_hidden_size": 32, "intermediate_size": 48}),
    "recurrent_gemma": (
        "recurrent_gemma",
        FEW
        | {
            "num_hidden_layers": 3,
            "lru_width": 32,
            "num_attention_heads": 4,
            "intermediate_size": 96,
            "attention_window_size": 16,
            "w_init_variance_scale": 1.0,
        },
    ),
}
PROMPTS = [(f"p{i}", list(range(2, 2 + n))) for i, n in enumerate((5, 2, 19, 8, 11, 3))]


def make(kind: str, options: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **options))
    return model.float().eval()


def probe(model: Any, warnings: list[str], **options: Any) -> Route:
    given = {"ends": [END], "max_prompt_length": 32, "max_new_tokens": NEW_TOKENS} | options
    return find_route(model, warn=warnings.append, **given)


def samples(model: Any, route: Route, copies: int = 1) -> list[Generated] | None:
    """Samples. Their log-probabilities are rounded as in their file, but not as closely."""
    sampler = Sampler(model, [END], Sampling(), NEW_TOKENS, 1, route=route, samples=copies)
    return rounded(sampler.batch(PROMPTS) or [])


def rounded(made: list[Generated]) -> list[Generated]:
    return [replace(one, token_logps=pytest.approx(one.token_logps, abs=1e-4)) for one in made]


def one_by_one(kind: str, options: dict[str, Any], copies: int = 1) -> list[Generated]:
    """Answers of a model that never gets a batch."""
    model = make(kind, options)
    sampler = Sampler(model, [END], Sampling(), NEW_TOKENS, 1, route="single", samples=copies)
    return [made for prompt in PROMPTS for made in sampler.batch([prompt]) or []]


@pytest.mark.parametrize("name", PACKED)
def test_prompts_without_padding_are_trusted_where_they_give_what_single_prompts_do(
    name: str,
) -> None:
    kind, options = PACKED[name]
    model = make(kind, options)
    warnings: list[str] = []
    assert probe(model, warnings) == "packed"
    assert warnings == []
    assert samples(model, "packed", copies=2) == one_by_one(kind, options, copies=2)


@pytest.mark.parametrize("name", TOGETHER)
def test_a_batch_is_trusted_where_it_samples_what_single_prompts_do(name: str) -> None:
    kind, options = TOGETHER[name]
    model = make(kind, options)
    warnings: list[str] = []
    assert probe(model, warnings) == "padded"
    (warning,) = warnings
    assert warning.startswith(
        f"{type(model).__name__} gives other logits for prompts without padding than for each "
        "alone ("
    )
    assert warning.endswith(
        "so prompts are padded and transformers' generate writes the completions; the samples are "
        "right, but sampling is slower"
    )
    assert samples(model, "padded") == one_by_one(kind, options)


@pytest.mark.parametrize("name", ALONE)
def test_a_batch_that_differs_is_told_and_answered_one_at_a_time(name: str) -> None:
    kind, options = ALONE[name]
    model = make(kind, options)
    warnings: list[str] = []
    assert probe(model, warnings) == "single"
    (warning,) = warnings
    assert warning.startswith(
        f"{type(model).__name__} gives other logits for left-padded prompts in a batch than for "
        "each alone (the difference is "
    )
    assert warning.endswith(
        "of the largest, where 0.0001 would be rounding), so prompts are answered one at a time; "
        "the samples are right, but sampling is slower"
    )
    single = one_by_one(kind, options)
    assert samples(model, "single") == single
    assert samples(model, "padded") != single


def test_a_batch_that_goes_wrong_behind_the_first_token_is_found_out() -> None:
    model = make(*PACKED["llama"])
    forward = model.forward

    def forgetful(**inputs: Any) -> Any:
        output = forward(**inputs)
        if inputs["input_ids"].shape == (4, 1) or isinstance(inputs.get("packed"), Decoding):
            output.logits = output.logits.flip(0, 1)
        return output

    model.forward = forgetful
    warnings: list[str] = []
    assert probe(model, warnings) == "single"
    assert len(warnings) == 1


def test_a_model_that_is_wrong_alone_too_is_refused() -> None:
    model = make(*PACKED["llama"])
    forward = model.forward

    def without_memory(**inputs: Any) -> Any:
        if inputs["input_ids"].shape[1] == 1 or isinstance(inputs.get("packed"), Decoding):
            inputs["input_ids"] = inputs["input_ids"] * 0 + 7
        return forward(**inputs)

    model.forward = without_memory
    with pytest.raises(ModelError, match="LlamaForCausalLM gives other logits when it answers"):
        probe(model, [])


def test_the_probe_leaves_weights_and_random_numbers_as_they_were() -> None:
    model = make(*PACKED["llama"]).to(torch.bfloat16)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    state = torch.get_rng_state()
    assert probe(model, []) == "packed"
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(w, before[n]) for n, w in model.state_dict().items())
    assert {w.dtype for w in model.parameters()} == {torch.bfloat16}


def test_reduced_precision_does_not_pass_for_an_error() -> None:
    model = make(*PACKED["llama"]).to(torch.bfloat16)
    rough: list[torch.Tensor] = []

    def take(scores: torch.Tensor, position: int) -> torch.Tensor:
        rough.append(scores.clone())
        return torch.full((len(scores),), 5)

    ids = [prompt for _, prompt in PROMPTS]
    go_on(model, ids, ends=[END], max_new_tokens=1, choose_next=take)
    for prompt in ids:
        go_on(model, [prompt], ends=[END], max_new_tokens=1, choose_next=take)
    gap = (torch.cat(rough[1:]) - rough[0]).abs().max() / (1 + rough[0].abs().max())
    assert gap > 1e-3
    assert probe(model, []) == "packed"


def test_a_probe_is_no_longer_than_what_is_sampled() -> None:
    model = make("gpt2", {"vocab_size": VOCABULARY, "n_positions": 8, "n_embd": 32, "n_head": 4})
    assert probe(model, [], max_prompt_length=5, max_new_tokens=3) == "packed"


def test_a_stage_with_a_recurrent_model_samples_what_single_prompts_do(
    tmp_path: Path,
    tiny_tokenizer: Any,
    make_data: Callable[..., DataSet],
    make_context: Callable[..., StageContext],
) -> None:
    kind, options = ALONE["rwkv"]
    model = make(kind, options | {"vocab_size": len(tiny_tokenizer), "bos_token_id": 0})
    save_model_folder(tmp_path / "rwkv", model, tiny_tokenizer)
    rows = [
        {"prompt": [{"role": "user", "content": "moo " * n}], "completion": "x"} for n in (1, 9, 4)
    ]
    data = {"prompts": make_data("demonstration", rows)}
    models = {"from": ModelInput(str(tmp_path / "rwkv"), None, "")}
    written: list[list[Any]] = []
    warnings: list[str] = []
    for size in (3, 1):
        context = make_context(data=data, models=models, name=f"by-{size}", warnings=warnings)
        Sample(prompts="test", max_new_tokens=8, batch_size=size, device="cpu").run(context)
        lines = (context.folder / "samples.jsonl").read_text().splitlines()
        written.append([json.loads(line)["token_ids"] for line in lines])
    assert written[0] == written[1]
    assert ["RwkvForCausalLM" in warning for warning in warnings] == [True]
