"""From rows to token ids, once: tokenised in batches and cached on disk.

The rules of rendering and truncation are in docs/explanation/encoding.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from halo_core.errors import DataError, UserError
from halo_core.feedback import Feedback
from halo_core.hashing import file_hash, short_hash
from halo_core.rows import DataSet
from halo_core.workspace.files import whole_folder
from halo_models.control_tokens import Suffixes
from halo_models.prompts import EncodedPrompt, PromptEncoder
from halo_models.tokenizers import completion_end_id, control_pattern, protect, token_ids
from halo_trainer.encode.examples import (
    Counts,
    EncodedCompletion,
    EncodedData,
    EncodedExample,
    Ids,
    write,
    write_counts,
)

ENCODER_VERSION = 1
"""Part of the cache's key: raised whenever the same rows would get other ids."""

_ROWS_PER_CALL = 1024


@dataclass(frozen=True)
class EncodingOptions:
    """How long an example may be.

    Attributes:
        max_length: Tokens of prompt and completion together.
        max_prompt_length: Tokens of the prompt, its control token included.
        suffixes: The control tokens that end the prompts of desirable and of undesirable
            completions; None for none.

    Raises:
        UserError: When the prompt could fill all of the length, or has no room but for its suffix.
    """

    max_length: int
    max_prompt_length: int
    suffixes: Suffixes | None = None

    def __post_init__(self) -> None:
        if self.suffixes is not None and self.max_prompt_length < 2:
            raise UserError(
                f"max_prompt_length {self.max_prompt_length} leaves no room beside the control "
                "token that ends each prompt; expected at least 2"
            )
        if not 1 <= self.max_prompt_length < self.max_length:
            raise UserError(
                f"max_prompt_length {self.max_prompt_length} must be at least 1 and less than "
                f"max_length {self.max_length}, which counts prompt and completion together"
            )


def encode(data: DataSet, tokenizer: Any, *, options: EncodingOptions, cache: Path) -> EncodedData:
    """Returns the examples of a data set as token ids, from the cache where they are there.

    Several processes may call it at the same time: one encodes, the others wait.

    Args:
        data: Rows of any kind but `scored`.
        tokenizer: With a chat template inside: see `halo_models.load.load_tokenizer`.
        options: Lengths.
        cache: A folder that is kept between calls.

    Raises:
        DataError: When a completion is empty or a prompt cannot be rendered; it names the row.
    """
    if data.feedback == "scored":
        raise DataError(
            "scored feedback cannot be trained on yet; expected text, demonstration, binary or "
            "paired feedback",
            location=data.name,
        )
    folder = cache / "tokens" / cache_key(data, tokenizer, options)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.exists():
                _fill(folder, _Encoder(data, tokenizer, options))
    return EncodedData(folder, data.feedback)


def _fill(folder: Path, encoder: _Encoder) -> None:
    with whole_folder(folder) as partial:
        counts = write(partial, encoder.examples())
        counts = replace(
            counts,
            truncated_prompts=encoder.truncated_prompts,
            truncated_completions=encoder.truncated_completions,
        )
        write_counts(partial, counts)


def cache_key(data: DataSet, tokenizer: Any, options: EncodingOptions) -> str:
    """Returns a name for what the rows, the tokenizer, its template and the options give."""
    files = [file_hash(path) for path in data.files]
    content = [
        ENCODER_VERSION,
        data.feedback,
        files,
        tokenizer_content(tokenizer),
        tokenizer.chat_template,
        vars(options),
    ]
    return short_hash(json.dumps(content, sort_keys=True), 32)


