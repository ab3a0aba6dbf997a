"""A prompt and its answers, before and after a chat template writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from halo_core.errors import DataError
from halo_core.feedback import Message, Prompt
from halo_models.templates import TEMPLATE_DATE

FORMAT_VERSION = 2
"""Part of the key of tokens on disk. It is raised when the same rows would get other ids."""

DIFFERS = "differ from the generation prompt"
CHANGED = "are changed by the template"
STRADDLES = "share a token with their prompt"
SPELLS = "spell control tokens"

SPELLED_ADVICE = (
    "; these stay text. If a template was already applied to the rows, remove it, or set "
    "pretemplated: true. Use content_tokens for tokens that belong in a text"
)

THOUGHTS = ("reasoning_content", "thinking", "reasoning")
"""Names of one field. transformers passes each of them to a template."""

Tools = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ChatOptions:
    """Options for converting rows to text, in addition to the template.

    Attributes:
        template_date: The date that a template gets when it asks for today's date. None means the
            date that the model was trained with, or `TEMPLATE_DATE` if there is none.
        content_tokens: Added tokens that may occur in content, or, with a ``-`` in front, may not.
            None means the tokens that the model was trained with, if any.
        pretemplated: Whether prompts and completions already contain the template's marks.
        template_mismatch: The treatment of a row that the template cannot write.
    """

    template_date: str | None = None
    content_tokens: tuple[str, ...] | None = None
    pretemplated: bool = False
    template_mismatch: Literal["error", "drop"] = "error"

    @property
    def date(self) -> str:
        """The date that a template gets when it asks for one."""
        return self.template_date or TEMPLATE_DATE


@dataclass(frozen=True)
class Conversation:
    """A prompt, with the functions that the assistant may call.

    Attributes:
        prompt: The messages.
        tools: JSON schemas of functions; None if there are none.
        place: The source of the prompt, for error messages.
    """

    prompt: Prompt
    tools: Tools | None = None
    place: str = ""


@dataclass(frozen=True)
class Answer:
    """An answer to a prompt.

    Attributes:
        content: The text of the answer.
        fields: Other fields of the message, such as `tool_calls`.
        ended: Whether the answer ended by itself and was not cut off.
        token_ids: The token ids, if a model with this tokenizer and template wrote the answer. They
            do not include the token that ended it. None if the answer is rendered.
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
    """The text of a prompt with its answer. Both contain `CUT`s in strings that are only spelled.

    Attributes:
        prompt: The text that the answer follows.
        trained: The text that is learned.
        ends: Whether `trained` contains the mark that ends the answer. If it does not and the
            answer ended, the end-of-sequence token follows.
        remarks: Remarks to count: `DIFFERS`, `CHANGED`, `SPELLS`.
    """

    prompt: str
    trained: str
    ends: bool
    remarks: frozenset[str] = frozenset()


class TemplateMismatchError(DataError):
    """The template leaves out part of a row, or writes another prompt than sampling sees.

    Args:
        reason: The problem.
        advice: Advice to the user, apart from dropping such rows.
        place: The source of the row.
        kind: The reason in a few words, without the row's own values; `reason` if left out.

    Attributes:
        reason: The problem, without the advice.
        kind: The name under which such rows are counted.
    """

    def __init__(self, reason: str, advice: str, place: str, kind: str | None = None) -> None:
        super().__init__(
            f"{reason}. {advice}, or drop such rows with template_mismatch: drop", location=place
        )
        self.reason = reason
        self.kind = kind or reason
