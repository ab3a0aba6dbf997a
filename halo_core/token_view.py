"""A row as a model sees it: what a stage shows for `halo data --tokens`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tokens:
    """A piece of rendered text and its token ids.

    Attributes:
        text: The text; with raw ids of a sample, what they decode to.
        ids: Its token ids.
        pieces: What each id decodes to, in order.
    """

    text: str
    ids: Sequence[int]
    pieces: Sequence[str]


@dataclass(frozen=True)
class CompletionView:
    """What a model learns of a completion.

    Attributes:
        column: The row's column: `completion`, `chosen`, `rejected` or `text`.
        trained: The tokens that are trained, the end included where there is one.
        cut: Number of tokens that `max_length` cut off.
        desirable: Its label; true for demonstrations, texts and chosen completions.
        remarks: What is counted of it, in words.
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
        prompt: The prompt that it sees; None where the row was dropped.
        prompt_cut: Whether the prompt lost its beginning.
        completions: What it learns; none for a stage that only reads prompts.
        dropped: Why the row is left out; None where it is not.
    """

    row: str
    prompt: Tokens | None
    prompt_cut: bool = False
    completions: Sequence[CompletionView] = ()
    dropped: str | None = None
