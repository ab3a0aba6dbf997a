"""Samples on disk: complete batches as they finish, then all samples in order."""

from __future__ import annotations

import statistics
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from halo_core.stage import StageResult
from halo_core.workspace.disk import check_room
from halo_core.workspace.records import PARTIAL_SAMPLES, SAMPLES, SampleLine

LEAST_BYTES = 200
"""Smallest number of bytes of a line of samples, which has the prompt's id and ten names."""


class SampleFile:
    """The samples of a running stage, in ``samples.partial.jsonl``.

    The lines stay on disk: token ids and log-probabilities take up to 70 bytes of memory per token.
    A sample takes about 100 bytes.

    Args:
        folder: The stage's folder.
        batches: The prompt ids of each batch, in sampling order. A prompt with several samples
            is there as often.

    Attributes:
        batches_done: Number of complete batches.
        prompt_ids: The prompt id of each sample, as stored.
        lengths: Number of tokens of each sample.
        stopped: Number of samples that ended by themselves.
        texts: Number of samples without token ids.
        lacking: Number of samples without log-probabilities.

    Raises:
        DataError: When a sample of an earlier call cannot be read.
    """

    def __init__(self, folder: Path, batches: Sequence[Sequence[str]]) -> None:
        self._folder = folder
        self._partial = folder / PARTIAL_SAMPLES.name
        self._batches = batches
        self._begins = array("Q")
        self._size = 0
        self.batches_done = 0
        self.prompt_ids: list[str] = []
        self.lengths = array("Q")
        self.stopped = self.texts = self.lacking = 0
        if self._partial.exists():
            PARTIAL_SAMPLES.write(self._partial, self._complete())
            self._find_lines()

    def __len__(self) -> int:
        return len(self.lengths)

    def _complete(self) -> Iterator[SampleLine]:
        """Yields and counts the samples of the complete batches of an earlier call."""
        lines = PARTIAL_SAMPLES.read(self._partial)
        for ids in self._batches:
            samples = list(islice(lines, len(ids)))
            if [sample["prompt_id"] for sample in samples] != list(ids):
                break
            self._count(samples)
            self.batches_done += 1
            yield from samples

    def _count(self, samples: Iterable[SampleLine]) -> None:
        for sample in samples:
            self.prompt_ids.append(sample["prompt_id"])
            self.lengths.append(sample["tokens"])
            self.stopped += sample.get("finish") == "stop"
            self.texts += sample.get("token_ids") is None
            self.lacking += sample.get("token_logps") is None

    def _find_lines(self) -> None:
        """Finds where the lines begin that were written last."""
        with self._partial.open("rb") as file:
            file.seek(self._size)
            for line in file:
                self._begins.append(self._size)
                self._size += len(line)

    def append(self, samples: Sequence[SampleLine]) -> None:
        """Adds the next batch."""
        PARTIAL_SAMPLES.append(self._partial, samples)
        self._find_lines()
        self._count(samples)
        self.batches_done += 1

    def finish(self, order: Sequence[str]) -> Path:
        """Writes ``samples.jsonl`` in the order of the prompt ids, and returns its path."""
        path = self._folder / SAMPLES.name
        SAMPLES.write(path, self._in_order(order))
        self._partial.unlink(missing_ok=True)
        return path

    def _in_order(self, order: Sequence[str]) -> Iterator[SampleLine]:
        places = {id_: place for place, id_ in enumerate(order)}
        # Samples of one prompt stay in the order in which they came.
        sampled = sorted(range(len(self)), key=lambda i: places[self.prompt_ids[i]])
        if not sampled:
            return
        with self._partial.open("rb") as file:
            for position in sampled:
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
