"""Configurations of published models, so that a plan knows them without a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def _pythia(hidden: int, layers: int, heads: int, vocabulary: int) -> dict[str, Any]:
    return {
        "model_type": "gpt_neox",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
        "vocab_size": vocabulary,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
    }


def _llama(hidden: int, layers: int, heads: int, wide: int) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": wide,
        "vocab_size": 32000,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
    }


_PYTHIA = {
    "1.4b": _pythia(2048, 24, 16, 50304),
    "2.8b": _pythia(2560, 32, 32, 50304),
    "6.9b": _pythia(4096, 32, 32, 50432),
    "12b": _pythia(5120, 36, 40, 50688),
}
_LLAMA = {
    "7b": _llama(4096, 32, 32, 11008),
    "13b": _llama(5120, 40, 40, 13824),
    "30b": _llama(6656, 60, 52, 17920),
}

PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    **{f"eleutherai/pythia-{size}": config for size, config in _PYTHIA.items()},
    **{f"eleutherai/pythia-{size}-deduped": config for size, config in _PYTHIA.items()},
    **{f"huggyllama/llama-{size}": config for size, config in _LLAMA.items()},
}
"""The report's seven models by their lower-case id on the hub: those fields of ``config.json`` that
sizes depend on.

References:
    Biderman et al. 2023, Pythia, table 1, and the vocabulary sizes (padded differently by size) in
    the models' ``config.json`` on the hub.
    Touvron et al. 2023, LLaMA, table 2, and ``config.json``. The model that the report calls 30B is
    the paper's 32.5B one, which the paper names 33B.
"""


def published(hub: str | None) -> Mapping[str, Any] | None:
    """Returns the configuration of a published model by its id on the hub; None if not known.

    >>> published("EleutherAI/pythia-1.4b")["hidden_size"], published("someone/else")
    (2048, None)
    """
    return None if hub is None else PUBLISHED.get(hub.lower())
