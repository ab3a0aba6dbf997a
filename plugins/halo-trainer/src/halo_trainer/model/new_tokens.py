"""Tokens whose rows in the embeddings a model never learned, which low-rank factors leave alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from halo_core.errors import ModelError, did_you_mean
from halo_trainer.encode.examples import EncodedExample

NEAR = 0.05
"""Distance from the mean row below which a row was only made, as a share of the median distance.

halo gives new tokens the mean of the old rows, and transformers draws them with a thousandth of the
spread or less around it.
"""
TINY = 1e-6
"""Length below which a row is nothing, as a share of the median length."""
LOOKED_AT = 500
"""Examples that are looked through for tokens of theirs."""
SHOWN = 5
"""Most tokens that a message names."""


def tokens_to_train(
    wanted: Literal["new"] | Sequence[str] | None,
    model: Any,
    tokenizer: Any,
    data: Sequence[EncodedExample],
) -> list[int]:
    """Returns the tokens whose rows are trained beside low-rank factors, in order.

    Args:
        wanted: The option: the new ones, these, or none.
        model: As it was loaded, with room for all tokens.
        tokenizer: Names them.
        data: What is learned from.

    Raises:
        ModelError: When the data use a token that is new to the model and that would not be
            trained, a token is not in the vocabulary, or rows of the model cannot be trained.
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
                f"{token!r} is no token of the model's vocabulary."
                f"{did_you_mean(token, vocabulary)} Give tokens as the tokenizer spells them",
                location="lora.train_tokens",
            )
    return sorted({vocabulary[token] for token in tokens})


def _used(data: Sequence[EncodedExample]) -> set[int]:
    """The tokens of the first examples."""
    ids: set[int] = set()
    for position in range(min(len(data), LOOKED_AT)):
        for completion in data[position].completions:
            ids.update(completion.prompt_ids.tolist(), completion.completion_ids.tolist())
    return ids


@torch.no_grad()
def new_tokens(model: Any, size: int) -> list[int]:
    """Returns the tokens whose rows were made and not learned, in the input or the output.

    They are nothing, all but equal to the mean row, or equal to another row.

    Args:
        model: A causal language model of transformers.
        size: Tokens of its tokenizer; further rows belong to no token.
    """
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    weights = {id(layer.weight): layer.weight for layer in layers if layer is not None}
    return sorted({token for weight in weights.values() for token in _made(weight) if token < size})


def _made(weight: Tensor) -> Iterable[int]:
    rows = weight.detach().float()
    lengths = rows.norm(dim=1)
    distances = (rows - rows.mean(0)).norm(dim=1)
    made = (lengths <= TINY * lengths.median()) | (distances <= NEAR * distances.median())
    found: list[int] = made.nonzero()[:, 0].tolist()
    return {*found, *_equal_to_another(rows)}


def _equal_to_another(rows: Tensor) -> Iterable[int]:
    """Rows that are equal to the bit to another one."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(rows.shape[1], generator=generator).to(rows.device)
    # Equal rows have equal products with a vector; few others do.
    order = (rows * direction).sum(1).argsort(stable=True)
    same = (rows[order[1:]] == rows[order[:-1]]).all(1)
    pairs = same.nonzero()[:, 0]
    return {*order[pairs].tolist(), *order[pairs + 1].tolist()}
