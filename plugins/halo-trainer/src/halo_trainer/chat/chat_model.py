"""A model that one talks with: it answers conversations as the stage `sample` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from halo_core.errors import NotFiniteError
from halo_core.feedback import Message
from halo_core.sampling import Sampling
from halo_core.stage import ModelInput
from halo_models.chat_format import end_ids
from halo_models.conversation import ChatOptions
from halo_models.device import pick_device, pick_dtype
from halo_models.load import context_length, load_model, load_tokenizer
from halo_models.notes import read_notes
from halo_trainer.sample.chat import Chat
from halo_trainer.sample.generate import go_on
from halo_trainer.sample.lengths import sample_lengths
from halo_trainer.sample.logit_watch import LogitWatch
from halo_trainer.sample.next_token import choose
from halo_trainer.sample.select_prompts import SamplePrompt

UNFINISHED = "\ufffd"
"""The character that a decoder gives for the first bytes of a character that has more."""


@dataclass(frozen=True)
class Reply:
    """An answer of a model.

    Attributes:
        content: Its text, without what the template adds.
        finish: ``stop`` if the model ended it, ``length`` if it was cut off, ``stopped`` if the
            person stopped it.
    """

    content: str
    finish: Literal["stop", "length", "stopped"]


class ChatModel:
    """A model with its tokenizer and template.

    Args:
        source: The model.
        choice: How the next token is chosen.
        max_new_tokens: Largest number of tokens of an answer; None for the default.
        precision: Precision of weights and computation.
        device: The device to compute on.
        warn: Receives warnings.

    Attributes:
        limit: Largest number of tokens of a conversation.

    Raises:
        ModelError: When the model or its tokenizer cannot be used.
        UserError: When an answer does not fit into the model's context.
    """

    def __init__(
        self,
        source: ModelInput,
        *,
        choice: Sampling,
        max_new_tokens: int | None,
        precision: Literal["auto", "float32", "bfloat16"],
        device: Literal["auto", "cpu", "cuda"],
        warn: Callable[[str], None],
    ) -> None:
        self._tokenizer = load_tokenizer(source, None)
        placed = pick_device(device)
        self._model: Any = load_model(source, dtype=pick_dtype(precision, placed), device=placed)
        self.limit, self._new_tokens = sample_lengths(
            None, max_new_tokens, context_length(self._model)
        )
        self._chat = Chat(self._tokenizer, read_notes(source), ChatOptions())
        self._ends = end_ids(self._tokenizer, self._model)
        self._choice = choice
        self._warn = warn

    def reply(
        self,
        messages: Sequence[Message],
        numbers: np.random.Generator,
        show: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> Reply:
        """Returns the model's answer to a conversation, and shows it while it is written.

        Args:
            messages: The conversation, which ends with a message of the person.
            numbers: Source of the random numbers that tokens are drawn with.
            show: Receives each new part of the text.
            stopped: Whether to stop early. It is called after every token.

        Raises:
            DataError: When the template cannot write the conversation.
            NotFiniteError: When no token can be drawn from the model's logits.
        """
        prompt = SamplePrompt("conversation", tuple(messages), None)
        (encoded,) = self._chat.encoded([prompt], self.limit, self._cut).values()
        watch = LogitWatch(1, self._ends, self._model.device)
        made: list[int] = []
        shown = ""

        def choose_next(scores: Tensor, position: int) -> Tensor:
            nonlocal shown
            drawn = torch.tensor([numbers.random()], dtype=torch.float64, device=scores.device)
            tokens = choose(watch.see(scores, position), drawn, self._choice)
            watch.drew(tokens)
            if (token := int(tokens[0])) not in self._ends:
                made.append(token)
                text = self._content(prompt, made)
                # The rest of a character may come with the next token.
                if not text.endswith(UNFINISHED) and text.startswith(shown):
                    show(text[len(shown) :])
                    shown = text
            return tokens

        written = go_on(
            self._model,
            [encoded.ids],
            ends=self._ends,
            max_new_tokens=self._new_tokens,
            choose_next=choose_next,
            stopped=lambda: watch.any() | stopped(),
        )
        if bad := watch.first():
            raise NotFiniteError(
                f"the logits of token {bad.position + 1} of the answer are {bad.what}; expected "
                "finite numbers. The model is damaged or its training diverged"
            )
        content = self._content(prompt, made)
        if content.startswith(shown):
            show(content[len(shown) :])
        ended = any(token in self._ends for token in written[0].tolist())
        return Reply(content, "stop" if ended else "stopped" if stopped() else "length")

    def _content(self, prompt: SamplePrompt, ids: Sequence[int]) -> str:
        return self._chat.content(prompt, ids)

    def _cut(self, message: str) -> None:
        if "lost their beginning" in message:
            message = (
                f"the conversation is longer than the {self.limit} tokens that the model can take, "
                "so its beginning is left out; /reset begins a new one"
            )
        self._warn(message)
