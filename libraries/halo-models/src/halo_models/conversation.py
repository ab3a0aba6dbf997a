"""A prompt and its answers, before and after a chat template wrote them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from halo_core.errors import DataError
from halo_core.feedback import Message, Prompt
from halo_models.templates import TEMPLATE_DATE

FORMAT_VERSION = 2
"""Part of what names tokens on disk: raised whenever the same rows would get other ids."""

DIFFERS = "differ from the generation prompt"
CHANGED = "are changed by the template"
STRADDLES = "share a token with their prompt"
SPELLS = "spell control tokens"

SPELLED_ADVICE = (
    "; these stay text. If a template was applied to the rows beforehand, take it off, or set "
    "pretemplated: true. Tokens that belong into a text are named in content_tokens"
)

THOUGHTS = ("reasoning_content", "thinking", "reasoning")
"""Names of one field: transformers gives a template each of them."""

Tools = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ChatOptions:
    """How rows become text, beside the template itself.

    Attributes:
        template_date: What a template is told when it asks for today's date; None for what the
            model was trained with, else `TEMPLATE_DATE`.
        content_tokens: Added tokens that may stand in content, or with a ``-`` in front, that may
            not; None for those that the model was trained with, else none.
        pretemplated: Whether prompts and completions hold the template's marks already.
        template_mismatch: What becomes of a row that the template cannot write.
    """

    template_date: str | None = None
    content_tokens: tuple[str, ...] | None = None
    pretemplated: bool = False
    template_mismatch: Literal["error", "drop"] = "error"

    @property
    def date(self) -> str:
        """What a template is told when it asks for the date."""
        return self.template_date or TEMPLATE_DATE


@dataclass(frozen=True)
class Conversation:
    """A prompt, with what the assistant may call in it.

    Attributes:
        prompt: Its messages.
        tools: JSON schemas of functions; None for none.
        place: Where it comes from, for messages.
    """

    prompt: Prompt
    tools: Tools | None = None
    place: str = ""


@dataclass(frozen=True)
class Answer:
    """An answer to a prompt.

    Attributes:
        content: Its text.
        fields: What else its message holds, such as `tool_calls`.
        ended: Whether it ended by itself, and was not cut off.
        token_ids: Its tokens, where a model with this tokenizer and template made it; without the
            token that ended it. None where it is rendered.
    """

    content: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    ended: bool = True
    token_ids: Sequence[int] | None = None

    @property
    def message(self) -> Message:
        """The assistant's message."""
        return cast(Message, {"role": "assistant", "content": self.content, **self.fields})


@dataclass(frozen=True)
class RenderedAnswer:
    """The text of a prompt with its answer; both hold `CUT`s in what is only spelled.

    Attributes:
        prompt: What the answer follows.
        trained: What is learned.
        ends: Whether `trained` holds the mark that ends it. Where it does not and the answer ended,
            the end-of-sequence token follows.
        remarks: What is counted of it: `DIFFERS`, `CHANGED`, `SPELLS`.
    """

    prompt: str
    trained: str
    ends: bool
    remarks: frozenset[str] = frozenset()


class TemplateMismatchError(DataError):
    """The template does not write all of a row, or writes another prompt than sampling sees.

    Args:
        reason: What is wrong.
        advice: What to do, besides dropping such rows.
        place: Where the row comes from.
        kind: The same in a few words, without what is the row's own; `reason` when left out.

    Attributes:
        reason: What is wrong, without the advice.
        kind: What such rows are counted under.
    """

    def __init__(self, reason: str, advice: str, place: str, kind: str | None = None) -> None:
        super().__init__(
            f"{reason}. {advice}, or drop such rows with template_mismatch: drop", location=place
        )
        self.reason = reason
        self.kind = kind or reason
