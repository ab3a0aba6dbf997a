"""Tokens that a model has never learned. Low-rank factors do not train their embedding rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from halo_core.errors import ModelError, did_you_mean
from halo_models.shards import whole
from halo_trainer.encode.examples import EncodedExample

NEAR = 0.05
"""Largest distance of an untrained row from the mean row, as a share of the median distance.

halo initialises new tokens with the mean of the old rows. transformers draws them around it, with a
thousandth of the spread or less.
"""
TINY = 1e-6
"""Length below which a row counts as zero, as a share of the median length."""
LOOKED_AT = 500
"""Number of examples that are searched for new tokens."""
SHOWN = 5
"""Largest number of tokens that a message names."""


def tokens_to_train(
    wanted: Literal["new"] | Sequence[str] | None,
    model: Any,
    tokenizer: Any,
    data: Sequence[EncodedExample],
) -> list[int]:
    """Returns the tokens whose rows are trained along with low-rank factors, in order.

    Args:
        wanted: The option: all new tokens, a list of tokens, or none.
        model: The model as it was loaded, with room for all tokens.
        tokenizer: The tokenizer, which has the names of the tokens.
        data: The training data.

    Raises:
        ModelError: When the data use a new token that would not be trained, a token is not in the
            vocabulary, or rows of the model cannot be trained.
    """
    new = new_tokens(model, len(tokenizer))
    chosen = _ids(wanted, new, tokenizer)
    left = sorted(_used(data) & set(new) - set(chosen))
    if left:
        names = ", ".join(repr(tokenizer.convert_ids_to_tokens(i)) for i in left[:SHOWN])
        more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        raise ModelError(
            f"the data use tokens that the model never learned: {names}{more}. LoRA leaves their "
            "rows in the embeddings as they are, so they could not be learned, and an answer that "
            "ends with one would not end. Set lora: {train_tokens: new}, or train all weights",
            location="lora.train_tokens",
        )
    if chosen and getattr(model.get_output_embeddings(), "bias", None) is not None:
        raise ModelError(
            f"the output head of {type(model).__name__} has a bias, which peft leaves out where it "
            "trains rows of it; train all weights",
            location="lora.train_tokens",
        )
    return chosen


def _ids(
    wanted: Literal["new"] | Sequence[str] | None, new: Sequence[int], tokenizer: Any
) -> list[int]:
    if wanted is None:
        return []
    return list(new) if wanted == "new" else named_ids(wanted, tokenizer)


def named_ids(tokens: Sequence[str], tokenizer: Any) -> list[int]:
    """Returns the ids of tokens, in order.

    Raises:
        ModelError: When one is not in the vocabulary.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    for token in tokens:
        if token not in vocabulary:
            raise ModelError(
                f"{token!r} is not a token of the model's vocabulary."
                f"{did_you_mean(token, vocabulary)} Give tokens as the tokenizer spells them",
                location="lora.train_tokens",
            )
    return sorted({vocabulary[token] for token in tokens})


def _used(data: Sequence[EncodedExample]) -> set[int]:
    """Returns the tokens of the first examples."""
    ids: set[int] = set()
    for position in range(min(len(data), LOOKED_AT)):
        for completion in data[position].completions:
            ids.update(completion.prompt_ids.tolist(), completion.completion_ids.tolist())
    return ids


@torch.no_grad()
def new_tokens(model: Any, size: int) -> list[int]:
    """Returns the tokens whose input or output rows were initialised but never learned.

    Such a row is zero, almost equal to the mean row, or equal to another row. If the weights are
    sharded, all processes must call it.

    Args:
        model: A causal language model of transformers.
        size: Number of tokens of its tokenizer. Further rows belong to no token.
    """
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    weights = {id(layer.weight): layer.weight for layer in layers if layer is not None}
    return sorted({token for weight in weights.values() for token in _made(weight) if token < size})


def _made(weight: Tensor) -> Iterable[int]:
    rows = whole(weight).float()
    lengths = rows.norm(dim=1)
    distances = (rows - rows.mean(0)).norm(dim=1)
    made = (lengths <= TINY * lengths.median()) | (distances <= NEAR * distances.median())
    found: list[int] = made.nonzero()[:, 0].tolist()
    return {*found, *_equal_to_another(rows)}


def _equal_to_another(rows: Tensor) -> Iterable[int]:
    """Returns the rows that are exactly equal to another row."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(rows.shape[1], generator=generator).to(rows.device)
    # Equal rows have equal products with a vector. Few other rows do.
    order = (rows * direction).sum(1).argsort(stable=True)
    same = (rows[order[1:]] == rows[order[:-1]]).all(1)
    pairs = same.nonzero()[:, 0]
    return {*order[pairs].tolist(), *order[pairs + 1].tolist()}
