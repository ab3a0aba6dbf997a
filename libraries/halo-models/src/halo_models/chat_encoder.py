"""The token ids of prompts and answers, the same for training, sampling and judging."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

from halo_core.errors import DataError
from halo_core.feedback import Prompt
from halo_models.chat_format import ChatFormat
from halo_models.continuations import Begun
from halo_models.conversation import (
    STRADDLES,
    Answer,
    Conversation,
    RenderedAnswer,
    TemplateMismatchError,
)
from halo_models.cut_prompt import cut_prompt
from halo_models.tokenise import CUT

Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt as token ids.

    Attributes:
        ids: The token ids, never empty.
        truncated: Whether the prompt was cut.
        conversation: The conversation after the cut.
        text: The rendered text of the conversation.
    """

    ids: list[int]
    truncated: bool
    conversation: Conversation
    text: str

    @property
    def spells_control(self) -> bool:
        """Whether the prompt spells a control token that stays text."""
        return CUT in self.text


@dataclass(frozen=True)
class EncodedAnswer:
    """The learned part of a prompt's answer.

    Attributes:
        ids: The token ids, with the token that ends the answer if it ended.
        ended: Whether the answer has that token.
        remarks: Remarks to count: see `RenderedAnswer`.
    """

    ids: list[int]
    ended: bool
    remarks: frozenset[str]


@dataclass(frozen=True)
class EncodedRow:
    """A prompt and its answers as token ids.

    Attributes:
        prompt_ids: The prompt that all the answers follow, never empty.
        truncated: Whether the prompt was cut.
        answers: The answers, in the order of the row.
    """

    prompt_ids: list[int]
    truncated: bool
    answers: tuple[EncodedAnswer, ...]


@dataclass(frozen=True)
class ChatRow:
    """A prompt with one or more answers.

    Attributes:
        prompt_id: Id of the prompt, for the caller.
        conversation: The prompt.
        answers: The answers, at least one.
    """

    prompt_id: str
    conversation: Conversation
    answers: tuple[Answer, ...]

    @property
    def key(self) -> str:
        """A key of everything that a template sees of the prompt, in order."""
        return json.dumps([self.conversation.prompt, self.conversation.tools])


@dataclass(frozen=True)
class RenderedRow:
    """The text of a prompt with its answers.

    Attributes:
        prompt: The text that all the answers follow.
        truncated: Whether the prompt was cut.
        answers: The answers, in the order of the row.
    """

    prompt: str
    truncated: bool
    answers: tuple[RenderedAnswer, ...]


