"""The completions of each prompt that are to be labelled, from samples or from data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from halo_core.errors import DataError
from halo_core.feedback import Prompt, prompt_id
from halo_core.rows import DataSet
from halo_core.scoring_judge import Answer, answer_id
from halo_judge.files.outputs import read_outputs
from halo_judge.judge_stage.duels import read_samples

TARGET = "target"
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


Completion = tuple[str, Prompt, str]
"""Prompt id, prompt and completion."""


def of_samples(of: Path, other: Path | None, *, targets: bool) -> Iterator[Completion]:
    """Yields the completions of a sampling stage, and those that they stand against.

    Args:
        of: The stage's folder, or a file of outputs (`read_outputs`).
        other: Another sampling stage's folder, or another file; None for none.
        targets: Whether they stand against what the data holds for the prompt.

    Raises:
        PathError: When there are no samples.
        DataError: When a line is no sample.
    """
    rivals: dict[str, list[str]] = {}
    for id_, _, text, _ in _completions(other) if other is not None else ():
        rivals.setdefault(id_, []).append(text)
    met = set()
    for id_, prompt, text, target in _completions(of):
        yield id_, prompt, text
        if id_ in met:  # A file may hold several outputs of a prompt, which have the same rivals.
            continue
        met.add(id_)
        in_data = [target] if targets and target is not None else []
        for rival in rivals.get(id_, in_data):
            yield id_, prompt, rival


def _completions(given: Path) -> Iterator[tuple[str, Prompt, str, str | None]]:
    """Yields prompt id, prompt, completion and what the data holds for the prompt."""
    if given.is_file():
        for output in read_outputs(str(given)).outputs:
            yield prompt_id(output.prompt), output.prompt, output.text, output.target
        return
    for id_, sample in read_samples(given).items():
        yield id_, sample["prompt"], sample["completion"], sample.get("target")


def of_data(data: DataSet) -> Iterator[Completion]:
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


def by_prompt(rows: Iterable[Completion], dropped: Counter[str]) -> list[Candidates]:
    """Returns the completions by prompt, in order; counts those that are left out by reason."""
    prompts: dict[str, Prompt] = {}
    texts: dict[str, list[str]] = {}
    for id_, prompt, text in rows:
        prompts.setdefault(id_, prompt)
        of_prompt = texts.setdefault(id_, [])
        if not text.strip():
            dropped[EMPTY] += 1
        elif text in of_prompt:
            dropped[AGAIN] += 1
        else:
            of_prompt.append(text)
    return [Candidates(id_, prompts[id_], tuple(t)) for id_, t in texts.items() if t]


def all_answers(candidates: Sequence[Candidates]) -> list[Answer]:
    """Returns all completions as what a judge scores, prompt by prompt."""
    return [answer for group in candidates for answer in group.answers()]
