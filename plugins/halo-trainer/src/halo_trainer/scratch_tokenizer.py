"""A byte-level BPE tokenizer, trained on the rows of a data set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from halo_core.feedback import COLUMNS, Feedback
from halo_core.rows import DataSet

END = "<|endoftext|>"
"""Ends a text or a completion, and stands before a text."""

MARKS = ("<|user|>", "<|assistant|>", "<|system|>")
"""The control marks of TULU 2, one token each; visible when a completion is decoded."""

BYTES = 256
SMALLEST = BYTES + 1 + len(MARKS)
"""A vocabulary holds all bytes, the end and the marks."""


def train_tokenizer(data: DataSet, vocab_size: int) -> Any:
    """Returns a transformers tokenizer of at most `vocab_size` tokens, without a chat template.

    The same rows in the same order give the same tokenizer. It is smaller than `vocab_size` where
    the rows hold too few different words.

    Args:
        data: Rows of any kind; all their texts are used.
        vocab_size: Tokens, `SMALLEST` or more.

    References:
        Sennrich et al. 2016, Neural Machine Translation of Rare Words with Subword Units;
        Radford et al. 2019 for the bytes.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(MARKS),
        special_tokens=[AddedToken(END, special=True, normalized=False)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts(data), trainer)
    # Not special: a decoder that skips special tokens would hide that a model runs on as the user.
    backend.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in MARKS])
    # No padding token: torch leaves the embedding of one untrained, and here it would be the end.
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=END, eos_token=END)


def texts(data: DataSet) -> Iterator[str]:
    """Yields the texts of all rows, cut where they hold a control mark."""
    control = re.compile("|".join(map(re.escape, (END, *MARKS))))
    for row in data:
        for text in _row_texts(row, data.feedback):
            yield from filter(None, control.split(text))


def _row_texts(row: Mapping[str, Any], feedback: Feedback) -> Iterator[str]:
    for name, type_ in COLUMNS[feedback].items():
        if type_ == "string":
            yield row[name]
        elif type_ == "strings":
            yield from row[name]
        elif type_ == "messages":
            yield from (message["content"] for message in row[name])
