"""The number of weights from a configuration, against what transformers makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from halo_core.stage import KnownModel
from halo_models.skeleton import skeleton
from halo_trainer.scratch.options import Scratch
from halo_trainer.sizes.architecture import architecture_of
from halo_trainer.sizes.known import shape_of
from halo_trainer.sizes.published import PUBLISHED

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 0,
}
GROUPED = SIZES | {"num_key_value_heads": 2}
MODELS: list[tuple[str, dict[str, Any]]] = [
    ("llama", SIZES),
    ("llama", SIZES | {"tie_word_embeddings": True}),
    ("llama", GROUPED | {"attention_bias": True, "mlp_bias": True}),
    ("llama", SIZES | {"head_dim": 8}),
    ("mistral", GROUPED),
    ("qwen2", GROUPED),
    ("qwen3", GROUPED | {"head_dim": 8}),
    ("gemma", GROUPED | {"head_dim": 8}),
    ("mixtral", GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    ("gpt_neox", SIZES),
    ("gpt_neox", SIZES | {"attention_bias": False, "tie_word_embeddings": True}),
]
TOTALS = {
    "eleutherai/pythia-1.4b": 1_414_647_808,
    "eleutherai/pythia-2.8b": 2_775_208_960,
    "eleutherai/pythia-6.9b": 6_857_302_016,
    "eleutherai/pythia-12b": 11_846_072_320,
    "huggyllama/llama-7b": 6_738_415_616,
    "huggyllama/llama-13b": 13_015_864_320,
    "huggyllama/llama-30b": 32_528_943_616,
}
"""The totals that the models' authors and their files on the hub give."""


@pytest.mark.parametrize(("kind", "options"), MODELS)
def test_the_formula_counts_every_weight_that_transformers_makes(
    kind: str, options: dict[str, Any]
) -> None:
    config = AutoConfig.for_model(kind, **options)
    made = sum(weight.numel() for weight in skeleton(config).parameters())
    shape = architecture_of(json.loads(config.to_json_string(use_diff=False)))
    assert shape is not None
    assert shape.weights == made


@pytest.mark.parametrize(("hub", "total"), TOTALS.items())
def test_the_models_of_the_report_have_their_published_number_of_weights(
    hub: str, total: int
) -> None:
    shape = shape_of(KnownModel(hub=hub, weights=30_000_000_000))
    assert shape.weights == total
    assert shape.source == f"from the sizes of its {PUBLISHED[hub]['model_type']} configuration"


def test_a_published_model_has_the_weights_that_transformers_makes_of_its_sizes() -> None:
    fields = dict(PUBLISHED["huggyllama/llama-30b"])
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    made = sum(weight.numel() for weight in skeleton(config).parameters())
    assert made == TOTALS["huggyllama/llama-30b"]


def test_another_kind_is_counted_without_memory_and_with_the_defaults_of_transformers() -> None:
    shape = shape_of(KnownModel(config={"model_type": "gpt2", "n_layer": 3, "vocab_size": 90}))
    assert shape.architecture is not None
    assert (shape.architecture.layers, shape.architecture.hidden) == (3, 768)
    config = AutoConfig.for_model("gpt2", n_layer=3, vocab_size=90)
    assert shape.weights == sum(weight.numel() for weight in skeleton(config).parameters())
    assert shape.weights == pytest.approx(shape.architecture.weights, rel=0.01)


def test_only_experts_that_compute_a_token_count_as_used() -> None:
    shape = architecture_of(MODELS[8][1] | {"model_type": "mixtral"})
    assert shape is not None
    assert shape.weights - shape.used == 2 * 2 * 3 * 16 * 24


def test_a_name_alone_gives_a_rounded_number_and_says_so() -> None:
    shape = shape_of(KnownModel(hub="someone/small-1b", weights=10**9))
    assert (shape.weights, shape.architecture) == (10**9, None)
    assert shape.source == "rounded, from its name"


def test_a_configuration_that_nobody_can_build_leaves_sizes_open() -> None:
    shape = shape_of(KnownModel(config={"model_type": "no-such-kind"}))
    assert (shape.weights, shape.architecture, shape.source) == (None, None, "")


def test_a_new_models_sizes_go_to_the_stages_after_it(tmp_path: Path) -> None:
    from halo_core.stage import Known

    sizes = {key: SIZES[key] for key in SIZES if key not in ("vocab_size", "pad_token_id")}
    stage = Scratch(config=sizes, data="rows", vocab_size=300)
    forecast = stage.forecast(Known(cache=tmp_path))
    assert forecast.config is not None
    assert forecast.config["vocab_size"] == 300
    config = AutoConfig.for_model("llama", **sizes, vocab_size=300)
    assert forecast.weights == sum(weight.numel() for weight in skeleton(config).parameters())
