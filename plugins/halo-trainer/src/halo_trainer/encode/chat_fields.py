"""Options that say how rows become text. The stages `train` and `sample` have the same ones."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import AfterValidator, Field

from halo_core.option_markers import Added
from halo_models.conversation import ChatOptions
from halo_models.templates import date_or_none

TemplateDate = Annotated[
    str | None,
    AfterValidator(date_or_none),
    Added(),
    Field(
        description="The date that a chat template gets when it asks for today's date, such as "
        "2025-01-01. If left out, the date that the model was trained with, or 2025-01-01."
    ),
]
"""Date that templates get."""

ContentTokens = Annotated[
    list[str] | None,
    Added(),
    Field(
        description="Added tokens that content may contain, in addition to those that are neither "
        "special nor turn marks. A minus in front means that content may not contain the token. If "
        "left out, the tokens that the model was trained with."
    ),
]
"""Added tokens in content."""

Pretemplated = Annotated[
    bool,
    Added(),
    Field(
        description="Whether a chat template has already been applied to prompts and completions. "
        "They are then tokenised unchanged."
    ),
]
"""Whether rows contain the template's marks."""

TemplateMismatch = Annotated[
    Literal["error", "drop"],
    Added(),
    Field(
        description="Treatment of a row that the template cannot write: stop with an error, or "
        "drop and count it."
    ),
]
"""Treatment of rows that the template cannot write."""


class ChatFields(Protocol):
    """A stage with these options."""

    template_date: TemplateDate
    content_tokens: ContentTokens
    pretemplated: Pretemplated
    template_mismatch: TemplateMismatch


def chat_options(stage: ChatFields) -> ChatOptions:
    """Returns the options of a stage as plain values."""
    tokens = stage.content_tokens
    return ChatOptions(
        template_date=stage.template_date,
        content_tokens=None if tokens is None else tuple(tokens),
        pretemplated=stage.pretemplated,
        template_mismatch=stage.template_mismatch,
    )
