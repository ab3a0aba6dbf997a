"""Writes small GGUF files as llama.cpp's converter does, for tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""The name of a tensor in a GGUF file by its name in transformers, within a block or outside."""


@pytest.fixture
def write_gguf() -> Callable[..., None]:
    """Returns a function that writes a model as a GGUF file; see `_write`."""
    return _write


def _write(
    path: Path,
    model: Any,
    tokenizer: Any,
    *,
    architecture: str = "llama",
    quantised: bool = False,
    without: str = "",
    template: str | None = None,
    keys: dict[str, float] | None = None,
) -> None:
    """Writes a Llama with a byte-level BPE tokenizer.

    Args:
        path: The file.
        model: A Llama.
        tokenizer: Its tokenizer.
        architecture: The name of the architecture to write.
        quantised: Whether matrices are quantised to Q8_0.
        without: The name of a tensor to leave out.
        template: A chat template.
        keys: Further keys with numbers.
    """
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    config = model.config
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    for key, value in (keys or {}).items():
        writer.add_float32(key, value)
    _add_tokenizer(writer, tokenizer, template)
    kind = gguf.GGMLQuantizationType.Q8_0
    for name, weight in model.state_dict().items():
        ours = _name(name)
        if ours == without or (name == "lm_head.weight" and config.tie_word_embeddings):
            continue
        values = _permuted(weight.numpy(), name, config)
        if quantised and values.ndim == 2:
            writer.add_tensor(ours, gguf.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(ours, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, tokenizer: Any, template: str | None) -> None:
    tree = json.loads(tokenizer.backend_tokenizer.to_str())
    added = {token["content"]: token["special"] for token in tree["added_tokens"]}
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    # 1 is an ordinary token, 3 is a control token and 4 is one that the user defined.
    writer.add_token_types([{None: 1, True: 3, False: 4}[added.get(token)] for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in tree["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.eos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    if template is not None:
        writer.add_chat_template(template)


def _name(name: str) -> str:
    base, _, kind = name.rpartition(".")
    if not base.startswith("model.layers."):
        return f"{NAMES[base]}.{kind}"
    number, _, inner = base.removeprefix("model.layers.").partition(".")
    return f"blk.{number}.{NAMES[inner]}.{kind}"


def _permuted(weight: Any, name: str, config: Any) -> Any:
    """Returns a weight in llama.cpp's order: it rotates neighbours, and transformers halves."""
    heads = {
        "q_proj": config.num_attention_heads,
        "k_proj": config.num_key_value_heads,
    }.get(name.split(".")[-2])
    if heads is None:
        return weight
    rows = weight.shape[0]
    halves = weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)
