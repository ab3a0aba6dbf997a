"""The token ids of prompts: the same in training and in sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from halo_core.chat_text import control_pattern, protect, render_prompt, token_ids
from halo_core.errors import DataError
from halo_core.feedback import Message, Prompt
from halo_trainer.prompt_truncation import cut_prompt


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
        found = zip(prompts, token_ids(self._tokenizer, texts), strict=True)
        return {name: self._fitted(prompts[name], ids, place(name)) for name, ids in found}

    def _fitted(self, prompt: Prompt, ids: list[int], place: str) -> EncodedPrompt:
        if len(ids) <= self._limit:
            return EncodedPrompt(ids, False)

        def encoded(messages: Prompt) -> list[int]:
            return token_ids(self._tokenizer, [self._text(messages, place)])[0]

        try:
            kept = cut_prompt(prompt, self._limit, lambda messages: len(encoded(messages)))
        except DataError as error:
            raise DataError(error.message, location=place) from error
        return EncodedPrompt(encoded(kept), True)

    def _text(self, prompt: Prompt, place: str) -> str:
        import jinja2

        roles = ", ".join(message["role"] for message in prompt)
        try:
            text = render_prompt(self._tokenizer, self._protected(prompt))
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise DataError(
                f"the chat template refuses the prompt, whose roles are {roles}: {error}. "
                "Mend the row, or give a template that knows these roles",
                location=place,
            ) from error
        if not text:
            raise DataError("the chat template makes nothing of the prompt", location=place)
        return text

    def _protected(self, prompt: Prompt) -> list[Message]:
        return [
            {"role": m["role"], "content": protect(m["content"], self._control)} for m in prompt
        ]
