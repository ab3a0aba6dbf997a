"""A causal language model with random weights, from a transformers configuration."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from halo_core.errors import ModelError, did_you_mean

_ROPE = ("rope_theta", "rope_scaling", "partial_rotary_factor", "rotary_pct", "rotary_emb_base")
"""Older names for parts of `rope_parameters`, which transformers still takes."""


def make_config(options: Mapping[str, Any], tokenizer: Any) -> Any:
    """Returns the transformers configuration that options describe, fitted to a tokenizer.

    Args:
        options: Fields of the configuration class, and its `model_type` (``llama``).
        tokenizer: Gives the size of the vocabulary and the special tokens.

    Raises:
        ModelError: When there is no such model type, a key is unknown (transformers would ignore
            it), or a value does not fit.
    """
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    fields = dict(options)
    model_type = fields.pop("model_type", "llama")
    if model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(
            _unknown("causal language model", model_type, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES),
            location="config.model_type",
        )
    config_class = CONFIG_MAPPING[model_type]
    names = [*inspect.signature(config_class).parameters, *config_class.attribute_map, *_ROPE]
    for key in fields:
        if key not in names:
            raise ModelError(_unknown("key", key, names), location=f"config.{key}")
    special = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    try:
        return config_class(**fields, **special)
    except Exception as error:
        raise ModelError(" ".join(str(error).split()), location="config") from error


def _unknown(what: str, given: str, known: Iterable[str]) -> str:
    guess = did_you_mean(given, known, cutoff=0.5)
    return f"there is no {what} {given!r}.{guess} The names are those of transformers"


def make_model(config: Any, *, seed: int, dtype: torch.dtype) -> Any:
    """Returns a causal language model whose weights depend only on the seed and the configuration.

    Raises:
        ModelError: When the numbers of the configuration do not go together.
    """
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return AutoModelForCausalLM.from_config(config, dtype=torch.float32).to(dtype)
        except Exception as error:
            raise ModelError(
                f"no {config.model_type} can be made of it: {' '.join(str(error).split())}",
                location="config",
            ) from error
