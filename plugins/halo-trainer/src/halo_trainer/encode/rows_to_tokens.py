"""Converts rows to token ids once: tokenises in batches and caches on disk.

docs/explanation/encoding.md has the rules of rendering and truncation.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from halo_core.errors import DataError, UserError
from halo_core.garbage import few_collections
from halo_core.hashing import file_hash, short_hash
from halo_core.rows import DataSet
from halo_core.sampling import sampling_in
from halo_core.workspace.files import whole_folder
from halo_models.chat_encoder import ChatEncoder, EncodedAnswer, EncodedRow
from halo_models.chat_format import ChatFormat
from halo_models.control_tokens import Suffixes
from halo_models.conversation import Answer, ChatOptions, TemplateMismatchError
from halo_models.digests import template_digest, tokenizer_digest
from halo_models.tokenise import Tokeniser
from halo_trainer.encode.chat_rows import (
    AGAIN,
    LEFT_OUT,
    FeedbackRow,
    Learned,
    RowReader,
    Unfinished,
)
from halo_trainer.encode.cut_rows import CutRules
from halo_trainer.encode.examples import (
    EncodedCompletion,
    EncodedData,
    EncodedExample,
    Ids,
    Logps,
    damage_of,
    write,
    write_counts,
)
from halo_trainer.encode.sampler_logps import ACCIDENTS, left_out_as, too_few, usable_logps

ENCODER_VERSION = 2
"""Part of the cache's key. It is raised when the same rows would get other ids."""

TOKENS = "tokens"
"""The folder of all tokens, in the workspace's cache."""

_ROWS_PER_CALL = 1024


@dataclass(frozen=True)
class EncodingOptions:
    """Options for converting rows to token ids, and the largest length of an example.

    Attributes:
        max_length: Largest number of tokens of prompt and completion together.
        max_prompt_length: Largest number of tokens of the prompt, with its control token.
        suffixes: The control tokens that end the prompts of desirable and of undesirable
            completions; None if there are none.
        chat: Options for converting rows to text.
        unfinished: The treatment of a completion that was cut off when it was sampled.
        needs_logps: Whether to leave out a sampled completion whose log-probabilities cannot be
            used, because the loss needs them.

    Raises:
        UserError: When the prompt could fill the whole length, or has room only for its suffix.
    """

    max_length: int
    max_prompt_length: int
    suffixes: Suffixes | None = None
    chat: ChatOptions = field(default_factory=ChatOptions)
    unfinished: Unfinished = "keep"
    needs_logps: bool = False

    def __post_init__(self) -> None:
        if self.suffixes is not None and self.max_prompt_length < 2:
            raise UserError(
                f"max_prompt_length {self.max_prompt_length} has no room for text before the "
                "control token that ends each prompt; expected at least 2"
            )
        if not 1 <= self.max_prompt_length < self.max_length:
            raise UserError(
                f"max_prompt_length {self.max_prompt_length} must be at least 1 and less than "
                f"max_length {self.max_length}, which counts prompt and completion together"
            )


def encode(
    data: DataSet,
    tokenizer: Any,
    *,
    options: EncodingOptions,
    cache: Path,
    warn: Callable[[str], None] | None = None,
    encoded: Callable[[int], None] | None = None,
) -> EncodedData:
    """Returns the examples of a data set as token ids, from the cache if they are in it.

    Several processes may call it at the same time. One of them encodes, and the others wait.

    Args:
        data: Rows of any kind but `prompts`.
        tokenizer: A tokenizer with a chat template: see `halo_models.load.load_tokenizer`.
        options: Options for converting rows to token ids.
        cache: A folder that is kept between calls.
        warn: Receives a warning if tokens on disk are damaged, which are then made again.
        encoded: Receives the number of rows whenever some are encoded.

    Raises:
        DataError: When a completion is empty or a row cannot be rendered. The error names the row.
        UserError: When the options name a token that the tokenizer does not have.
    """
    folder = cache / TOKENS / cache_key(data, tokenizer, options)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        damage = damage_of(folder) if folder.exists() else ""
        if damage and warn is not None:
            warn(f"{data.name}: {damage}; its rows are tokenised again")
        if damage or not folder.exists():
            _fill(folder, _Encoder(data, tokenizer, options, encoded))
    return EncodedData(folder, data.feedback)


