"""The token ids of prompts: the same in training and in sampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halo_core.errors import DataError
from halo_core.feedback import Message, Prompt
from halo_trainer.chat import control_pattern, protect, render_prompt, token_ids
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

    def encode(self, prompts: Mapping[str, Prompt]) -> dict[str, EncodedPrompt]:
        """Returns the encoded prompt of each name.

        Raises:
            DataError: When a template refuses a prompt, or the limit leaves no room for it.
        """
        names = list(prompts)
        ids = token_ids(self._tokenizer, [self._text(prompts[name], name) for name in names])
        return {
            name: EncodedPrompt(found, False)
            if len(found) <= self._limit
            else EncodedPrompt(self._cut(prompts[name], name), True)
            for name, found in zip(names, ids, strict=True)
        }

    def _text(self, prompt: Prompt, name: str) -> str:
        import jinja2

        try:
            return render_prompt(self._tokenizer, self._protected(prompt))
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise DataError(
                f"the chat template refuses the prompt: {error}. Its roles are "
                f"{', '.join(m['role'] for m in prompt) or 'none'}",
                location=f"prompt {name}",
            ) from error

    def _protected(self, prompt: Prompt) -> Sequence[Message]:
        return [
            {"role": m["role"], "content": protect(m["content"], self._control)} for m in prompt
        ]

    def _cut(self, prompt: Prompt, name: str) -> list[int]:
        def encoded(messages: Prompt) -> list[int]:
            return token_ids(self._tokenizer, [self._text(messages, name)])[0]

        try:
            return encoded(cut_prompt(prompt, self._limit, lambda m: len(encoded(m))))
        except DataError as error:
            raise DataError(error.message, location=f"prompt {name}") from error
