"""Where the contents of messages stand in the text that a chat template writes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from halo_core.feedback import Message
from halo_models.chat_renderer import ChatRenderer
from halo_models.conversation import THOUGHTS, Conversation, TemplateMismatchError

_PLACE = "\ufdd2"
"""A Unicode noncharacter, which no text holds: it shows where a content comes out."""


class ContentPlaces:
    """The messages of a prompt with its answer, and where in their text the contents stand.

    A content stands where a character that is put beside it comes out: to search for the content
    itself would find its letters in the template's own words, too.

    Args:
        renderer: Writes the messages.
        conversation: The prompt.
        messages: The prompt's and the answer, in which spelled tokens are marked.
        text: What the template writes of them.
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
        """Returns where the last message of the prompt ends; 0 where the template hides it."""
        return (
            self._position(-2, lambda content: content + _PLACE)
            or self._position(-2, lambda content: content.rstrip() + _PLACE)
            or 0
        )

    def content_begin(self) -> int:
        """Returns where the answer's content begins, or where the text ends."""
        begin = self._position(-1, lambda content: _PLACE + content)
        return len(self.text) if begin is None else begin

    def content_end(self) -> int:
        """Returns where the answer's content ends, or where the text's last letter does.

        An answer of thoughts alone, which was cut off within them, ends where they do.
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
        # What a template takes for the same field must say the same.
        names = [n for n in THOUGHTS if n in message] if name in THOUGHTS else [name]
        changed = {n: placed(message[name]) for n in names}
        messages[index] = cast(Message, {**message, **changed})
        try:
            text = self._renderer.render(self._conversation, messages, answer_follows=False)
        except TemplateMismatchError:
            return None
        before, found, _ = text.partition(_PLACE)
        return len(before) if found and self.text.startswith(before) else None
