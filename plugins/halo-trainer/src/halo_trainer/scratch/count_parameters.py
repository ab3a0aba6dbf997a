"""The number of weights of a new model, from its configuration alone. It needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def llama_parameters(config: Mapping[str, Any], vocab_size: int) -> int | None:
    """Returns the number of weights of a Llama, or None if the configuration leaves it open.

    >>> sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
    >>> llama_parameters(sizes | {"num_attention_heads": 2, "tie_word_embeddings": True}, 10)
    744
    """
    needed = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    if config.get("model_type", "llama") != "llama" or any(name not in config for name in needed):
        return None
    hidden, wide, layers, heads = (int(config[name]) for name in needed)
    key_heads = int(config.get("num_key_value_heads") or heads)
    head_size = int(config.get("head_dim") or hidden // heads)
    attention = 2 * hidden * head_size * (heads + key_heads)
    per_layer = attention + 3 * hidden * wide + 2 * hidden
    tables = 1 if config.get("tie_word_embeddings", False) else 2
    return tables * vocab_size * hidden + layers * per_layer + hidden
