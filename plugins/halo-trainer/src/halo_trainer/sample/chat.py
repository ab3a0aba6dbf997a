"""Prompts as a model sees them, and its completions as lines of ``samples.jsonl``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, cast

from halo_core.errors import DataError
from halo_core.sampling import Sampling
from halo_core.workspace.records import SampleLine, SamplingOptions
from halo_models.chat_encoder import ChatEncoder, EncodedPrompt
from halo_models.chat_format import ChatFormat
from halo_models.control_tokens import suffixes
from halo_models.conversation import (
    SPELLED_ADVICE,
    SPELLS,
    ChatOptions,
    Conversation,
    TemplateMismatchError,
)
from halo_models.digests import template_digest, tokenizer_digest
from halo_models.notes import ModelNotes
from halo_trainer.sample.sampler import Generated
from halo_trainer.sample.select_prompts import SamplePrompt

LOGP_DIGITS = 6
"""Decimal places of stored log-probabilities, which have about as many in float32."""

PROMPTS_AT_ONCE = 1024
"""Number of prompts that are tokenised in one call."""


class Chat:
    """A tokenizer with its template, as used in the training of the sampled model.

    Args:
        tokenizer: A tokenizer with the chat template.
        notes: The model's notes.
        asked: The stage's options for rows.

    Attributes:
        options: The options for rows, completed from the model's notes.
    """

    def __init__(self, tokenizer: Any, notes: ModelNotes, asked: ChatOptions) -> None:
        self.options = notes.chat_options(asked)
        self._tokenizer = tokenizer
        self._format = ChatFormat(tokenizer, self.options)
        self._suffix = suffixes(tokenizer, None, notes)
        self._tokenizer_digest = tokenizer_digest(tokenizer)
        self._template_digest = template_digest(tokenizer, self.options)

    def encoded(
        self, prompts: Iterable[SamplePrompt], limit: int, warn: Callable[[str], None]
    ) -> dict[str, EncodedPrompt]:
        """Returns the token ids of prompts by id; see `encode`."""
        return {prompt.id: found for _, prompt, found in self.encode(prompts, limit, warn)}

    def encode(
        self, prompts: Iterable[SamplePrompt], limit: int, warn: Callable[[str], None]
    ) -> Iterator[tuple[int, SamplePrompt, EncodedPrompt]]:
        """Yields the number of each prompt, the prompt, and its token ids with any control token.

        Prompts that the template cannot write are left out if the options say so.

        Raises:
            DataError: When the template cannot write a prompt, or, after the last prompt, when none
                is left.
        """
        encoder = ChatEncoder(self._format, limit - (self._suffix is not None))
        counts = _Counts()
        numbered = enumerate(prompts)
        while some := list(islice(numbered, PROMPTS_AT_ONCE)):
            found = encoder.prompts({prompt.id: _conversation(prompt) for _, prompt in some})
            for number, prompt in some:
                encoded = found[prompt.id]
                counts.add(encoded)
                if isinstance(encoded, EncodedPrompt):
                    yield number, prompt, self._with_suffix(encoded)
        counts.check(limit, warn)

    def _with_suffix(self, encoded: EncodedPrompt) -> EncodedPrompt:
        if self._suffix is None:
            return encoded
        return replace(encoded, ids=[*encoded.ids, self._suffix[0]])

    def records(
        self,
        batch: Sequence[SamplePrompt],
        answers: Sequence[Generated],
        sampling: Sampling | None,
    ) -> list[SampleLine]:
        """Returns the samples of a batch as records of their file.

        Args:
            batch: The prompts.
            answers: The same number of completions of each, one prompt after another.
            sampling: How their tokens were drawn; None if it is not known.
        """
        tokeniser = self._format.tokeniser
        targets = [prompt.target.text if prompt.target else None for prompt in batch]
        lengths = map(len, tokeniser.encode([target or "" for target in targets]))
        copies = len(answers) // len(batch)
        drawn = None if sampling is None else cast(SamplingOptions, sampling.column())
        return [
            self._record(prompt, answer, target, length) | {"sampling_options": drawn}
            for number, (prompt, target, length) in enumerate(
                zip(batch, targets, lengths, strict=True)
            )
            for answer in answers[number * copies : (number + 1) * copies]
        ]

    def _record(
        self, prompt: SamplePrompt, answer: Generated, target: str | None, target_tokens: int
    ) -> SampleLine:
        ids, logps = answer.token_ids, answer.token_logps
        text = self.content(prompt, answer.text if ids is None else ids)
        line = SampleLine(
            prompt_id=prompt.id,
            prompt=list(prompt.prompt),
            completion=text,
            target=target,
            tokens=self._count(answer.text) if ids is None else len(ids),
            target_tokens=None if target is None else target_tokens,
            token_ids=ids,
            token_logps=None if logps is None else [round(v, LOGP_DIGITS) for v in logps],
            finish=answer.finish,
            tokenizer=None if ids is None else self._tokenizer_digest,
            template=None if ids is None else self._template_digest,
        )
        if prompt.tools is not None:
            line["tools"] = [dict(tool) for tool in prompt.tools]
        if prompt.target and prompt.target.fields:
            line["target_fields"] = dict(prompt.target.fields)
        return line

    def _count(self, text: str) -> int:
        (ids,) = self._format.tokeniser.encode([text])
        return len(ids)

    def content(self, prompt: SamplePrompt, made: str | Sequence[int]) -> str:
        """Returns a completion as the content of a message, without the template's additions.

        Args:
            prompt: The prompt.
            made: The completion's token ids, or its text.
        """
        # Control tokens stay visible: they show if a model continues as the user.
        text = (
            made
            if isinstance(made, str)
            else self._tokenizer.decode(made, skip_special_tokens=False)
        )
        return self._format.content(_conversation(prompt), text)


@dataclass
class _Counts:
    """Counts prompts, and those that are left out, are cut or spell a control token."""

    prompts: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    spelled: int = 0

    def add(self, prompt: EncodedPrompt | TemplateMismatchError) -> None:
        self.prompts += 1
        if isinstance(prompt, TemplateMismatchError):
            self.dropped[prompt.kind] += 1
        else:
            self.cut += prompt.truncated
            self.spelled += prompt.spells_control

    def check(self, limit: int, warn: Callable[[str], None]) -> None:
        """Warns about what was counted, and checks that a prompt is left."""
        for kind, count in self.dropped.items():
            warn(f"dropped {count} of {self.prompts} prompts: {kind}")
        known = self.prompts - self.dropped.total()
        if not known:
            raise DataError("there are no prompts left; expected at least one", location="prompts")
        if self.cut:
            warn(
                f"{self.cut} of {known} prompts were longer than max_prompt_length {limit} and "
                "lost their beginning"
            )
        if self.spelled:
            warn(f"{self.spelled} prompts {SPELLS}{SPELLED_ADVICE}")


def _conversation(prompt: SamplePrompt) -> Conversation:
    return Conversation(prompt.prompt, prompt.tools, f"prompt {prompt.id}")
