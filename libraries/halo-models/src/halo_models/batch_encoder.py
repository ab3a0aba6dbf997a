"""The token ids of whole texts, from the library tokenizers without transformers around it.

transformers makes masks, lists of tokens and a record of its own for every text. That takes a
quarter of the time of tokenising.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

IdsOf = Callable[[list[str]], list[list[int]]]


def batch_encoder(tokenizer: Any) -> IdsOf:
    """Returns a function that returns the ids of each text, without special tokens.

    Args:
        tokenizer: A transformers tokenizer. One with its own way of tokenising is asked itself.
    """
    if _is_ordinary(type(tokenizer)):
        return _direct(tokenizer)

    def asked(texts: list[str]) -> list[list[int]]:
        encoded = tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    return asked


def _is_ordinary(kind: Any) -> bool:
    """Returns whether a class of tokenizers has only transformers' own code around tokenizers."""
    from transformers import PreTrainedTokenizerFast

    names = ("__call__", "_encode_plus", "set_truncation_and_padding", "backend_tokenizer")
    return issubclass(kind, PreTrainedTokenizerFast) and all(
        getattr(kind, name, None) is getattr(PreTrainedTokenizerFast, name, None) for name in names
    )


def _direct(tokenizer: Any) -> IdsOf:
    backend = tokenizer.backend_tokenizer

    def ids_of(texts: list[str]) -> list[list[int]]:
        # Other users of the tokenizer may leave these set. transformers resets them as well.
        if backend.truncation is not None:
            backend.no_truncation()
        if backend.padding is not None:
            backend.no_padding()
        splits = tokenizer.split_special_tokens
        if backend.encode_special_tokens != splits:
            backend.encode_special_tokens = splits
        encoded = backend.encode_batch_fast(texts, add_special_tokens=False)
        return [each.ids for each in encoded]

    return ids_of
