"""Samples on disk: complete batches as they finish, then all samples in order."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from halo_core.stage import StageResult
from halo_core.workspace.records import PARTIAL_SAMPLES, SAMPLES, SampleLine


class SampleFile:
    """The samples of a running stage, in ``samples.partial.jsonl``.

    Args:
        folder: The stage's folder.
        batches: The prompt ids of each batch, in sampling order. A prompt with several samples
            is there as often.

    Raises:
        DataError: When a sample of an earlier call cannot be read.
    """

    def __init__(self, folder: Path, batches: Sequence[Sequence[str]]) -> None:
        self._folder = folder
        self._partial = folder / PARTIAL_SAMPLES.name
        self._batches = batches
        self.samples: list[SampleLine] = []
        self.batches_done = 0
        self._resume()

    def _resume(self) -> None:
        """Reads the complete batches of an earlier call and drops the rest."""
        if not self._partial.exists():
            return
        lines = PARTIAL_SAMPLES.read(self._partial)
        for ids in self._batches:
            samples = list(islice(lines, len(ids)))
            if [sample["prompt_id"] for sample in samples] != list(ids):
                break
            self.samples.extend(samples)
            self.batches_done += 1
        PARTIAL_SAMPLES.write(self._partial, self.samples)

    def append(self, samples: Sequence[SampleLine]) -> None:
        """Adds the next batch."""
        PARTIAL_SAMPLES.append(self._partial, samples)
        self.samples.extend(samples)
        self.batches_done += 1

    def finish(self, order: Sequence[str]) -> Path:
        """Writes ``samples.jsonl`` in the order of the prompt ids, and returns its path."""
        by_prompt: dict[str, list[SampleLine]] = {id_: [] for id_ in order}
        for sample in self.samples:
            by_prompt[sample["prompt_id"]].append(sample)
        path = self._folder / SAMPLES.name
        SAMPLES.write(path, (sample for samples in by_prompt.values() for sample in samples))
        self._partial.unlink(missing_ok=True)
        return path


def sampling_result(samples: Sequence[SampleLine]) -> StageResult:
    """Returns the numbers about samples and the headline."""
    lengths = [sample["tokens"] for sample in samples]
    stopped = statistics.fmean(sample["finish"] == "stop" for sample in samples)
    metrics = {
        "n": float(len(samples)),
        "len": float(statistics.median(lengths)),
        "len_mean": statistics.fmean(lengths),
        "stopped": stopped,
    }
    headline = (
        f"{len(samples)} completions of {metrics['len']:.0f} tokens at the median; "
        f"{stopped:.0%} ended by themselves"
    )
    return StageResult(metrics, headline)
