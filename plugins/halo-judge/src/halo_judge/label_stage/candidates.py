"""The completions to label, from samples or from data."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from halo_core.completion import Completion, completions_in
from halo_core.errors import DataError
from halo_core.rows import DataSet
from halo_judge.files.outputs import OutputRows
from halo_judge.files.token_store import TokenStore
from halo_judge.judge_stage.on_disk import Numbers, as_numbers, digest_of, places_of
from halo_judge.judge_stage.sample_duels import sample_lines
from halo_judge.label_stage.said import Found, FoundRows, Said, said_in

TARGET = "target"


def of_samples(
    of: Path, other: Path | None, *, targets: bool, tokens: TokenStore | None = None
) -> Iterator[Found]:
    """Yields the completions of a sampling stage and of its rivals.

    Args:
        of: The stage's folder, or a file of outputs (`read_outputs`).
        other: Another sampling stage's folder, or another file; None if there is none.
        targets: Whether the rivals are the completions that the data have for the prompt.
        tokens: A store for token ids and log-probabilities; None to hold them in memory.

    Raises:
        PathError: When there are no samples.
        DataError: When a line is not a sample.
    """
    rivals = None if other is None else _Rivals(other, tokens)
    met: set[int] = set()
    for found, target in _completions(of, tokens):
        yield found
        if rivals is None and not targets:
            continue
        # A file may have several outputs of a prompt, with the same rivals.
        if (digest := digest_of(found.prompt_id)) in met:
            continue
        met.add(digest)
        # The rivals of a stage are draws too; the data's completion is not.
        if rivals is not None:
            yield from (replace(found, said=said) for said in rivals.of(found.prompt_id))
        elif targets and target is not None:
            yield replace(found, said=Said(target), is_draw=False)


class _Rivals:
    """The completions of another stage, in a temporary file."""

    def __init__(self, given: Path, tokens: TokenStore | None) -> None:
        self._rows = FoundRows(tokens)
        places, digests = array("Q"), array("Q")
        for found, _ in _completions(given, tokens):
            places.append(self._rows.add(found))
            digests.append(digest_of(found.prompt_id))
        order = np.argsort(as_numbers(digests), kind="stable")
        self._digests: Numbers = as_numbers(digests)[order]
        self._places: Numbers = as_numbers(places)[order]

    def of(self, prompt_id: str) -> Iterator[Said]:
        """Yields the completions of a prompt, in the order of the file."""
        for number in places_of(self._digests, prompt_id):
            found = self._rows.at(int(self._places[number]))
            if found.prompt_id == prompt_id:
                yield found.said


def _completions(
    given: Path, tokens: TokenStore | None
) -> Iterator[tuple[Found, Completion | None]]:
    """Yields each completion, with the completion that the data have for its prompt."""
    if given.is_file():
        for output in OutputRows(str(given), tokens=tokens or True):
            said = said_in(output.text, output.sampled)
            # Without token ids, an equal output may be the same one twice.
            drawn = said.has_ids
            found = Found(output.prompt_id, output.prompt, said, output.tools, drawn)
            yield found, _target(output.target, output.sampled)
        return
    for sample in sample_lines(given):
        kept = sample if tokens is None else tokens.set_aside(sample)
        said = said_in(sample["completion"], kept)
        tools = sample.get("tools")
        found = Found(sample["prompt_id"], sample["prompt"], said, tools, is_draw=True)
        yield found, _target(sample.get("target"), sample)


def _target(text: str | None, sampled: Mapping[str, Any]) -> Completion | None:
    return None if text is None else Completion(text, sampled.get("target_fields"))


def of_data(data: DataSet, tokens: TokenStore | None = None) -> Iterator[Found]:
    """Yields the completions of a data set.

    Args:
        data: The data set.
        tokens: A store for token ids and log-probabilities; None to hold them in memory.

    Raises:
        DataError: When the data set has no completions.
    """
    if data.feedback in ("text", "prompts"):
        what = "raw text, which has" if data.feedback == "text" else "prompts alone, which have"
        raise DataError(
            f"holds {what} no completions; expected demonstration, binary, paired or "
            "scored feedback",
            location=f"data set {data.name!r}",
        )
    for row in data:
        for completion in completions_in(row):
            said = Said(completion, row.get("tokenizer"), row.get("template"))
            said = said if tokens is None else _set_aside(said, tokens)
            yield Found(row["prompt_id"], row["prompt"], said, row.get("tools"), said.has_ids)


def _set_aside(said: Said, tokens: TokenStore) -> Said:
    whole = said.completion
    stored = None if whole.token_ids is None else tokens.put(whole.token_ids, whole.token_logps)
    if stored is None:
        return said
    return replace(said, completion=replace(whole, token_ids=None, token_logps=None), stored=stored)
