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
class Removed:
    """Text that was cut out of a prompt.

    Attributes:
        at: Number of characters of the prompt's text before it.
        text: The text, as the uncut prompt has it.
    """

    at: int
    text: str


@dataclass(frozen=True)
class CompletionView:
    """The part of a completion that a model learns.

    Attributes:
        column: The row's column: `completion`, `chosen`, `rejected`, `text` or, for a group,
            `completions[0]` and so on.
        trained: The tokens that are trained, including the end token if there is one.
        cut: Number of tokens that `max_length` cut off.
        desirable: Its label. It is true for demonstrations, texts, chosen completions and groups.
        remarks: Counted properties, as texts for people.
        cut_off: The text of the tokens that `max_length` cut off.
        score: Its score; None unless the feedback is scored.
    """

    column: str
    trained: Tokens
    cut: int
    desirable: bool
    remarks: Sequence[str] = ()
    cut_off: str = ""
    score: float | None = None


@dataclass(frozen=True)
class TokenView:
    """A row as a model sees it.

    Attributes:
        row: Id of the row.
        prompt: The prompt that it sees; None if the row was dropped.
        prompt_cut: Whether the beginning of the prompt was cut.
        completions: The completions that it learns; none for a stage that only reads prompts.
        dropped: Why the row was dropped; None if it was not.
        removed: The text that was cut out of the prompt; None if none was, or if it is not known.
        template: The origin of the chat template, for people; "" if the row needs none.
    """

    row: str
    prompt: Tokens | None
    prompt_cut: bool = False
    completions: Sequence[CompletionView] = ()
    dropped: str | None = None
    removed: Removed | None = None
    template: str = ""
