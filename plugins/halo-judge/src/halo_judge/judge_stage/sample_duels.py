"""Makes duels of the samples of a stage, whose texts wait in a temporary file."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from halo_core.errors import PathError
from halo_core.workspace.records import SAMPLES, SampleLine
from halo_core.workspace.spool import Spool
from halo_judge.judge_stage.duels import Duel
from halo_judge.judge_stage.old_samples import without_old_nonsense
from halo_judge.judge_stage.on_disk import (
    WHY,
    Numbers,
    OnDisk,
    as_numbers,
    check_same_prompt,
    digest_of,
    firsts,
)

_JUDGED = frozenset(
    {"prompt_id", "prompt", "completion", "tokens", "tools", "completion_fields"}
    | {"target", "target_fields", "target_tokens"}
)
"""The columns of samples that a duel needs. Token ids take fifty times the memory of a text."""


class PairedSamples(NamedTuple):
    """The duels of a sampling stage.

    Attributes:
        duels: The duels, in the order of the samples.
        unpaired: Number of prompts without a baseline.
        later: Number of samples that are not the first of their prompt.
        later_rivals: The same of the other sampling stage; 0 without one.
    """

    duels: SampleDuels
    unpaired: int
    later: int
    later_rivals: int


class SampleDuels(OnDisk[Duel]):
    """Duels whose texts are read from a temporary file. A duel takes 8 or 16 bytes of memory.

    Args:
        samples: The rows of the samples.
        places: The place of the sample of each duel.
        rivals: The rows of the other stage's samples; None for the targets in the data.
        rival_places: The place of the rival of each duel.
    """

    def __init__(
        self,
        samples: Spool,
        places: Numbers,
        rivals: Spool | None = None,
        rival_places: Numbers | None = None,
    ) -> None:
        self._samples = samples
        self._places = places
        self._rivals = rivals
        self._rival_places = rival_places

    def __len__(self) -> int:
        return len(self._places)

    def at(self, number: int) -> Duel:
        """Reads a duel from its number.

        Raises:
            DataError: When the prompts of the two samples have the same digest and differ.
        """
        sample = self._samples.at(int(self._places[number]))
        if self._rivals is None or self._rival_places is None:
            return _duel(sample, {name: sample.get(column) for name, column in _TARGET.items()})
        rival = self._rivals.at(int(self._rival_places[number]))
        check_same_prompt(sample["prompt_id"], rival["prompt_id"])
        return _duel(sample, rival)


_TARGET = {
    "completion": "target",
    "completion_fields": "target_fields",
    "tokens": "target_tokens",
}
"""The columns of a sample that are a rival's columns for the completion in the data."""


def _duel(sample: Mapping[str, Any], rival: Mapping[str, Any]) -> Duel:
    return Duel(
        sample["prompt_id"],
        sample["prompt"],
        sample["completion"],
        rival["completion"],
        sample["tokens"],
        rival["tokens"],
        sample.get("tools"),
        sample.get("completion_fields"),
        rival.get("completion_fields"),
    )


@dataclass(frozen=True)
class _FirstSamples:
    """The first sample of each prompt, in the order of the file.

    Attributes:
        rows: The rows of the samples, with only the columns that a duel needs.
        places: The place of each first sample.
        digests: The digest of the prompt id of each.
        targets: Whether the data have a completion for the prompt of each.
        later: Number of samples that are not the first of their prompt.
    """

    rows: Spool
    places: Numbers
    digests: Numbers
    targets: Numbers
    later: int


def pair_samples(folder: Path, against: Path | None) -> PairedSamples:
    """Returns the duels of a sampling stage: the first sample of each prompt that has a baseline.

    Args:
        folder: The sampling stage's folder.
        against: The other sampling stage's folder; None for the targets in the data.

    Raises:
        PathError: When there are no samples.
        DataError: When a line is not a sample, or two prompts have the same digest.
        DiskError: When the disk of the temporary files is full, or fails.
    """
    samples = _first_samples(folder)
    if against is None:
        duels = SampleDuels(samples.rows, samples.places[samples.targets])
        return PairedSamples(duels, len(samples.places) - len(duels), samples.later, 0)
    rivals = _first_samples(against)
    order = np.argsort(rivals.digests, kind="stable")
    found = np.searchsorted(rivals.digests, samples.digests, sorter=order)
    found[found == len(order)] = 0
    which = order[found] if len(order) else found
    met = np.flatnonzero(rivals.digests[which] == samples.digests) if len(order) else found[:0]
    places, rival_places = samples.places[met], rivals.places[which[met]]
    duels = SampleDuels(samples.rows, places, rivals.rows, rival_places)
    return PairedSamples(duels, len(samples.places) - len(duels), samples.later, rivals.later)


def _first_samples(folder: Path) -> _FirstSamples:
    rows, count, last = Spool(WHY), 0, None
    places, digests, targets = array("Q"), array("Q"), array("B")
    for sample in sample_lines(folder):
        count += 1
        if sample["prompt_id"] == last:
            continue
        last = sample["prompt_id"]
        needed = {name: value for name, value in sample.items() if name in _JUDGED}
        places.append(rows.add(needed))
        digests.append(digest_of(last))
        targets.append(sample.get("target") is not None)
    columns = [as_numbers(column) for column in (places, digests, targets)]
    first = firsts(columns[1])
    if len(first) < len(places):
        order = np.argsort(columns[1], kind="stable")
        for place in np.flatnonzero(np.diff(columns[1][order]) == 0):
            one, other = (rows.at(int(columns[0][each])) for each in order[place : place + 2])
            check_same_prompt(one["prompt_id"], other["prompt_id"])
        columns = [column[first] for column in columns]
    return _FirstSamples(
        rows, columns[0], columns[1], columns[2].astype(bool), count - len(columns[0])
    )


def sample_lines(folder: Path) -> Iterator[SampleLine]:
    """Yields all samples, several of one prompt too, in the order of the file.

    Args:
        folder: A sampling stage's folder, with `samples.jsonl`, or such a file.

    Raises:
        PathError: When there is no such file.
        DataError: When a line is not an object with a prompt id, a prompt and a completion, or,
            after the last line, when the samples are those of a model with NaN in its logits.
    """
    path = folder if folder.is_file() else folder / SAMPLES.name
    if not path.exists():
        raise PathError("no such file; expected what a sampling stage wrote", location=str(path))
    return without_old_nonsense(SAMPLES.read(path), path)
