"""Samples on disk: complete batches as they finish, then all samples in order."""

from __future__ import annotations

import statistics
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from halo_core.stage import StageResult
from halo_core.workspace.disk import check_room
from halo_core.workspace.records import PARTIAL_SAMPLES, SAMPLES, SampleLine

LEAST_BYTES = 200
"""Smallest number of bytes of a line of samples, which has the prompt's id and ten names."""


class SampleFile:
    """The samples of a running stage, in ``samples.partial.jsonl``.

    The lines stay on disk: token ids and log-probabilities take up to 70 bytes of memory per token.
    A sample takes 24 bytes.

    Args:
        folder: The stage's folder.
        ids: The id of each prompt, in the order of the finished file.
        batches: The numbers of the prompts of each batch, in sampling order. A prompt with several
            samples is there as often.

    Attributes:
        batches_done: Number of complete batches.
        prompts: The number of the prompt of each sample, as stored.
        lengths: Number of tokens of each sample.
        stopped: Number of samples that ended by themselves.
        texts: Number of samples without token ids.
        lacking: Number of samples without log-probabilities.

    Raises:
        DataError: When a sample of an earlier call cannot be read.
    """

    def __init__(self, folder: Path, ids: Sequence[str], batches: Iterable[Sequence[int]]) -> None:
        self._folder = folder
        self._partial = folder / PARTIAL_SAMPLES.name
        self._begins = array("Q")
        self._size = 0
        self.batches_done = 0
        self.prompts = array("Q")
        self.lengths = array("Q")
        self.stopped = self.texts = self.lacking = 0
        if self._partial.exists():
            PARTIAL_SAMPLES.write(self._partial, self._complete(ids, batches))
            self._find_lines()

    def __len__(self) -> int:
        return len(self.lengths)

    def _complete(
        self, ids: Sequence[str], batches: Iterable[Sequence[int]]
    ) -> Iterator[SampleLine]:
        """Yields and counts the samples of the complete batches of an earlier call."""
        lines = PARTIAL_SAMPLES.read(self._partial)
        for numbers in batches:
            samples = list(islice(lines, len(numbers)))
            if [sample["prompt_id"] for sample in samples] != [ids[number] for number in numbers]:
                break
            self._count(samples, numbers)
            yield from samples

    def _count(self, samples: Sequence[SampleLine], numbers: Sequence[int]) -> None:
        for sample, number in zip(samples, numbers, strict=True):
            self.prompts.append(number)
            self.lengths.append(sample["tokens"])
            self.stopped += sample.get("finish") == "stop"
            self.texts += sample.get("token_ids") is None
            self.lacking += sample.get("token_logps") is None
        self.batches_done += 1

    def _find_lines(self) -> None:
        """Finds where the lines begin that were written last."""
        with self._partial.open("rb") as file:
            file.seek(self._size)
            for line in file:
                self._begins.append(self._size)
                self._size += len(line)

    def append(self, samples: Sequence[SampleLine], numbers: Sequence[int]) -> None:
        """Adds the next batch, with the number of each sample's prompt."""
        PARTIAL_SAMPLES.append(self._partial, samples)
        self._find_lines()
        self._count(samples, numbers)

    def finish(self) -> Path:
        """Writes ``samples.jsonl`` in the order of the prompts, and returns its path."""
        path = self._folder / SAMPLES.name
        SAMPLES.write(path, self._in_order())
        self._partial.unlink(missing_ok=True)
        return path

    def _in_order(self) -> Iterator[SampleLine]:
        if not self.prompts:
            return
        # Samples of one prompt stay in the order in which they came.
        order = np.argsort(np.frombuffer(self.prompts, "Q"), kind="stable")
        with self._partial.open("rb") as file:
            for position in order:
                begin = self._begins[position]
                file.seek(begin)
                where = f"{self._partial}, byte {begin}"
                yield PARTIAL_SAMPLES.parse(file.readline(), where)


def check_room_for_samples(folder: Path, count: int) -> None:
    """Compares the number of samples with the room on the disk, before a list of them is made.

    Args:
        folder: The stage's folder.
        count: Number of samples.

    Raises:
        DiskError: When there is no room for them, even if each takes only `LEAST_BYTES`.
    """
    check_room(folder, count * LEAST_BYTES, f"{count:,} samples of at least {LEAST_BYTES} bytes")


def sampling_result(file: SampleFile) -> StageResult:
    """Returns the numbers about samples and the headline."""
    metrics = {
        "n": float(len(file)),
        "len": float(statistics.median(file.lengths)),
        "len_mean": statistics.fmean(file.lengths),
        "stopped": file.stopped / len(file),
    }
    headline = (
        f"{len(file)} completions of {metrics['len']:.0f} tokens at the median; "
        f"{metrics['stopped']:.0%} ended by themselves"
    )
    return StageResult(metrics, headline)
