"""The sizes in the header of a GGUF file, as a configuration of transformers names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halo_trainer.gguf.header import GgufHeader

_KEYS: Mapping[str, str] = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "intermediate_size": "feed_forward_length",
    "max_position_embeddings": "context_length",
}
"""Keys of the header by field of the configuration, without the name of the architecture."""


def sizes_in(header: GgufHeader) -> dict[str, Any]:
    """Returns those fields of a configuration that the header has.

    Args:
        header: The header.
    """
    kind = header.architecture
    found: dict[str, Any] = {"model_type": kind}
    for field, key in _KEYS.items():
        if isinstance(value := header.values.get(f"{kind}.{key}"), int):
            found[field] = value
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    if "token_embd.weight" in shapes:
        found["vocab_size"] = shapes["token_embd.weight"][-1]
    found["tie_word_embeddings"] = "output.weight" not in shapes
    return found
