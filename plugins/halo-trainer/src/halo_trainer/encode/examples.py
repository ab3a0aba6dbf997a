"""Encoded examples on disk: token ids in a memory-mapped Arrow file, read by position."""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from halo_core.feedback import Feedback
from halo_core.mapped import mapped_table
from halo_core.workspace.check_values import check_values, damages
from halo_core.workspace.files import CHECK, object_check
from halo_core.workspace.records import FileCheck

Ids = npt.NDArray[np.int32]
Logps = npt.NDArray[np.float32]

_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("prompt_id", pa.string()),
        ("prompt", pa.list_(pa.int32())),
        ("completions", pa.list_(pa.list_(pa.int32()))),
        ("desirable", pa.list_(pa.bool_())),
        ("completion_ids", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float64())),
        ("sampler_logps", pa.list_(pa.list_(pa.float32()))),
    ]
)
_TOKENS = "tokens.arrow"
_COUNTS = "counts.json"
_FILES = "files"
_ROWS_PER_BATCH = 1024


@dataclass(frozen=True)
class EncodedCompletion:
    """One completion of a prompt, as token ids.

    Attributes:
        prompt_ids: The prompt as sampling sees it, never empty [prompt tokens].
        completion_ids: The completion, never empty. Its last token ends it, unless the completion
            was cut [completion tokens].
        desirable: Whether it is desirable. True for texts, demonstrations, chosen ones and groups.
        completion_id: Id of the text. Equal texts have the same id.
        sampled: Whether it is a sample of the reference instead of feedback.
        score: Its score, higher is better; None unless the feedback is scored.
        sampler_logps: Log-probability of each token under the model that sampled it, nats; None if
            it is unknown [completion tokens].
    """

    prompt_ids: Ids
    completion_ids: Ids
    desirable: bool
    completion_id: str
    sampled: bool = False
    score: float | None = None
    sampler_logps: Logps | None = None


@dataclass(frozen=True)
class EncodedExample:
    """The unit for which a loss gives one value.

    Attributes:
        id: Id of the row. Pieces of a long text are ``id``, ``id#2``, ``id#3``...
        prompt_id: Id of the prompt. Equal prompts have the same id.
        completions: One completion, two for pairs (the chosen one first), or at least two for
            scored groups. A sample of the reference is the last one.
    """

    id: str
    prompt_id: str
    completions: tuple[EncodedCompletion, ...]


@dataclass(frozen=True)
class Counts:
    """Counts of encoded data.

    Attributes:
        examples: Number of examples; for texts, of pieces.
        completions: Number of completions.
        desirable: Number of desirable completions.
        prompt_tokens: Number of tokens of all examples' prompts, one prompt per example.
        completion_tokens: Number of tokens of all completions.
        truncated_prompts: Number of examples with a cut prompt.
        truncated_completions: Number of completions that were cut.
        dropped: Number of rows that were left out, by reason.
        remarks: Number of completions with unexpected tokens, by remark.
        sampler_logps: Number of completions with the sampler's log-probabilities.
        unusable_logps: Number of completions whose log-probabilities cannot be used, by reason.
        samplings: Number of completions with log-probabilities by how their tokens were drawn, as
            far as it is known. An older halo counted none.
    """

    examples: int = 0
    completions: int = 0
    desirable: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    truncated_prompts: int = 0
    truncated_completions: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    remarks: Mapping[str, int] = field(default_factory=dict)
    sampler_logps: int = 0
    unusable_logps: Mapping[str, int] = field(default_factory=dict)
    samplings: Mapping[str, int] = field(default_factory=dict)


class EncodedData(Sequence[EncodedExample]):
    """The examples of one data set, memory-mapped from disk.

    Args:
        folder: The folder that `write` wrote.
        feedback: Kind of feedback of every example.
    """

    def __init__(self, folder: Path, feedback: Feedback) -> None:
        self.feedback = feedback
        self.counts = Counts(**_record(folder)[0])
        batches = mapped_table(folder / _TOKENS).to_batches()
        self._batches = [_Batch(batch) for batch in batches]
        self._starts = [0, *accumulate(batch.num_rows for batch in batches)]

    @property
    def truncated_prompts(self) -> int:
        """Number of examples whose prompt was cut."""
        return self.counts.truncated_prompts

    @property
    def truncated_completions(self) -> int:
        """Number of completions that were cut."""
        return self.counts.truncated_completions

    def __len__(self) -> int:
        return self.counts.examples

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(index)
        batch = bisect.bisect_right(self._starts, position) - 1
        return self._batches[batch].example(position - self._starts[batch])