class ChatEncoder:
    """Renders and tokenises prompts and answers in batches.

    Args:
        chat_format: Renders with the tokenizer's template.
        limit: Largest number of tokens in a prompt. `cut_prompt` cuts longer ones.
    """

    def __init__(self, chat_format: ChatFormat, limit: int) -> None:
        self._format = chat_format
        self._tokeniser = chat_format.tokeniser
        self._continuations = chat_format.continuations
        self._limit = limit

    def prompts(
        self, conversations: Mapping[str, Conversation]
    ) -> dict[str, EncodedPrompt | TemplateMismatchError]:
        """Returns the encoded prompt of each name, or why the template cannot write it.

        Raises:
            DataError: When the limit leaves no room for a prompt, or when the template cannot write
                it, unless such rows are dropped.
        """
        found: dict[str, EncodedPrompt | TemplateMismatchError] = {}
        texts: dict[str, str] = {}
        for name, conversation in conversations.items():
            text = self._tried(self._format.prompt_text, conversation)
            if isinstance(text, str):
                texts[name] = text
            else:
                found[name] = text
        for name, ids in zip(texts, self._tokeniser.encode(list(texts.values())), strict=True):
            found[name] = self._tried(self._fitted, conversations[name], texts[name], ids)
        return found

    def rows(self, rows: Sequence[ChatRow]) -> list[EncodedRow | TemplateMismatchError]:
        """Returns the encoded prompt and answers of each row, or why the template cannot write it.

        Answers of one row follow the same prompt. If the template writes less of the generation
        prompt before one of them, the difference becomes a learned part of the others.

        Raises:
            DataError: See `prompts`.
        """
        keys = [row.key for row in rows]
        first: dict[str, Conversation] = {}
        for key, row in zip(keys, rows, strict=True):
            first.setdefault(key, row.conversation)  # an error names this one
        prompts = self.prompts(first)
        rendered = _Renderer(self._format)
        texts = [
            self._tried(rendered.row, key, row, prompts[key])
            for key, row in zip(keys, rows, strict=True)
        ]
        whole = [answers for answers in texts if not isinstance(answers, TemplateMismatchError)]
        known = {p.text: p.ids for p in prompts.values() if isinstance(p, EncodedPrompt)}
        ids_of = self._ids_of(whole, known)
        return [
            answers
            if isinstance(answers, TemplateMismatchError)
            else self._row(row, answers, ids_of)
            for row, answers in zip(rows, texts, strict=True)
        ]

    def _tried(
        self,
        act: Callable[Given, Result],
        *arguments: Given.args,
        **named: Given.kwargs,
    ) -> Result | TemplateMismatchError:
        try:
            return act(*arguments, **named)
        except TemplateMismatchError as error:
            if self._format.options.template_mismatch == "error":
                raise
            return error

    def _ids_of(
        self, rows: Sequence[RenderedRow], known: dict[str, list[int]]
    ) -> Mapping[str, list[int]]:
        """Returns the ids of all prompts of rows, and of all prompts with an answer, by text."""
        prompts = [p for p in dict.fromkeys(row.prompt for row in rows) if p not in known]
        ids_of = {**known, **dict(zip(prompts, self._tokeniser.encode(prompts), strict=True))}
        begun = {
            row.prompt + answer.trained: Begun(row.prompt, ids_of[row.prompt], answer.trained)
            for row in rows
            for answer in row.answers
        }
        new = {text: parts for text, parts in begun.items() if text not in ids_of}
        found = self._continuations.encode([*new.values()])
        return {**ids_of, **dict(zip(new, found, strict=True))}

    def _row(
        self,
        row: ChatRow,
        answers: RenderedRow,
        ids_of: Mapping[str, list[int]],
    ) -> EncodedRow:
        prompt_ids = ids_of[answers.prompt]
        encoded = [
            self._answer(answer, rendered, prompt_ids, ids_of)
            for answer, rendered in zip(row.answers, answers.answers, strict=True)
        ]
        return EncodedRow(prompt_ids, answers.truncated, tuple(encoded))

    def _answer(
        self,
        answer: Answer,
        rendered: RenderedAnswer,
        prompt_ids: list[int],
        ids_of: Mapping[str, list[int]],
    ) -> EncodedAnswer:
        remarks = rendered.remarks
        if answer.token_ids is not None:
            # The part that the prompt of the other answer lacks, then the sampled ids unchanged.
            before = self._tokeniser.encode_apart(rendered.trained) if rendered.trained else []
            ids = [*before, *answer.token_ids]
        else:
            whole = ids_of[rendered.prompt + rendered.trained]
            if whole[: len(prompt_ids)] == prompt_ids:
                ids = whole[len(prompt_ids) :]
            else:
                remarks = remarks | {STRADDLES}
                ids = self._tokeniser.encode_apart(rendered.trained)
        if answer.ended and not rendered.ends:
            ids = [*ids, self._format.end_id]
        return EncodedAnswer(ids, answer.ended, remarks)

    def _fitted(self, conversation: Conversation, text: str, ids: list[int]) -> EncodedPrompt:
        if len(ids) <= self._limit:
            return EncodedPrompt(ids, False, conversation, text)

        def encoded(messages: Prompt) -> tuple[str, list[int]]:
            text = self._format.prompt_text(replace(conversation, prompt=messages))
            return text, self._tokeniser.encode([text])[0]

        try:
            prompt = conversation.prompt
            cut = cut_prompt(prompt, self._limit, lambda messages: len(encoded(messages)[1]))
        except TemplateMismatchError:
            raise
        except DataError as error:
            raise DataError(error.message, location=conversation.place) from error
        text, ids = encoded(cut)
        return EncodedPrompt(ids, True, replace(conversation, prompt=cut), text)


class _Renderer:
    """Renders the answers of rows, each prompt with each answer once."""

    def __init__(self, chat_format: ChatFormat) -> None:
        self._format = chat_format
        self._known: dict[tuple[str, str], RenderedAnswer] = {}

    def row(
        self, key: str, row: ChatRow, prompt: EncodedPrompt | TemplateMismatchError
    ) -> RenderedRow:
        if isinstance(prompt, TemplateMismatchError):
            raise prompt
        answers = [self._answer(key, prompt, answer) for answer in row.answers]
        # The shortest prompt is the beginning of all the others.
        shortest = min((answer.prompt for answer in answers), key=len)
        return RenderedRow(
            shortest, prompt.truncated, tuple(_behind(shortest, answer) for answer in answers)
        )

    def _answer(self, prompt_key: str, prompt: EncodedPrompt, answer: Answer) -> RenderedAnswer:
        if answer.token_ids is not None:
            return RenderedAnswer(prompt.text, "", False)
        key = (prompt_key, json.dumps([answer.content, answer.fields, answer.ended]))
        if key not in self._known:
            self._known[key] = self._format.answer_text(prompt.conversation, answer, prompt.text)
        return self._known[key]


def _behind(prompt: str, answer: RenderedAnswer) -> RenderedAnswer:
    if len(answer.prompt) == len(prompt):
        return answer
    trained = answer.prompt[len(prompt) :] + answer.trained
    return replace(answer, prompt=prompt, trained=trained)
