"""Samples on disk: whole batches as they come, then all of them in order."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]


class SampleFile:
    """The samples of a stage that is going on, in ``samples.partial.jsonl``.

    Args:
        folder: The stage's folder.
        batches: The prompt ids of each batch, in the order in which they are sampled.
    """

    def __init__(self, folder: Path, batches: Sequence[Sequence[str]]) -> None:
        self._folder = folder
        self._partial = folder / "samples.partial.jsonl"
        self._batches = batches
        self.samples: list[Record] = []
        self.batches_done = 0
        self._resume()

    def _resume(self) -> None:
        """Takes over the whole batches of an earlier call and drops what is behind them."""
        if not self._partial.exists():
            return
        with self._partial.open("rb") as file:
            lines = list(file)
        kept = 0
        for ids in self._batches:
            part = lines[kept : kept + len(ids)]
            samples = [json.loads(line) for line in part if line.endswith(b"\n")]
            if [sample["prompt_id"] for sample in samples] != list(ids):
                break
            kept += len(ids)
            self.samples.extend(samples)
            self.batches_done += 1
        os.truncate(self._partial, sum(map(len, lines[:kept])))

    def append(self, samples: Sequence[Record]) -> None:
        """Adds the next batch."""
        with self._partial.open("ab") as file:
            file.write(b"".join(map(_line, samples)))
        self.samples.extend(samples)
        self.batches_done += 1

    def finish(self, order: Sequence[str]) -> Path:
        """Returns ``samples.jsonl``, written beside and renamed, in the order of the prompt ids."""
        found = {sample["prompt_id"]: sample for sample in self.samples}
        path = self._folder / "samples.jsonl"
        beside = path.with_suffix(".part")
        beside.write_bytes(b"".join(_line(found[id_]) for id_ in order))
        beside.replace(path)
        self._partial.unlink(missing_ok=True)
        return path


def _line(sample: Record) -> bytes:
    return json.dumps(sample, ensure_ascii=False).encode() + b"\n"