def _fill(folder: Path, encoder: _Encoder) -> None:
    rules = CutRules(encoder.max_length, encoder.dropped)
    with few_collections(), whole_folder(folder) as partial:
        counts = write(partial, rules.checked(encoder.examples()))
        write_counts(partial, encoder.counted(counts))
        if rules.conflicts:
            # Conflicts are known only after all rows: the rows are written again without them.
            with TemporaryDirectory(dir=folder.parent) as every:
                for file in partial.iterdir():
                    file.rename(Path(every) / file.name)
                data = EncodedData(Path(every), encoder.feedback)
                counts = write(partial, rules.without_conflicts(data))
            write_counts(partial, encoder.counted(counts))


def cache_key(data: DataSet, tokenizer: Any, options: EncodingOptions) -> str:
    """Returns a key for the result of these rows, tokenizer, template and options."""
    chosen = asdict(options)
    if not options.needs_logps:  # The keys of older tokens stay valid.
        del chosen["needs_logps"]
    content = [
        ENCODER_VERSION,
        data.feedback,
        [file_hash(path) for path in data.files],
        tokenizer_digest(tokenizer),
        template_digest(tokenizer, options.chat),
        chosen,
    ]
    return short_hash(json.dumps(content, sort_keys=True), 32)


class _Kept(NamedTuple):
    """A completion of a row that is trained."""

    answer: Answer
    result: EncodedAnswer
    learned: Learned
    logps: Logps | None


