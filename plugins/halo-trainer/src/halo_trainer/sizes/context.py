"""The number of tokens that a model can take, from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAMES = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")


def context_in(config: Mapping[str, Any]) -> int | None:
    """Returns the largest number of tokens of a sequence; None if the configuration has none.

    >>> context_in({"max_position_embeddings": 2048})
    2048
    """
    sizes = [config[name] for name in _NAMES if isinstance(config.get(name), int)]
    return min((size for size in sizes if size > 0), default=None)
