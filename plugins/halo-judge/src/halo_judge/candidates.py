"""The completions of each prompt that are to be labelled, from samples or from data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_core.errors import DataError
from halo_core.feedback import Prompt
from halo_core.rows import DataSet
from halo_core.scoring import Answer, answer_id
from halo_judge.samples import read_samples

EMPTY = "empty completion"
AGAIN = "same completion of the prompt"


@dataclass(frozen=True)
class Candidates:
    """The completions of one prompt.

    Attributes:
        prompt_id: Names the prompt.
        prompt: The messages before them.
        texts: Not empty, and each another one.
    """

    prompt_id: str
    prompt: Prompt
    texts: tuple[str, ...]

    def answers(self) -> list[Answer]:
        """Returns them as what a judge scores."""
        prompt = self.prompt
        return [Answer(answer_id(prompt, text), prompt, text) for text in self.texts]


Row = tuple[str, Prompt, str]
"""Prompt id, prompt and completion."""


def of_samples(of: Path, against: str | None, other: Path | None) -> Iterator[Row]:
    """Yields the completions of a sampling stage, and those that they stand against.

    Args:
        of: The stage's folder, or a file of samples.
        against: ``target`` for what the data holds for the prompt; None for nothing.
        other: Another sampling stage's, instead of targets.

    Raises:
        PathError: When there are no samples.
        DataError: When a line is no sample.
    """
    rivals = read_samples(other) if other is not None else {}
    for id_, sample in read_samples(of).items():
        yield id_, sample["prompt"], sample["completion"]
        rival = _rival(sample, rivals.get(id_), against)
        if rival is not None:
            yield id_, sample["prompt"], rival


def _rival(
    sample: Mapping[str, Any], other: Mapping[str, Any] | None, against: str | None
) -> str | None:
    if against is None:
        return None
    rival = other["completion"] if other is not None else None
    target: str | None = sample.get("target") if against == "target" else rival
    return target


def of_data(data: DataSet) -> Iterator[Row]:
    """Yields the completions of a data set.

    Raises:
        DataError: When it is raw text.
    """
    if data.feedback == "text":
        raise DataError(
            "holds raw text, which has no completions; expected demonstration, binary, paired or "
            "scored feedback",
            location=f"data set {data.name!r}",
        )
    for row in data:
        single = [row[name] for name in ("completion", "chosen", "rejected") if name in row]
        for text in [*single, *row.get("completions", [])]:
            yield row["prompt_id"], row["prompt"], text


def by_prompt(rows: Iterable[Row], dropped: Counter[str]) -> list[Candidates]:
    """Returns the completions by prompt, in order; counts those that are left out by reason."""
    prompts: dict[str, Prompt] = {}
    texts: dict[str, list[str]] = {}
    for id_, prompt, text in rows:
        prompts.setdefault(id_, prompt)
        found = texts.setdefault(id_, [])
        if not text.strip():
            dropped[EMPTY] += 1
        elif text in found:
            dropped[AGAIN] += 1
        else:
            found.append(text)
    return [Candidates(id_, prompts[id_], tuple(t)) for id_, t in texts.items() if t]


def all_answers(candidates: Sequence[Candidates]) -> list[Answer]:
    """Returns all completions as what a judge scores, prompt by prompt."""
    return [answer for each in candidates for answer in each.answers()]
