"""Positions of message contents in the text that a chat template writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from halo_core.feedback import Message
from halo_models.chat_renderer import ChatRenderer
from halo_models.conversation import THOUGHTS, Conversation, TemplateMismatchError

_PLACE = "\ufdd2"
"""A Unicode noncharacter, which occurs in no text. It shows where a content is written."""


class ContentPlaces:
    """The messages of a prompt with its answer, and the positions of their contents in the text.

    A position is found with a character that is put next to the content. A search for the content
    itself could also match the template's own words.

    Args:
        renderer: Renders the messages.
        conversation: The prompt.
        messages: The messages of the prompt and the answer, in which spelled tokens are marked.
        text: The text that the template writes for them.
    """

    def __init__(
        self,
        renderer: ChatRenderer,
        conversation: Conversation,
        messages: Sequence[Message],
        text: str,
    ) -> None:
        self._renderer = renderer
        self._conversation = conversation
        self._messages = messages
        self.text = text

    def question_end(self) -> int:
        """Returns where the last message of the prompt ends; 0 if the template hides it."""
        return (
            self._position(-2, lambda content: content + _PLACE)
            or self._position(-2, lambda content: content.rstrip() + _PLACE)
            or 0
        )

    def content_begin(self) -> int:
        """Returns where the answer's content begins, or the end of the text."""
        begin = self._position(-1, lambda content: _PLACE + content)
        return len(self.text) if begin is None else begin

    def content_end(self) -> int:
        """Returns where the answer's content ends, or where the last letter of the text ends.

        If an answer was cut off within its thoughts, this is the end of the thoughts.
        """
        answer = self._messages[-1]
        thoughts = [name for name in THOUGHTS if answer.get(name)]
        name = "content" if answer["content"] or not thoughts else thoughts[0]
        end = self._position(-1, lambda content: content + _PLACE, name)
        if end is None:
            end = self._position(-1, lambda content: content.rstrip() + _PLACE, name)
        return len(self.text.rstrip()) if end is None else end

    def _position(
        self, index: int, placed: Callable[[str], str], name: str = "content"
    ) -> int | None:
        messages = list(self._messages)
        message: Any = messages[index]
        # All names of this field must have the same value.
        names = [n for n in THOUGHTS if n in message] if name in THOUGHTS else [name]
        changed = {n: placed(message[name]) for n in names}
        messages[index] = cast(Message, {**message, **changed})
        try:
            text = self._renderer.render(self._conversation, messages, answer_follows=False)
        except TemplateMismatchError:
            return None
        before, found, _ = text.partition(_PLACE)
        return len(before) if found and self.text.startswith(before) else None
