"""Reads what sampling stages wrote, and pairs it by prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from halo_core.errors import PathError
from halo_core.feedback import Prompt
from halo_core.workspace.records import SAMPLES, SampleLine


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


def read_samples(folder: Path) -> dict[str, SampleLine]:
    """Returns prompt id to sample, in the order of the file.

    Args:
        folder: A sampling stage's folder, with `samples.jsonl`, or such a file.

    Raises:
        PathError: When there is no such file.
        DataError: When a line is not an object with a prompt id, a prompt and a completion.
    """
    path = folder if folder.is_file() else folder / SAMPLES.name
    if not path.exists():
        raise PathError("no such file; expected what a sampling stage wrote", location=str(path))
    return {sample["prompt_id"]: sample for sample in SAMPLES.read(path)}


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


def against_targets(samples: Mapping[str, SampleLine]) -> list[Duel]:
    """Returns a duel for each sample whose prompt has a target in the data."""
    return [
        _duel(sample, target, sample.get("target_tokens"))
        for sample in samples.values()
        if (target := sample.get("target")) is not None
    ]


def against_samples(
    samples: Mapping[str, SampleLine], baselines: Mapping[str, SampleLine]
) -> list[Duel]:
    """Returns a duel for each prompt that is in both."""
    return [
        _duel(sample, baselines[id_]["completion"], baselines[id_]["tokens"])
        for id_, sample in samples.items()
        if id_ in baselines
    ]


def _duel(sample: SampleLine, baseline: str, baseline_tokens: int | None) -> Duel:
    return Duel(
        sample["prompt_id"],
        sample["prompt"],
        sample["completion"],
        baseline,
        sample["tokens"],
        baseline_tokens,
    )
