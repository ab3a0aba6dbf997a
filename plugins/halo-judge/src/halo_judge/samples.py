"""Reads what sampling stages wrote, and pairs it by prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_core.errors import DataError, PathError
from halo_core.feedback import Prompt

Sample = Mapping[str, Any]
"""A line of `samples.jsonl`."""


@dataclass(frozen=True)
class Duel:
    """A completion and what it is compared with.

    Attributes:
        prompt_id: Names the prompt.
        prompt: The messages before both.
        completion: The text that is judged.
        baseline: The text that it is compared with.
        tokens: Length of the completion in tokens; None where it is not known.
        baseline_tokens: Length of the baseline in tokens; None where it is not known.
    """

    prompt_id: str
    prompt: Prompt
    completion: str
    baseline: str
    tokens: int | None
    baseline_tokens: int | None


def read_samples(folder: Path) -> dict[str, Sample]:
    """Returns prompt id to sample, in the order of the file.

    Args:
        folder: A sampling stage's folder, with `samples.jsonl`, or such a file.

    Raises:
        PathError: When there is no such file.
        DataError: When a line is not an object with a prompt id, a prompt and a completion.
    """
    path = folder if folder.is_file() else folder / "samples.jsonl"
    if not path.exists():
        raise PathError("no such file; expected what a sampling stage wrote", location=str(path))
    samples = {}
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            sample = _parse(line, f"{path}:{number}")
            samples[sample["prompt_id"]] = sample
    return samples


def _parse(line: str, where: str) -> Sample:
    try:
        sample: Sample = json.loads(line)
        sample["prompt_id"], sample["prompt"], sample["completion"], sample["tokens"]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"got {line.strip()[:80]!r}; expected an object with prompt_id, prompt, completion "
            "and tokens. Compute the sampling stage again: halo run SPEC --again STAGE",
            location=where,
        ) from error
    return sample


def pair_samples(folder: Path, against: Path | None) -> tuple[list[Duel], int]:
    """Returns the duels of a sampling stage, and how many samples have nothing to meet.

    Args:
        folder: The sampling stage's folder.
        against: That of the other sampling stage; None for the targets in the data.

    Raises:
        PathError: When there are no samples.
        DataError: When a line is no sample.
    """
    samples = read_samples(folder)
    duels = against_samples(samples, read_samples(against)) if against else against_targets(samples)
    return duels, len(samples) - len(duels)


def against_targets(samples: Mapping[str, Sample]) -> list[Duel]:
    """Returns a duel for each sample whose prompt has a target in the data."""
    return [
        _duel(sample, sample["target"], sample.get("target_tokens"))
        for sample in samples.values()
        if sample.get("target") is not None
    ]


def against_samples(samples: Mapping[str, Sample], baselines: Mapping[str, Sample]) -> list[Duel]:
    """Returns a duel for each prompt that is in both."""
    return [
        _duel(sample, baselines[id_]["completion"], baselines[id_]["tokens"])
        for id_, sample in samples.items()
        if id_ in baselines
    ]


def _duel(sample: Sample, baseline: str, baseline_tokens: int | None) -> Duel:
    return Duel(
        sample["prompt_id"],
        sample["prompt"],
        sample["completion"],
        baseline,
        sample["tokens"],
        baseline_tokens,
    )
