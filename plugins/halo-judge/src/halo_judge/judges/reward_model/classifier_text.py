"""The token ids with which a classifier reads a prompt with its completion.

A model that was trained with halo reads what it read in training: the prompt up to where the answer
begins, the completion, and the token that ends it. Any other model with a chat template reads the
whole conversation through it; one without reads a pair of texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from halo_core.feedback import Message
from halo_core.scoring_judge import Answer
from halo_judge.judges.prompt_text import prompt_text
from halo_models.control_tokens import token_id
from halo_models.notes import ModelNotes
from halo_models.tokenizers import (
    completion_end_id,
    control_pattern,
    protect,
    protected,
    refusal,
    render_prompt,
    token_ids,
)

Reads = Literal["conversation", "completion"]


@dataclass(frozen=True)
class ClassifierInput:
    """What a classifier reads.

    Attributes:
        ids: Token ids.
        types: Token type ids, for a model that has them; else empty.
        cut: Whether something was left out.
    """

    ids: list[int]
    types: list[int] = field(default_factory=list)
    cut: bool = False


class Reader:
    """Turns answers into token ids.

    Args:
        tokenizer: The classifier's.
        notes: What its folder says of it.
        reads: What the model sees.
        limit: Most tokens.

    Raises:
        ModelError: When the tokenizer does not know the model's control token.
    """

    def __init__(self, tokenizer: Any, notes: ModelNotes, *, reads: Reads, limit: int) -> None:
        self._tokenizer = tokenizer
        self._limit = limit
        self._control = control_pattern(tokenizer)
        self._ours = notes.score_at == "completion-end"
        self._alone = reads == "completion"
        templated = bool(tokenizer.chat_template)
        self._templated = templated and not self._alone
        suffix = notes.prompt_suffix
        self._suffix = [] if suffix is None else [token_id(tokenizer, suffix)]

    def read(self, answer: Answer) -> ClassifierInput:
        """Returns the ids of an answer.

        Raises:
            ValueError: When the chat template refuses the prompt; says why.
        """
        if not self._templated:
            return self._plain(answer)
        import jinja2

        try:
            return self._as_in_training(answer) if self._ours else self._conversation(answer)
        except (jinja2.TemplateError, TypeError) as error:
            raise ValueError(refusal(answer.prompt, error)) from error

    def _as_in_training(self, answer: Answer) -> ClassifierInput:
        text = render_prompt(self._tokenizer, protected(answer.prompt, self._control))
        texts = [text, protect(answer.completion, self._control)]
        prompt, completion = token_ids(self._tokenizer, texts)
        end = completion_end_id(self._tokenizer)
        return fit_into([*prompt, *self._suffix], [*completion, end], self._limit)

    def _conversation(self, answer: Answer) -> ClassifierInput:
        messages: list[Message] = [
            *answer.prompt,
            {"role": "assistant", "content": answer.completion},
        ]
        text: str = self._tokenizer.apply_chat_template(
            protected(messages, self._control), tokenize=False
        )
        (ids,) = token_ids(self._tokenizer, [text])
        return ClassifierInput(ids[-self._limit :], cut=len(ids) > self._limit)

    def _plain(self, answer: Answer) -> ClassifierInput:
        texts = [answer.completion]
        if not self._alone:
            texts.insert(0, prompt_text(answer.prompt))
        # Or a text that spells [SEP] would end itself.
        given = {"split_special_tokens": True, "verbose": False}
        whole = len(self._tokenizer(*texts, **given)["input_ids"])
        found = self._tokenizer(*texts, truncation="longest_first", max_length=self._limit, **given)
        types = list(found.get("token_type_ids", []))
        return ClassifierInput(list(found["input_ids"]), types, whole > self._limit)


def fit_into(prompt: Sequence[int], completion: Sequence[int], limit: int) -> ClassifierInput:
    """Returns a prompt and a completion in at most so many tokens.

    The prompt loses its beginning, down to half of the limit; then the completion loses its end.

    >>> fit_into([1, 2, 3], [4, 5], 4).ids, fit_into([1, 2, 3], [4, 5, 6, 7], 4).ids
    ([2, 3, 4, 5], [2, 3, 4, 5])
    """
    if len(prompt) + len(completion) <= limit:
        return ClassifierInput([*prompt, *completion])
    kept = min(len(prompt), max(limit - len(completion), limit // 2))
    return ClassifierInput([*prompt[len(prompt) - kept :], *completion[: limit - kept]], cut=True)
