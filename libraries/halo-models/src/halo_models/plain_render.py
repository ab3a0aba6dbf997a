"""Renders messages of plain text with a chat template, without what transformers does around it.

For each call, `apply_chat_template` copies the messages, looks the template up and makes its
variables again. That takes three times the time of the template itself. Here the same compiled
template gets the same variables, which are made once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from halo_core.feedback import Message

MOST_KINDS = 1000
"""Largest number of kinds of rows that are remembered as rendered alike."""

Kind = tuple[bool, tuple[str, ...]]
"""Whether an answer follows, and the roles of the messages."""


class PlainRenderer:
    """Renders messages that have only a role and a text, without tools.

    The first messages of each kind are rendered by transformers too. If the texts differ,
    transformers renders everything from then on.

    Args:
        tokenizer: A tokenizer with a chat template. It has to stay the same.
        source: The source of the template.
        slow: Renders messages with transformers; gets them, and whether an answer follows.
    """

    def __init__(
        self, tokenizer: Any, source: str, slow: Callable[[Sequence[Message], bool], str]
    ) -> None:
        self._write = _compiled(tokenizer, source)
        self._slow = slow
        self._alike: set[Kind] = set()

    def render(self, messages: Sequence[Message], *, answer_follows: bool) -> str:
        """Returns the text that the template writes, the same as transformers' own.

        Raises:
            Exception: The error of transformers, when the template refuses the messages.
        """
        if self._write is None or not messages or not all(map(_is_plain, messages)):
            return self._slow(messages, answer_follows)
        kind = (answer_follows, tuple([message["role"] for message in messages]))
        if kind not in self._alike and len(self._alike) == MOST_KINDS:
            return self._slow(messages, answer_follows)
        try:
            text = self._write(messages, answer_follows)
        except Exception:  # The error that a person sees is that of transformers.
            return self._slow(messages, answer_follows)
        if kind not in self._alike:
            expected = self._slow(messages, answer_follows)
            if text != expected:
                self._write = None
                return expected
            self._alike.add(kind)
        return text


def _is_plain(message: Message) -> bool:
    return (
        type(message) is dict
        and len(message) == 2
        and type(message.get("role")) is str
        and type(message.get("content")) is str
    )


def _compiled(tokenizer: Any, source: str) -> Callable[[Sequence[Message], bool], str] | None:
    """Returns a function that renders with the template; None if transformers has no such thing."""
    from transformers import PreTrainedTokenizerBase
    from transformers.utils import chat_template_utils

    if type(tokenizer).apply_chat_template is not PreTrainedTokenizerBase.apply_chat_template:
        return None  # A tokenizer with its own way of rendering.
    compile_template = getattr(chat_template_utils, "_compile_jinja_template", None)
    if compile_template is None:
        return None
    try:
        template = compile_template(source)
    except Exception:  # transformers says what is wrong with it when it renders.
        return None
    given = {"tools": None, "documents": None, **_special_tokens(tokenizer)}
    variables = {**template.globals, **given}

    def write(messages: Sequence[Message], answer_follows: bool) -> str:
        own = {**variables, "messages": messages, "add_generation_prompt": answer_follows}
        context = template.new_context(own, shared=True)
        text: str = template.environment.concat(template.root_render_func(context))
        return text

    return write


def _special_tokens(tokenizer: Any) -> Mapping[str, str]:
    tokens: Mapping[str, str] = tokenizer.special_tokens_map
    return tokens