class _Encoder:
    """Encodes the rows of one data set in order, and counts cut, dropped and changed rows."""

    def __init__(
        self,
        data: DataSet,
        tokenizer: Any,
        options: EncodingOptions,
        encoded: Callable[[int], None] | None,
    ) -> None:
        self._encoded = encoded
        self.feedback = data.feedback
        self.max_length = options.max_length
        self.dropped: Counter[str] = Counter()
        self._remarks: Counter[str] = Counter()
        self._unusable: Counter[str] = Counter()
        self._samplings: Counter[str] = Counter()
        self._truncated_prompts = 0
        self._truncated_completions = 0
        self._data = data
        self._tokenizer = tokenizer
        self._suffixes = options.suffixes
        self._needs_logps = options.needs_logps
        self._reader = RowReader(
            data.name,
            data.feedback,
            tokenizer_digest(tokenizer),
            template_digest(tokenizer, options.chat),
            options.unfinished,
        )
        limit = options.max_prompt_length - (options.suffixes is not None)
        self._chat = ChatEncoder(ChatFormat(tokenizer, options.chat), limit)

    def examples(self) -> Iterator[EncodedExample]:
        rows = iter(self._data)
        encode = self._texts if self._data.feedback == "text" else self._rows
        while chunk := list(islice(rows, _ROWS_PER_CALL)):
            yield from encode(chunk)
            if self._encoded is not None:
                self._encoded(len(chunk))

    def counted(self, counts: Any) -> Any:
        """Returns the counts of the written examples, with cut, dropped and changed rows."""
        return replace(
            counts,
            truncated_prompts=self._truncated_prompts,
            truncated_completions=self._truncated_completions,
            dropped=dict(self.dropped),
            remarks=dict(self._remarks),
            unusable_logps=dict(self._unusable),
            samplings=dict(self._samplings),
        )

    def _texts(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[EncodedExample]:
        """Yields the pieces of raw texts.

        A piece has the last token of the piece before as its prompt. So every token of a text is
        predicted once, and nothing is lost.
        """
        texts = encode_texts(self._tokenizer, [row["text"] for row in rows])
        for row, whole in zip(rows, texts, strict=True):
            if len(whole) <= 2:
                raise self._empty(row["id"])
            step = self.max_length - 1
            for number, start in enumerate(range(0, len(whole) - 1, step), start=1):
                piece = whole[start : start + self.max_length]
                name = row["id"] if number == 1 else f"{row['id']}#{number}"
                completion = EncodedCompletion(
                    piece[:1], piece[1:], True, short_hash(f"{number}:{row['text']}")
                )
                yield EncodedExample(name, row["prompt_id"], (completion,))

    def _rows(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[EncodedExample]:
        asked = [self._reader.read(row) for row in rows]
        self.dropped.update(row for row in asked if isinstance(row, str))
        whole = [row for row in asked if not isinstance(row, str)]
        for row, encoded in zip(whole, self._chat.rows([row.chat for row in whole]), strict=True):
            if isinstance(encoded, TemplateMismatchError):
                self.dropped[encoded.kind] += 1
                continue
            self.dropped[LEFT_OUT] += row.left_out
            kept = self._with_logps(row, encoded)
            reason = too_few(self.feedback, kept, len(row.learned))
            if reason is not None:
                self.dropped.update([reason] if reason else [])
                continue
            self._truncated_prompts += encoded.truncated
            self._remarks[AGAIN] += row.again
            completions = tuple(self._completions(row, encoded.prompt_ids, kept))
            yield EncodedExample(row.id, row.chat.prompt_id, completions)

    def _with_logps(self, row: FeedbackRow, encoded: EncodedRow) -> list[_Kept]:
        """Returns the completions of a row, without those that lack what the loss needs."""
        kept = []
        answers = zip(row.chat.answers, encoded.answers, row.learned, strict=True)
        for answer, result, learned in answers:
            same_ids = answer.token_ids is not None
            logps, reason = usable_logps(learned.completion, same_ids=same_ids, result=result)
            if self._needs_logps and reason in ACCIDENTS:
                self.dropped[left_out_as(str(reason))] += 1
                continue
            if reason is not None and learned.completion.token_logps is not None:
                self._unusable[reason] += 1
            kept.append(_Kept(answer, result, learned, logps))
        return kept

    def _completions(
        self, row: FeedbackRow, prompt: Sequence[int], kept: Sequence[_Kept]
    ) -> Iterator[EncodedCompletion]:
        for answer, result, learned, logps in kept:
            if len(result.ids) <= result.ended:
                raise self._empty(row.id)
            suffix = [] if self._suffixes is None else [self._suffixes[not learned.desirable]]
            prompt_ids = np.array([*prompt, *suffix], dtype=np.int32)
            ids = self._cut(result, self.max_length - len(prompt_ids))
            self._remarks.update(result.remarks)
            if logps is not None and learned.completion.sampling is not None:
                self._samplings[str(sampling_in(learned.completion.sampling))] += 1
            yield EncodedCompletion(
                prompt_ids,
                ids,
                learned.desirable,
                completion_id(answer),
                score=learned.score,
                sampler_logps=None if logps is None else logps[: len(ids)],
            )

    def _cut(self, answer: EncodedAnswer, room: int) -> Ids:
        self._truncated_completions += len(answer.ids) > room
        return np.array(answer.ids[:room], dtype=np.int32)

    def _empty(self, row_id: str) -> DataError:
        return DataError(
            "a completion is empty: it has no token to learn from. Drop or correct the row",
            location=f"{self._data.name}: row {row_id}",
        )


def encode_texts(tokenizer: Any, texts: Sequence[str]) -> list[Ids]:
    """Returns the ids of raw texts, each between the tokens that begin and end a text."""
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    first = eos if bos is None else bos
    # In a corpus of dialogues, text that spells control tokens becomes control tokens.
    ids = Tokeniser(tokenizer, ()).encode(texts)
    return [np.array([first, *tokens, eos], dtype=np.int32) for tokens in ids]


def completion_id(answer: Answer) -> str:
    """Returns an id of a completion. Equal completions have the same id."""
    if not answer.fields:
        return short_hash(answer.content)
    return short_hash(json.dumps([answer.content, answer.fields], sort_keys=True))


__all__ = [
    "EncodedCompletion",
    "EncodedData",
    "EncodedExample",
    "EncodingOptions",
    "cache_key",
    "completion_id",
    "encode",
    "encode_texts",
]
