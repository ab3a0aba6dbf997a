"""The text that a chat template writes of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halo_core.feedback import Message
from halo_models.conversation import Conversation, TemplateMismatchError
from halo_models.templates import refusal, render, template_errors


class ChatRenderer:
    """Renders messages with a tokenizer's template.

    Args:
        tokenizer: With a chat template inside.
        template_date: What the template is told when it asks for the date.
    """

    def __init__(self, tokenizer: Any, template_date: str) -> None:
        self._tokenizer = tokenizer
        self._template_date = template_date

    def render(
        self, conversation: Conversation, messages: Sequence[Message], *, answer_follows: bool
    ) -> str:
        """Returns what the template writes of messages, with the tools of a conversation.

        Raises:
            TemplateMismatchError: When the template refuses them.
        """
        try:
            return render(
                self._tokenizer,
                messages,
                tools=conversation.tools,
                answer_follows=answer_follows,
                template_date=self._template_date,
            )
        except template_errors() as error:
            raise TemplateMismatchError(
                refusal(conversation.prompt, error),
                "Mend the row, give a template that knows these messages",
                conversation.place,
                f"the chat template refuses the messages: {error}",
            ) from error

    def differs(
        self,
        conversation: Conversation,
        messages: Sequence[Message],
        text: str,
        *,
        answer_follows: bool,
    ) -> bool:
        """Returns whether the template writes something else than a text, or refuses to write."""
        try:
            written = self.render(conversation, messages, answer_follows=answer_follows)
        except TemplateMismatchError:
            return True
        return written != text
