"""The token ids of prompts, and what of a prompt is kept that is longer than a model may see."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from halo_core.errors import DataError
from halo_core.feedback import Message, Prompt
from halo_models.tokenizers import control_pattern, protected, refusal, render_prompt, token_ids


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt as token ids.

    Attributes:
        ids: Never empty.
        truncated: Whether something was cut.
    """

    ids: list[int]
    truncated: bool


class PromptEncoder:
    """Renders and tokenises prompts in batches.

    Args:
        tokenizer: With a chat template inside.
        limit: Tokens that a prompt may have; longer ones are cut by `cut_prompt`.
    """

    def __init__(self, tokenizer: Any, limit: int) -> None:
        self._tokenizer = tokenizer
        self._limit = limit
        self._control = control_pattern(tokenizer)

    def encode(
        self, prompts: Mapping[str, Prompt], *, place: Callable[[str], str] = "prompt {}".format
    ) -> dict[str, EncodedPrompt]:
        """Returns the encoded prompt of each name.

        Args:
            prompts: Name to messages.
            place: Says where a prompt comes from, for messages.

        Raises:
            DataError: When a template refuses a prompt, or the limit leaves no room for it.
        """
        texts = [self._text(prompt, place(name)) for name, prompt in prompts.items()]
        named_ids = zip(prompts, token_ids(self._tokenizer, texts), strict=True)
        return {name: self._fitted(prompts[name], ids, place(name)) for name, ids in named_ids}

    def _fitted(self, prompt: Prompt, ids: list[int], place: str) -> EncodedPrompt:
        if len(ids) <= self._limit:
            return EncodedPrompt(ids, False)

        def encoded(messages: Prompt) -> list[int]:
            return token_ids(self._tokenizer, [self._text(messages, place)])[0]

        try:
            cut = cut_prompt(prompt, self._limit, lambda messages: len(encoded(messages)))
        except DataError as error:
            raise DataError(error.message, location=place) from error
        return EncodedPrompt(encoded(cut), True)

    def _text(self, prompt: Prompt, place: str) -> str:
        import jinja2

        try:
            text = render_prompt(self._tokenizer, protected(prompt, self._control))
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise DataError(
                f"{refusal(prompt, error)}. Mend the row, or give a template that knows these "
                "roles",
                location=place,
            ) from error
        if not text:
            raise DataError("the chat template makes nothing of the prompt", location=place)
        return text


def cut_prompt(prompt: Prompt, limit: int, length: Callable[[Prompt], int]) -> list[Message]:
    """Returns a prompt's messages, cut from the left to at most `limit` tokens.

    Whole turns go first, the oldest one first, so that what is left begins with a user's message;
    then the beginning of the last question. Its end is always kept. The system message is kept
    unless it takes more than half of the limit.

    Args:
        prompt: The messages.
        limit: Tokens that the rendered prompt may have.
        length: Returns the number of tokens of some messages when rendered.

    Raises:
        DataError: When the limit leaves no room for the last question.
    """
    system, turns = _split(prompt)
    starts = [i for i, message in enumerate(turns) if message["role"] == "user"] or [0]
    if system and length([*system, *_with_content(turns[starts[-1] :], "")]) > limit // 2:
        system = []
    for start in starts:
        messages = [*system, *turns[start:]]
        if length(messages) <= limit:
            return messages
    return _cut_first(system, turns[starts[-1] :], limit, length)


def _cut_first(
    system: list[Message], turns: list[Message], limit: int, length: Callable[[Prompt], int]
) -> list[Message]:
    content = turns[0]["content"]

    def fits(start: int) -> bool:
        return length([*system, *_with_content(turns, content[start:])]) <= limit

    start = bisect.bisect_left(range(len(content)), True, key=fits)
    if start == len(content):
        raise DataError(
            f"max_prompt_length {limit} leaves no room for the user's last question. "
            "Raise max_prompt_length"
        )
    return [*system, *_with_content(turns, content[start:])]


def _split(prompt: Prompt) -> tuple[list[Message], list[Message]]:
    """Returns the system messages a prompt begins with, and the others."""
    turns = list(prompt)
    count = next((i for i, m in enumerate(turns[:-1]) if m["role"] != "system"), len(turns) - 1)
    return turns[:count], turns[count:]


def _with_content(turns: list[Message], content: str) -> list[Message]:
    return [{"role": turns[0]["role"], "content": content}, *turns[1:]]
