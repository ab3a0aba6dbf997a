"""Adds samples of the reference to feedback, for a loss that uses them as a regulariser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from halo_core.errors import DataError
from halo_core.workspace.records import SAMPLES
from halo_models.chat_encoder import ChatEncoder, ChatRow, EncodedRow
from halo_models.chat_format import ChatFormat
from halo_models.conversation import Answer, Conversation
from halo_models.digests import template_digest, tokenizer_digest
from halo_trainer.encode.chat_rows import AGAIN
from halo_trainer.encode.examples import EncodedCompletion, EncodedExample, Ids
from halo_trainer.encode.rows_to_tokens import EncodingOptions


class WithSamples(Sequence[EncodedExample]):
    """Examples with a sample for their prompt as a last completion.

    Args:
        data: The examples.
        samples: Token ids of a completion, by prompt id.
        max_length: Largest number of tokens of a sequence. The end of a longer sample is cut.
        name: Name of the data, for messages.

    Raises:
        DataError: When there is no sample for an example's prompt.
    """

    def __init__(
        self,
        data: Sequence[EncodedExample],
        samples: dict[str, Ids],
        *,
        max_length: int,
        name: str,
    ) -> None:
        prompts = {example.prompt_id for example in data}
        lacking = prompts - samples.keys()
        if lacking:
            raise DataError(
                f"{len(lacking)} of its {len(prompts)} prompts have no sample of the reference; "
                "expected one for each. Sample all prompts of this set, without `n`",
                location=name,
            )
        self._data = data
        self._samples = samples
        self._max_length = max_length

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        example = self._data[index]
        prompt = example.completions[0].prompt_ids
        ids = self._samples[example.prompt_id][: self._max_length - len(prompt)]
        sample = EncodedCompletion(prompt, ids, False, "sample", sampled=True)
        return replace(example, completions=(*example.completions, sample))


def read_reference_samples(
    folder: Path, tokenizer: Any, options: EncodingOptions, warn: Callable[[str], None]
) -> dict[str, Ids]:
    """Returns the token ids of the first completion of each prompt in samples, by prompt id.

    Samples of another tokenizer or template are tokenised again, like completions of the data.

    Args:
        folder: The folder of the sample stage.
        tokenizer: The policy's tokenizer.
        options: Options for converting rows to token ids.
        warn: Receives a warning about samples that are tokenised again.

    Raises:
        DataError: When a line is not a sample with token ids.
    """
    chat_format = ChatFormat(tokenizer, options.chat)
    digests = tokenizer_digest(tokenizer), template_digest(tokenizer, options.chat)
    ids: dict[str, list[int]] = {}
    again: list[ChatRow] = []
    met: set[str] = set()
    for sample in SAMPLES.read(folder / SAMPLES.name, needs=("token_ids", "finish")):
        if sample["prompt_id"] in met:
            continue
        met.add(sample["prompt_id"])
        ended = sample["finish"] == "stop"
        theirs = sample.get("tokenizer"), sample.get("template")
        made = sample["token_ids"]
        if made is not None and theirs in (digests, (None, None)):  # Older files have no digests.
            ids[sample["prompt_id"]] = [*made, chat_format.end_id] if ended else made
        else:
            prompt = Conversation(sample["prompt"], sample.get("tools"), str(folder))
            fields = sample.get("completion_fields") or {}
            answer = Answer(sample["completion"], fields, ended=ended)
            again.append(ChatRow(sample["prompt_id"], prompt, (answer,)))
    if again:
        warn(f"{len(again)} samples of the reference {AGAIN}")
    encoder = ChatEncoder(chat_format, options.max_prompt_length)
    for row, encoded in zip(again, encoder.rows(again), strict=True):
        # A prompt that the template cannot write has no example either.
        if isinstance(encoded, EncodedRow):
            ids[row.prompt_id] = encoded.answers[0].ids
    return {name: np.array(tokens, dtype=np.int32) for name, tokens in ids.items()}
