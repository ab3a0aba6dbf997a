"""The text that a chat template writes of a conversation, and a check that it left out nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from halo_core.feedback import Message
from halo_models.conversation import Conversation, TemplateMismatchError
from halo_models.templates import refusal, render, template_source


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
        """Returns what the template writes of messages.

        Raises:
            TemplateMismatchError: When the template refuses them.
        """
        import jinja2

        try:
            return render(
                self._tokenizer,
                messages,
                tools=conversation.tools,
                answer_follows=answer_follows,
                template_date=self._template_date,
            )
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise TemplateMismatchError(
                refusal(conversation.prompt, error),
                "Mend the row, give a template that knows these messages",
                conversation.place,
            ) from error

    def check_messages(
        self, conversation: Conversation, messages: Sequence[Message], text: str
    ) -> None:
        """Checks that a prompt's text holds its messages and their fields.

        Raises:
            TemplateMismatchError: When something is left out.
        """
        if not text:
            raise TemplateMismatchError(
                "the chat template makes nothing of the prompt",
                "Give a template that writes it",
                conversation.place,
            )
        for number, message in enumerate(messages):
            content = message["content"].strip()
            if content and content not in text:
                self._check_effect(conversation, messages, number, text)
        self.check_fields(conversation, messages, text)

    def _check_effect(
        self, conversation: Conversation, messages: Sequence[Message], number: int, text: str
    ) -> None:
        message = messages[number]
        longer = cast(Message, {**message, "content": message["content"] + " x"})
        changed = [*messages[:number], longer, *messages[number + 1 :]]
        if self.render(conversation, changed, answer_follows=True) == text:
            role = message["role"]
            raise TemplateMismatchError(
                f"the chat template leaves out message {number + 1} of the prompt, of the role "
                f"{role!r}",
                "Give a template that writes it, take the message out",
                conversation.place,
            )

    def check_fields(
        self, conversation: Conversation, messages: Sequence[Message], text: str
    ) -> None:
        """Checks that a template writes the fields of messages beside their contents, and tools.

        Raises:
            TemplateMismatchError: When one is left out; names it.
        """
        names = {name for message in messages for name in message if name not in _PLAIN}
        if not names and not conversation.tools:
            return
        source = template_source(self._tokenizer, conversation.tools)
        unknown = sorted(name for name in names if not _mentions(source, name))
        if conversation.tools and "tools" not in source:
            unknown.append("tools")
        last = messages[-1]
        if last["role"] == "assistant" and not unknown:
            unknown = [
                name
                for name in last
                if name not in _PLAIN and self._ignores(conversation, messages, name, text)
            ]
        if unknown:
            raise TemplateMismatchError(
                f"the chat template leaves out {', '.join(unknown)}",
                "Give a template that writes it, take the field out of the row",
                conversation.place,
            )

    def _ignores(
        self, conversation: Conversation, messages: Sequence[Message], name: str, text: str
    ) -> bool:
        without = {key: value for key, value in messages[-1].items() if key != name}
        changed = [*messages[:-1], cast(Message, without)]
        return self.render(conversation, changed, answer_follows=False) == text


_PLAIN = ("role", "content", "tool_call_id")
"""Fields that need no check: an id only links a result with its call, which stands before it."""

_THOUGHTS = ("reasoning_content", "thinking", "reasoning")
"""Names of one thing: transformers gives a template each of them."""


def _mentions(source: str, name: str) -> bool:
    names = _THOUGHTS if name in _THOUGHTS else (name,)
    return any(name in source for name in names)