class _Batch:
    """The columns of one Arrow record batch as NumPy views."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._ids = batch.column("id")
        self._prompt_ids = batch.column("prompt_id")
        prompt = batch.column("prompt")
        self._prompt_starts = prompt.offsets.to_numpy()
        self._prompt_tokens = prompt.values.to_numpy()
        completions = batch.column("completions")
        self._firsts = completions.offsets.to_numpy()
        self._starts = completions.values.offsets.to_numpy()
        self._tokens = completions.values.values.to_numpy()
        # As in Arrow: NumPy would read and copy all labels, which are bits there.
        self._desirable = batch.column("desirable").values
        self._completion_ids = batch.column("completion_ids").values
        # Older files do not have the last two columns.
        self._scores = _given(batch, "scores")
        self._logps = _given(batch, "sampler_logps")

    def example(self, row: int) -> EncodedExample:
        start, stop = self._prompt_starts[row : row + 2]
        prompt = self._prompt_tokens[start:stop]
        first, last = self._firsts[row : row + 2]
        return EncodedExample(
            id=self._ids[row].as_py(),
            prompt_id=self._prompt_ids[row].as_py(),
            completions=tuple(
                self._completion(prompt, i, row, i - first) for i in range(first, last)
            ),
        )

    def _completion(self, prompt: Ids, index: int, row: int, place: int) -> EncodedCompletion:
        return EncodedCompletion(
            prompt_ids=prompt,
            completion_ids=self._tokens[self._starts[index] : self._starts[index + 1]],
            desirable=self._desirable[index].as_py(),
            completion_id=self._completion_ids[index].as_py(),
            score=self._score(row, place),
            sampler_logps=self._logps_of(row, place),
        )

    def _score(self, row: int, place: int) -> float | None:
        found = None if self._scores is None else self._scores[row]
        return None if found is None or not found.is_valid else found.values[place].as_py()

    def _logps_of(self, row: int, place: int) -> Logps | None:
        found = None if self._logps is None else self._logps[row]
        if found is None or not found.is_valid or not found.values[place].is_valid:
            return None
        logps: Logps = found.values[place].values.to_numpy()
        return logps


def _given(batch: pa.RecordBatch, name: str) -> Any:
    """Returns a column; None if it has no values."""
    if batch.schema.get_field_index(name) < 0:
        return None
    column = batch.column(name)
    return None if column.null_count == len(column) else column


def write(folder: Path, examples: Iterable[EncodedExample]) -> Counts:
    """Writes examples one by one into an existing folder, and returns their counts.

    The encoder adds the counts of rows that were cut: see `write_counts`.
    """
    counts = Counts()
    remaining = iter(examples)
    path = str(folder / _TOKENS)
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        while chunk := list(islice(remaining, _ROWS_PER_BATCH)):
            writer.write_batch(_record_batch(chunk))
            counts = _with(counts, chunk)
    return counts


def write_counts(folder: Path, counts: Counts) -> None:
    """Writes the counts next to the tokens, with the check values of the tokens."""
    record = {**vars(counts), _FILES: check_values(folder, [_TOKENS])}
    (folder / _COUNTS).write_text(json.dumps({**record, CHECK: object_check(record)}))


def _record(folder: Path) -> tuple[dict[str, Any], Mapping[str, FileCheck]]:
    """Returns the fields of the counts, and the check values of the tokens.

    Raises:
        OSError: When the file cannot be read.
        ValueError: When it is not JSON, or not what was written.
    """
    record = json.loads((folder / _COUNTS).read_text())
    if not isinstance(record, dict):
        raise ValueError("not an object")
    # Older versions of halo wrote neither.
    if (check := record.pop(CHECK, None)) is not None and check != object_check(record):
        raise ValueError("its check value is another")
    files = record.pop(_FILES, {})
    return record, files


def damage_of(folder: Path) -> str:
    """Returns what is wrong with encoded examples on disk; "" if they are unchanged.

    Older versions of halo wrote no check values; their files are not checked.
    """
    try:
        fields, files = _record(folder)
        Counts(**fields)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        return f"{folder / _COUNTS} cannot be read: {type(error).__name__}"
    for name, what in damages(folder, files).items():
        return f"{folder / name} {what}"
    return "" if (folder / _TOKENS).is_file() else f"{folder / _TOKENS} is missing"


def _record_batch(examples: Sequence[EncodedExample]) -> pa.RecordBatch:
    groups = [example.completions for example in examples]
    completions = [completion for group in groups for completion in group]
    sizes = [len(group) for group in groups]
    text = pa.string()
    columns = {
        "id": pa.array([example.id for example in examples], text),
        "prompt_id": pa.array([example.prompt_id for example in examples], text),
        "prompt": _token_lists([group[0].prompt_ids for group in groups]),
        "completions": _lists(sizes, _token_lists([c.completion_ids for c in completions])),
        "desirable": _lists(sizes, pa.array([c.desirable for c in completions], pa.bool_())),
        "completion_ids": _lists(sizes, pa.array([c.completion_id for c in completions], text)),
        "scores": _rare([[c.score for c in group] for group in groups], pa.float64()),
        "sampler_logps": _rare(
            [[c.sampler_logps for c in group] for group in groups], pa.list_(pa.float32())
        ),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in _SCHEMA.names], schema=_SCHEMA)


def _token_lists(ids: Sequence[Ids]) -> pa.ListArray:
    """Returns token ids as Arrow lists. An array of arrays would take twenty times as long."""
    return _lists([len(each) for each in ids], pa.array(np.concatenate(ids), pa.int32()))


def _lists(sizes: Sequence[int], values: pa.Array) -> pa.ListArray:
    """Returns lists of the given sizes, which have the values in order."""
    offsets = np.zeros(len(sizes) + 1, dtype=np.int32)
    np.cumsum(sizes, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _rare(values: Sequence[Sequence[Any]], kind: pa.DataType) -> pa.Array:
    """Returns lists of a column that most examples lack; null if no completion has a value."""
    given = [None if all(each is None for each in of) else of for of in values]
    return pa.array(given, pa.list_(kind))


def _with(counts: Counts, examples: Sequence[EncodedExample]) -> Counts:
    completions = list(_completions(examples))
    return replace(
        counts,
        examples=counts.examples + len(examples),
        completions=counts.completions + len(completions),
        desirable=counts.desirable + sum(c.desirable for c in completions),
        prompt_tokens=counts.prompt_tokens
        + sum(len(e.completions[0].prompt_ids) for e in examples),
        completion_tokens=counts.completion_tokens
        + sum(len(c.completion_ids) for c in completions),
        sampler_logps=counts.sampler_logps + sum(c.sampler_logps is not None for c in completions),
    )


def _completions(examples: Iterable[EncodedExample]) -> Iterator[EncodedCompletion]:
    return (completion for example in examples for completion in example.completions)
