"""A small model of the same architecture, on which a large one is tried.

A model whose weights are spread over processes cannot be compared with itself cheaply: each pass
gathers all of it. The shortcuts that a scorer takes depend on the code of the architecture and on
its configuration, and not on the weights. So they are tried on a model with new weights, two blocks
or one for each kind of block, and a small vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch

from halo_core.errors import ModelError
from halo_trainer.model.probe import make_scorer
from halo_trainer.model.scorer import Scorer

BLOCKS = 2
"""Smallest number of blocks of a twin."""

VOCABULARY = 512
"""Largest number of tokens of a twin."""

SEED = 0
"""Seed of a twin's weights, alike on all processes."""

_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")
_FIRST = ("first_k_dense_replace", "max_window_layers", "num_kv_shared_layers")
"""Options that name the first, or the last, blocks of another kind."""


def make_scorer_by_twin(
    model: Any, *, compute_dtype: torch.dtype, max_length: int, warn: Callable[[str], None]
) -> Scorer:
    """Returns a scorer of a model that computes as `make_scorer` found right for its twin.

    Args:
        model: A causal language model of transformers, not wrapped. Its weights may be sharded.
        compute_dtype: The dtype in which the scorer computes.
        max_length: Largest length of a probe.
        warn: Receives a warning about shortcuts that are not taken.

    Raises:
        ModelError: When no twin can be built, or no path agrees with the model's own logits.
    """
    small = make_scorer(
        twin_of(model), compute_dtype=compute_dtype, max_length=max_length, warn=warn
    )
    config: Any = small.model.config
    model.set_attn_implementation(config._attn_implementation)
    scorer = Scorer(
        model,
        route=small.route,
        compute_dtype=compute_dtype,
        chunked=small.chunked,
        together=small.together,
    )
    scorer.shares = small.shares
    scorer.layers = small.layers
    return scorer


def twin_of(model: Any) -> Any:
    """Returns the small model in float32 and evaluation mode, on the device of the model.

    Raises:
        ModelError: When transformers cannot build it.
    """
    config = twin_config(model.config)
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        try:
            small = type(model)._from_config(config, dtype=torch.float32)
        except Exception as error:
            raise ModelError(
                f"{type(model).__name__} cannot be built with {BLOCKS} blocks to try how it "
                f"computes ({type(error).__name__}); set sharding: none"
            ) from error
    return small.to(device).eval()


def twin_config(config: Any) -> Any:
    """Returns a model's configuration with few blocks and tokens. The given one is not changed.

    A list with an entry for each block keeps the first entry of each combination.
    """
    small = copy.deepcopy(config)
    text = small.get_text_config()
    blocks = int(text.num_hidden_layers)
    lists = _per_block(text.to_dict(), blocks)
    kept = _first_of_each(lists, blocks)
    for name, values in lists.items():
        setattr(text, name, [values[i] for i in kept])
    for name in _FIRST:
        if isinstance(getattr(text, name, None), int):
            setattr(text, name, min(getattr(text, name), 1))
    text.num_hidden_layers = len(kept)
    text.vocab_size = min(text.vocab_size, VOCABULARY)
    for one in (small, text):
        for name in _TOKENS:
            if getattr(one, name, None) is not None:
                setattr(one, name, 0)
    return small


def _per_block(options: Mapping[str, Any], blocks: int) -> dict[str, list[Any]]:
    lists = {name: value for name, value in options.items() if isinstance(value, list)}
    return {
        name: value
        for name, value in lists.items()
        if len(value) == blocks and ("layer" in name or "block" in name)
    }


def _first_of_each(lists: Mapping[str, list[Any]], blocks: int) -> list[int]:
    """Returns the first block of each combination of entries, and at least two blocks."""
    seen: dict[str, int] = {}
    for block in range(blocks):
        seen.setdefault(repr([values[block] for values in lists.values()]), block)
    kept = sorted(seen.values())
    others = [block for block in range(blocks) if block not in kept]
    return sorted(kept + others[: max(0, BLOCKS - len(kept))])
