"""A row as a model sees it, for `halo data --tokens`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tokens:
    """A piece of rendered text and its token ids.

    Attributes:
        text: The text. For the raw ids of a sample, it is their decoded text.
        ids: The token ids.
        pieces: The decoded text of each id, in order.
    """

    text: str
    ids: Sequence[int]
    pieces: Sequence[str]


@dataclass(frozen=True)
class CompletionView:
    """The part of a completion that a model learns.

    Attributes:
        column: The row's column: `completion`, `chosen`, `rejected` or `text`.
        trained: The tokens that are trained, including the end token if there is one.
        cut: Number of tokens that `max_length` cut off.
        desirable: Its label. It is true for demonstrations, texts and chosen completions.
        remarks: Counted properties, as texts for people.
    """

    column: str
    trained: Tokens
    cut: int
    desirable: bool
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class TokenView:
    """A row as a model sees it.

    Attributes:
        row: Id of the row.
        prompt: The prompt that it sees; None if the row was dropped.
        prompt_cut: Whether the beginning of the prompt was cut.
        completions: The completions that it learns; none for a stage that only reads prompts.
        dropped: Why the row was dropped; None if it was not.
    """

    row: str
    prompt: Tokens | None
    prompt_cut: bool = False
    completions: Sequence[CompletionView] = ()
    dropped: str | None = None
