"""Tokens at the end of a prompt that tell a model which kind of completion follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from halo_core.errors import ModelError
from halo_core.guarded.loss_calls import control_tokens_of
from halo_core.loss import Loss
from halo_models.notes import ModelNotes

Suffixes = tuple[int, int]
"""The token ids that end the prompts of desirable and of undesirable completions."""


def with_control_tokens(tokenizer: Any, loss: Loss, notes: ModelNotes) -> ModelNotes:
    """Adds a loss's control tokens to a tokenizer, and returns the notes of the trained model.

    A model that was trained with control tokens before keeps its own suffix under another loss.

    Args:
        tokenizer: The tokenizer, changed in place. The model's embeddings must grow with it.
        loss: The loss.
        notes: The notes of the model that is trained.

    Raises:
        ModelError: When a token already means something else in the vocabulary.
    """
    tokens = control_tokens_of(loss)
    if tokens is None:
        return notes
    check_control_tokens(tokenizer, tokens, notes)
    vocabulary = tokenizer.get_vocab()
    _add(tokenizer, [token for token in tokens if token not in vocabulary])
    known = dict.fromkeys([*notes.control_tokens, *tokens])
    return replace(notes, prompt_suffix=tokens[0], control_tokens=tuple(known), score_at=None)


def check_control_tokens(tokenizer: Any, tokens: Sequence[str], notes: ModelNotes) -> None:
    """Checks that a loss's control tokens have no other meaning yet.

    Args:
        tokenizer: A model's tokenizer. It is not changed.
        tokens: The loss's control tokens.
        notes: The model's notes.

    Raises:
        ModelError: When a token already means something else in the vocabulary.
    """
    vocabulary = tokenizer.get_vocab()
    for token in tokens:
        if token in vocabulary and token not in notes.control_tokens:
            raise ModelError(
                f"the control token {token!r} already means something: it is token "
                f"{vocabulary[token]} of the model's vocabulary. Choose one that is not in it",
                location="loss",
            )


def _add(tokenizer: Any, tokens: list[str]) -> None:
    from tokenizers import AddedToken

    added = [AddedToken(token, special=True, normalized=False) for token in tokens]
    tokenizer.add_tokens(added, special_tokens=True)


def suffixes(tokenizer: Any, loss: Loss | None, notes: ModelNotes) -> Suffixes | None:
    """Returns the ids that end prompts: the loss's control tokens, or else the model's own suffix.

    Args:
        tokenizer: A tokenizer that knows the tokens.
        loss: The loss that is trained; None when sampling.
        notes: The model's notes.
    """
    tokens = None if loss is None else control_tokens_of(loss)
    if tokens is not None:
        good, bad = tokens
    elif notes.prompt_suffix is not None:
        good = bad = notes.prompt_suffix
    else:
        return None
    return token_id(tokenizer, good), token_id(tokenizer, bad)


def token_id(tokenizer: Any, token: str) -> int:
    """Returns the id of a control token that ends a model's prompts.

    Raises:
        ModelError: When the tokenizer does not know it.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    if token not in vocabulary:
        raise ModelError(
            f"the model's prompts end with the control token {token!r}, which its tokenizer does "
            "not know. Expected a model folder as train writes it"
        )
    return vocabulary[token]
