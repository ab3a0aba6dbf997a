"""Checks the values of well-known fields of a transformers configuration, without transformers.

`halo validate` does not import transformers, which takes seconds. The other fields are checked
when the stage looks at its inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_SIZES = frozenset(
    "hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads "
    "max_position_embeddings head_dim n_embd n_layer n_head n_positions n_inner".split()
)
_NUMBERS = frozenset(
    "initializer_range rms_norm_eps layer_norm_eps layer_norm_epsilon attention_dropout "
    "hidden_dropout resid_pdrop embd_pdrop attn_pdrop rope_theta rotary_pct".split()
)
_SWITCHES = frozenset("tie_word_embeddings attention_bias mlp_bias use_cache".split())


def wrong_values(config: Mapping[str, Any]) -> Iterator[str]:
    """Yields a message for each well-known field whose value has the wrong type or sign.

    Args:
        config: The fields as in a spec. None means the default of some fields.

    >>> list(wrong_values({"hidden_size": "16", "initializer_range": 0.02, "head_dim": None}))
    ["hidden_size is '16'; expected a whole number of at least 1"]
    """
    for key, value in config.items():
        expected = _expected(key, value)
        if expected and value is not None:
            yield f"{key} is {value!r}; expected {expected}"


def _expected(key: str, value: object) -> str | None:
    """Returns what a field needs if its value is not that; None if it is, or if halo cannot say."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if key in _SIZES and not (isinstance(value, int) and number and value >= 1):
        return "a whole number of at least 1"
    if key in _NUMBERS and not (isinstance(value, int | float) and number and value >= 0):
        return "a number of at least 0"
    if key in _SWITCHES and not isinstance(value, bool):
        return "true or false"
    return None


__all__ = ["wrong_values"]