def tokenizer_content(tokenizer: Any) -> str:
    """Returns a hash of all that decides which ids a tokenizer gives."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        rules: Any = [type(tokenizer).__name__, tokenizer.get_vocab(), str(tokenizer.init_kwargs)]
    else:
        # Padding and truncation are left behind by whoever called the tokenizer last.
        rules = json.loads(backend.to_str()) | {"padding": None, "truncation": None}
    content = [rules, tokenizer.eos_token, tokenizer.bos_token, tokenizer.all_special_tokens]
    return short_hash(json.dumps(content, sort_keys=True), 64)


class _Encoder:
    """Encodes the rows of one data set in order, and counts what it cuts."""

    def __init__(self, data: DataSet, tokenizer: Any, options: EncodingOptions) -> None:
        self.truncated_prompts = 0
        self.truncated_completions = 0
        self._data = data
        self._tokenizer = tokenizer
        self._max_length = options.max_length
        self._suffixes = options.suffixes
        self._prompts = PromptEncoder(
            tokenizer, options.max_prompt_length - (options.suffixes is not None)
        )
        self._control = control_pattern(tokenizer)
        self._end = completion_end_id(tokenizer)

    def examples(self) -> Iterator[EncodedExample]:
        rows = iter(self._data)
        encode = self._texts if self._data.feedback == "text" else self._rows
        while chunk := list(islice(rows, _ROWS_PER_CALL)):
            yield from encode(chunk)

    def _texts(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[EncodedExample]:
        """Yields the pieces of raw texts.

        A piece begins with the last token of the one before, as its prompt: so every token of a
        text is predicted once, and nothing is lost.
        """
        ids = token_ids(self._tokenizer, [row["text"] for row in rows])
        bos = self._tokenizer.bos_token_id
        first = self._tokenizer.eos_token_id if bos is None else bos
        for row, tokens in zip(rows, ids, strict=True):
            self._check(row, tokens)
            whole = np.array([first, *tokens, self._tokenizer.eos_token_id], dtype=np.int32)
            step = self._max_length - 1
            for number, start in enumerate(range(0, len(whole) - 1, step), start=1):
                piece = whole[start : start + self._max_length]
                name = row["id"] if number == 1 else f"{row['id']}#{number}"
                completion = EncodedCompletion(
                    piece[:1], piece[1:], True, _completion_id(f"{number}:{row['text']}")
                )
                yield EncodedExample(name, row["prompt_id"], (completion,))

    def _rows(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[EncodedExample]:
        # A prompt that many rows share is encoded once, and errors name the first of them.
        first: dict[str, Mapping[str, Any]] = {}
        for row in rows:
            first.setdefault(row["prompt_id"], row)
        prompts = self._prompts.encode(
            {id_: row["prompt"] for id_, row in first.items()},
            place=lambda id_: self._place(first[id_]),
        )
        texts = {text for row in rows for text, _ in row_completions(row, self._data.feedback)}
        ordered = sorted(texts)
        ids = token_ids(self._tokenizer, [protect(text, self._control) for text in ordered])
        ids_of = dict(zip(ordered, ids, strict=True))
        for row in rows:
            prompt = prompts[row["prompt_id"]]
            self.truncated_prompts += prompt.truncated
            yield EncodedExample(
                row["id"], row["prompt_id"], tuple(self._completions(row, prompt, ids_of))
            )

    def _completions(
        self, row: Mapping[str, Any], prompt: EncodedPrompt, ids_of: Mapping[str, Sequence[int]]
    ) -> Iterator[EncodedCompletion]:
        for text, desirable in row_completions(row, self._data.feedback):
            self._check(row, ids_of[text])
            suffix = [] if self._suffixes is None else [self._suffixes[not desirable]]
            prompt_ids = np.array([*prompt.ids, *suffix], dtype=np.int32)
            ids = self._cut([*ids_of[text], self._end], self._max_length - len(prompt_ids))
            yield EncodedCompletion(prompt_ids, ids, desirable, _completion_id(text))

    def _cut(self, ids: Sequence[int], room: int) -> Ids:
        self.truncated_completions += len(ids) > room
        return np.array(ids[:room], dtype=np.int32)

    def _check(self, row: Mapping[str, Any], tokens: Sequence[int]) -> None:
        if not tokens:
            raise DataError(
                "a completion is empty: it has no token to learn from. Drop the row or mend it",
                location=self._place(row),
            )

    def _place(self, row: Mapping[str, Any]) -> str:
        return f"{self._data.name}: row {row['id']}"


def row_completions(row: Mapping[str, Any], feedback: Feedback) -> list[tuple[str, bool]]:
    """Returns the completions of a row and whether each is desirable; the chosen one first."""
    if feedback == "paired":
        return [(row["chosen"], True), (row["rejected"], False)]
    return [(row["completion"], row["desirable"] if feedback == "binary" else True)]


def _completion_id(text: str) -> str:
    return short_hash(text)


__all__ = [
    "Counts",
    "EncodedCompletion",
    "EncodedData",
    "EncodedExample",
    "EncodingOptions",
    "cache_key",
    "encode",
    "row_completions",
    "tokenizer_content",
]
