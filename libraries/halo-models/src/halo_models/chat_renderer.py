"""The text that a chat template writes for a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halo_core.feedback import Message
from halo_models.conversation import Conversation, TemplateMismatchError, Tools
from halo_models.plain_render import PlainRenderer
from halo_models.templates import refusal, render, source_to_render, template_errors


class ChatRenderer:
    """Renders messages with a tokenizer's template.

    Args:
        tokenizer: A tokenizer with a chat template.
        template_date: The date that the template gets when it asks for one.
    """

    def __init__(self, tokenizer: Any, template_date: str) -> None:
        self._tokenizer = tokenizer
        self._template_date = template_date
        self._plain: PlainRenderer | None = None

    def render(
        self, conversation: Conversation, messages: Sequence[Message], *, answer_follows: bool
    ) -> str:
        """Returns the text that the template writes for messages, with a conversation's tools.

        Raises:
            TemplateMismatchError: When the template refuses the messages.
        """
        try:
            if conversation.tools is not None:
                return self._written(messages, answer_follows, conversation.tools)
            # The template is compiled only here: an error of it is that of the first row.
            self._plain = self._plain or self._make_plain()
            return self._plain.render(messages, answer_follows=answer_follows)
        except template_errors() as error:
            raise TemplateMismatchError(
                refusal(conversation.prompt, error),
                "Correct the row, give a template that knows these messages",
                conversation.place,
                f"the chat template refuses the messages: {error}",
            ) from error

    def _make_plain(self) -> PlainRenderer:
        source = source_to_render(self._tokenizer, None, self._template_date)
        return PlainRenderer(self._tokenizer, source, self._written)

    def _written(
        self, messages: Sequence[Message], answer_follows: bool, tools: Tools | None = None
    ) -> str:
        return render(
            self._tokenizer,
            messages,
            tools=tools,
            answer_follows=answer_follows,
            template_date=self._template_date,
        )

    def differs(
        self,
        conversation: Conversation,
        messages: Sequence[Message],
        text: str,
        *,
        answer_follows: bool,
    ) -> bool:
        """Returns whether the template writes a text other than this one, or refuses to write."""
        try:
            written = self.render(conversation, messages, answer_follows=answer_follows)
        except TemplateMismatchError:
            return True
        return written != text
