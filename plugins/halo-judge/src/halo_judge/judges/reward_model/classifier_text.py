"""The token ids of a prompt with its completion, as a classifier reads them.

A model that was trained with halo reads the same as in training: the prompt up to the start of the
answer, the completion, and the end token. Any other model with a chat template reads the whole
conversation in this template. A model without one reads a pair of texts. The template
writes tools, thoughts and tool calls. Without a template, the texts have them with their names.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from halo_core.scoring_judge import Answer
from halo_judge.judges.prompt_text import answer_text, prompt_text
from halo_models import conversation
from halo_models.chat_encoder import ChatEncoder, ChatRow, EncodedRow
from halo_models.chat_format import ChatFormat
from halo_models.control_tokens import token_id
from halo_models.notes import ModelNotes

Reads = Literal["conversation", "completion"]


@dataclass(frozen=True)
class ClassifierInput:
    """The input of a classifier.

    Attributes:
        ids: Token ids.
        types: Token type ids if the model has them; else empty.
        cut: Whether tokens were left out.
    """

    ids: list[int]
    types: list[int] = field(default_factory=list)
    cut: bool = False


class Reader:
    """Converts answers to token ids.

    Args:
        tokenizer: The classifier's tokenizer.
        notes: The notes in the classifier's folder.
        reads: The part that the model reads.
        limit: Maximum number of tokens.

    Raises:
        ModelError: When the tokenizer does not know the model's control token.
    """

    def __init__(self, tokenizer: Any, notes: ModelNotes, *, reads: Reads, limit: int) -> None:
        self._tokenizer = tokenizer
        self._limit = limit
        self._ours = notes.score_at == "completion-end"
        self._alone = reads == "completion"
        templated = bool(tokenizer.chat_template)
        self._templated = templated and not self._alone
        if self._templated:
            options = notes.chat_options(conversation.ChatOptions())
            self._format = ChatFormat(tokenizer, options)
            # No prompt is cut here, because the limit applies to the prompt with its completion.
            self._encoder = ChatEncoder(self._format, sys.maxsize)
        suffix = notes.prompt_suffix
        self._suffix = [] if suffix is None else [token_id(tokenizer, suffix)]

    def read(self, answer: Answer) -> ClassifierInput:
        """Returns the ids of an answer.

        Raises:
            ValueError: When the chat template rejects it, or leaves out a message, a field or the
                tools. The message says which. Also when the text has no tokens: a model reads at
                least one.
        """
        found = self._conversation(answer) if self._templated else self._plain(answer)
        if not found.ids:
            raise ValueError("the text has no tokens")
        return found

    def _conversation(self, answer: Answer) -> ClassifierInput:
        prompt = conversation.Conversation(answer.prompt, answer.tools)
        given = conversation.Answer(answer.completion, answer.fields or {})
        try:
            if self._ours:
                return self._as_in_training(prompt, given)
            text = self._format.whole_text(prompt, given)
        except conversation.TemplateMismatchError as error:
            raise ValueError(error.reason) from error
        (ids,) = self._format.tokeniser.encode([text])
        return ClassifierInput(ids[-self._limit :], cut=len(ids) > self._limit)

    def _as_in_training(
        self, prompt: conversation.Conversation, given: conversation.Answer
    ) -> ClassifierInput:
        (row,) = self._encoder.rows([ChatRow("", prompt, (given,))])
        assert isinstance(row, EncodedRow)  # Errors of the template were raised before.
        return fit_into([*row.prompt_ids, *self._suffix], row.answers[0].ids, self._limit)

    def _plain(self, answer: Answer) -> ClassifierInput:
        texts = [answer_text(answer.completion, answer.fields)]
        if not self._alone:
            texts.insert(0, prompt_text(answer.prompt, answer.tools))
        # Otherwise a text that contains [SEP] would end there.
        given = {"split_special_tokens": True, "verbose": False}
        whole = len(self._tokenizer(*texts, **given)["input_ids"])
        encoded = self._tokenizer(
            *texts, truncation="longest_first", max_length=self._limit, **given
        )
        types = list(encoded.get("token_type_ids", []))
        return ClassifierInput(list(encoded["input_ids"]), types, whole > self._limit)


def fit_into(prompt: Sequence[int], completion: Sequence[int], limit: int) -> ClassifierInput:
    """Returns a prompt and a completion, shortened to a limit of tokens.

    The prompt loses its beginning, down to half of the limit; then the completion loses its end.

    >>> fit_into([1, 2, 3], [4, 5], 4).ids, fit_into([1, 2, 3], [4, 5, 6, 7], 4).ids
    ([2, 3, 4, 5], [2, 3, 4, 5])
    """
    if len(prompt) + len(completion) <= limit:
        return ClassifierInput([*prompt, *completion])
    of_prompt = min(len(prompt), max(limit - len(completion), limit // 2))
    return ClassifierInput(
        [*prompt[len(prompt) - of_prompt :], *completion[: limit - of_prompt]], cut=True
    )
