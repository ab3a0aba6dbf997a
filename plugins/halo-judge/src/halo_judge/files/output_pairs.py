"""Pairs the outputs of two files by prompt."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from halo_core.errors import DataError
from halo_core.feedback import prompt_id
from halo_core.judge import Fields
from halo_judge.files.outputs import ModelOutput, OutputFile
from halo_judge.judge_stage.duels import Duel


@dataclass(frozen=True)
class Pairing:
    """The outputs of a file, paired with the outputs that they are compared with.

    Attributes:
        duels: The duels in the order of the first file. The first duel of a prompt has the prompt's
            id; for the others ``.2``, ``.3`` and so on is appended.
        alone: Number of outputs of the first file without a partner.
        other_alone: Number of outputs of the second file without a partner.
    """

    duels: Sequence[Duel]
    alone: int
    other_alone: int = 0

    @property
    def prompts(self) -> int:
        """Number of different prompts."""
        return len(set(clusters(self.duels)))


def clusters(duels: Iterable[Duel]) -> list[str]:
    """Returns the id of each duel's prompt. Duels of the same prompt are not independent."""
    return [prompt_id(duel.prompt, duel.tools) for duel in duels]


def pair_with_targets(a: OutputFile) -> Pairing:
    """Returns outputs paired with the completions that the data have for their prompts.

    Raises:
        DataError: When no row has such a completion.
    """
    paired = [(output, output.target) for output in a.outputs]
    ids = number_prompts(output.prompt_id for output, target in paired if target is not None)
    duels = [
        _duel(next(ids), output, target, output.target_tokens, output.sampled.get("target_fields"))
        for output, target in paired
        if target is not None
    ]
    if not duels:
        raise DataError(
            f"none of the {len(a.outputs)} outputs has a target; expected samples of prompts "
            "whose data has demonstrations. Give a file to --b",
            location=str(a.path),
        )
    return Pairing(duels, len(a.outputs) - len(duels))


def pair_outputs(a: OutputFile, b: OutputFile) -> Pairing:
    """Returns the outputs of two files, paired by prompt.

    Several outputs of a prompt are paired in their order. A single one is paired with each output.

    Raises:
        DataError: When no prompt is in both files.
    """
    outputs = [*a.outputs, *b.outputs]
    # If only one of two rows names its prompt, only the messages show whether they are the same.
    own = all(output.own_id for output in outputs)
    ours, theirs = (_by_prompt(file.outputs, own=own) for file in (a, b))
    couples = [
        couple for id_, mine in ours.items() for couple in _couples(mine, theirs.get(id_, ()))
    ]
    if not couples:
        raise DataError(
            f"none of its {len(theirs)} prompts is among the {len(ours)} of {a.path}; expected "
            f"the same prompts, word by word. The first here: {_start(b)}; there: {_start(a)}",
            location=str(b.path),
        )
    _check_same_prompts(couples, b)
    places = {id(output): place for place, output in enumerate(a.outputs)}
    couples.sort(key=lambda couple: places[id(couple[0])])
    ids = number_prompts(mine.prompt_id for mine, _ in couples)
    duels = [
        _duel(next(ids), mine, other.text, other.tokens, other.sampled.get("completion_fields"))
        for mine, other in couples
    ]
    met = [{id(output) for output in side} for side in zip(*couples, strict=True)]
    return Pairing(duels, len(a.outputs) - len(met[0]), len(b.outputs) - len(met[1]))


def _duel(
    id_: str,
    output: ModelOutput,
    baseline: str,
    baseline_tokens: int | None,
    baseline_fields: Fields | None,
) -> Duel:
    return Duel(
        id_,
        output.prompt,
        output.text,
        baseline,
        output.tokens,
        baseline_tokens,
        output.tools,
        output.sampled.get("completion_fields"),
        baseline_fields,
    )


def _by_prompt(outputs: Iterable[ModelOutput], *, own: bool) -> Mapping[str, list[ModelOutput]]:
    by_prompt: dict[str, list[ModelOutput]] = {}
    for output in outputs:
        id_ = output.prompt_id if own else output.content_id
        by_prompt.setdefault(id_, []).append(output)
    return by_prompt


def _check_same_prompts(couples: Iterable[tuple[ModelOutput, ModelOutput]], b: OutputFile) -> None:
    for mine, other in couples:
        if [m["content"] for m in mine.prompt] != [m["content"] for m in other.prompt]:
            raise DataError(
                f"the prompt_id {other.prompt_id!r} names another prompt than in the other file; "
                "expected the same prompts under the same ids. Leave the column out",
                location=str(b.path),
            )


def _couples(
    mine: Sequence[ModelOutput], theirs: Sequence[ModelOutput]
) -> Iterator[tuple[ModelOutput, ModelOutput]]:
    if len(theirs) == 1:
        return zip(mine, [theirs[0]] * len(mine), strict=True)
    if len(mine) == 1:
        return zip([mine[0]] * len(theirs), theirs, strict=True)
    return zip(mine, theirs, strict=False)


def number_prompts(ids: Iterable[str]) -> Iterator[str]:
    """Yields the id of each prompt, with a number appended if the prompt is repeated.

    >>> list(number_prompts(["897be8e1f0370e7f", "897be8e1f0370e7f"]))
    ['897be8e1f0370e7f', '897be8e1f0370e7f.2']
    """
    seen: Counter[str] = Counter()
    for id_ in ids:
        seen[id_] += 1
        yield id_ if seen[id_] == 1 else f"{id_}.{seen[id_]}"


def subset(duels: Sequence[Duel], n: int | None, seed: int) -> list[Duel]:
    """Returns `n` duels in their order. The choice depends only on the seed and the prompts.

    Args:
        duels: The duels to choose from.
        n: Number of duels; None for all. If there are fewer, all are returned.
        seed: Seed of the choice.
    """
    if n is None or n >= len(duels):
        return list(duels)

    def draw(duel: Duel) -> bytes:
        return hashlib.sha256(f"{seed} {duel.prompt_id}".encode()).digest()

    chosen = {duel.prompt_id for duel in sorted(duels, key=draw)[:n]}
    return [duel for duel in duels if duel.prompt_id in chosen]


def _start(file: OutputFile) -> str:
    text = " ".join(file.outputs[0].prompt[-1]["content"].split())
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
