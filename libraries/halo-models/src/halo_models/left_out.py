"""A check that a chat template leaves out no part of a row.

A template that does not know a role or a field usually omits it without an error. To find out
whether it writes a part, the same row is rendered without the part. This is done once for every
kind of message and field, and not for every row.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, cast

from halo_core.feedback import Message
from halo_models.chat_renderer import ChatRenderer
from halo_models.conversation import THOUGHTS, Conversation, TemplateMismatchError

_PLAIN = ("role", "content", "tool_call_id")
"""Fields that need no check. An id only links a result with its call, which comes before it."""


class LeftOut:
    """Finds what a template leaves out of messages.

    Args:
        renderer: Renders messages with the template.
    """

    def __init__(self, renderer: ChatRenderer) -> None:
        self._renderer = renderer
        self._written: set[Hashable] = set()
        self._thoughts: bool | None = None

    def check_prompt(
        self, conversation: Conversation, messages: Sequence[Message], text: str
    ) -> None:
        """Checks that the text of a prompt contains its messages, their fields, and the tools.

        Raises:
            TemplateMismatchError: When something is left out. The error names it.
        """
        if not text:
            raise TemplateMismatchError(
                "the chat template writes nothing for the prompt",
                "Give a template that writes the prompt",
                conversation.place,
            )
        self._check(_Row(self._renderer, conversation, messages, text, answer_follows=True))

    def check_whole(
        self, conversation: Conversation, messages: Sequence[Message], text: str
    ) -> None:
        """Checks that the text of messages, including the answer, contains all of them.

        Raises:
            TemplateMismatchError: When something is left out. The error names it.
        """
        self._check(_Row(self._renderer, conversation, messages, text, answer_follows=False))

    def _check(self, row: _Row) -> None:
        for number, message in enumerate(row.messages):
            content = message["content"].strip()
            known = ("content", *row.kind(number)) in self._written
            if content and not (known and content in row.text):
                self._check_content(row, number)
        missing = [name for n in range(len(row.messages)) for name in self._fields(row, n)]
        if row.conversation.tools and self._is_left_out(row, "tools", 0, [row.messages]):
            missing.append("tools")
        _refuse(missing, row.conversation)

    def check_answer(
        self, conversation: Conversation, messages: Sequence[Message], text: str
    ) -> None:
        """Checks that a prompt's text with its answer contains the answer's content and fields.

        Raises:
            TemplateMismatchError: When something is left out. The error names it.
        """
        row = _Row(self._renderer, conversation, messages, text, answer_follows=False)
        last = len(messages) - 1
        missing = self._fields(row, last)
        content = messages[last]["content"].strip()
        if content and content not in text and not row.shows(_longer(messages, last)):
            missing.append("content")
        _refuse(missing, conversation)

    def _check_content(self, row: _Row, number: int) -> None:
        if not row.shows(_longer(row.messages, number)):
            role = row.messages[number]["role"]
            raise TemplateMismatchError(
                f"the chat template leaves out message {number + 1} of the prompt, of the role "
                f"{role!r}",
                "Give a template that writes it, remove the message",
                row.conversation.place,
                f"the chat template leaves out a message of the role {role!r}",
            )
        self._written.add(("content", *row.kind(number)))

    def _fields(self, row: _Row, number: int) -> list[str]:
        """Returns the names of a message's fields that are left out."""
        message: Any = row.messages[number]
        names = [name for name in message if name not in _PLAIN and message[name]]
        if message["role"] == "tool" and message.get("name") in _called(row.messages[:number]):
            # Like an id, it links the result with a call.
            names.remove("name")
        missing = []
        for name in names:
            aliases = THOUGHTS if name in THOUGHTS else (name,)
            variants = [_without(row.messages, number, aliases)]
            value = message[name]
            if isinstance(value, list) and len(value) > 1:
                fewer = cast(Message, {**message, name: value[:-1]})
                variants.append([*row.messages[:number], fewer, *row.messages[number + 1 :]])
            if self._is_left_out(row, name, number, variants) and not (
                # Templates remove the thoughts of older answers.
                name in THOUGHTS and number < len(row.messages) - 1 and self._writes_thoughts()
            ):
                missing.append(name)
        return missing

    def _is_left_out(
        self, row: _Row, name: str, number: int, variants: Sequence[Sequence[Message]]
    ) -> bool:
        kind = (name, len(variants), *row.kind(number))
        if kind in self._written:
            return False
        tools = None if name == "tools" else row.conversation.tools
        if not all(row.shows(variant, tools) for variant in variants):
            return True
        self._written.add(kind)
        return False

    def _writes_thoughts(self) -> bool:
        if self._thoughts is None:
            probe: list[Any] = [
                {"role": "user", "content": "a question"},
                {"role": "assistant", "content": "an answer", "reasoning_content": "some thoughts"},
            ]
            try:
                text = self._renderer.render(Conversation(probe), probe, answer_follows=False)
            except TemplateMismatchError:
                text = ""
            self._thoughts = "some thoughts" in text
        return self._thoughts


class _Row:
    """A rendered row.

    Args:
        renderer: Renders messages with the template.
        conversation: The conversation, with its tools.
        messages: The rendered messages.
        text: The text that the template wrote for them.
        answer_follows: Whether the text ends where an answer begins.
    """

    def __init__(
        self,
        renderer: ChatRenderer,
        conversation: Conversation,
        messages: Sequence[Message],
        text: str,
        *,
        answer_follows: bool,
    ) -> None:
        self.conversation = conversation
        self.messages = messages
        self._renderer = renderer
        self.text = text
        self._answer_follows = answer_follows

    def shows(self, messages: Sequence[Message], tools: Any = ...) -> bool:
        """Returns whether the template writes another text for other messages."""
        changed = self.conversation
        if tools is not ...:
            changed = replace(changed, tools=tools)
        return self._renderer.differs(
            changed, messages, self.text, answer_follows=self._answer_follows
        )

    def kind(self, number: int) -> tuple[Hashable, ...]:
        """Returns what decides if a template writes a message: its role, fields and position."""
        around = [
            self.messages[i]["role"] if 0 <= i < len(self.messages) else None
            for i in (number - 1, number, number + 1)
        ]
        fields = tuple(sorted(self.messages[number]))
        return (*around, fields, bool(self.conversation.tools), self._answer_follows)


def _refuse(missing: Sequence[str], conversation: Conversation) -> None:
    if missing:
        raise TemplateMismatchError(
            f"the chat template leaves out {', '.join(sorted(set(missing)))}",
            "Give a template that writes it, remove the field from the row",
            conversation.place,
        )


def _longer(messages: Sequence[Message], number: int) -> list[Message]:
    changed = cast(Message, {**messages[number], "content": messages[number]["content"] + " x"})
    return [*messages[:number], changed, *messages[number + 1 :]]


def _without(messages: Sequence[Message], number: int, names: Sequence[str]) -> list[Message]:
    fields = {name: value for name, value in messages[number].items() if name not in names}
    return [*messages[:number], cast(Message, fields), *messages[number + 1 :]]


def _called(messages: Sequence[Message]) -> set[str]:
    """Returns the names of the functions that messages call."""
    calls: list[Any] = [call for message in messages for call in message.get("tool_calls") or ()]
    return {(call.get("function") or call).get("name") for call in calls} - {None}
