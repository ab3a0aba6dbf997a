"""Pairs the outputs of two files by prompt."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from halo_core.errors import DataError
from halo_core.feedback import Prompt, prompt_id
from halo_judge.files.outputs import ModelOutput, OutputFile
from halo_judge.judge_stage.duels import Duel


@dataclass(frozen=True)
class Pairing:
    """Outputs and what they are compared with.

    Attributes:
        duels: In the order of the first file. The first of a prompt has the prompt's id, others
            have it with ``.2``, ``.3`` and so on behind it.
        alone: Outputs of the first file without a partner.
        other_alone: Outputs of the second file without one.
    """

    duels: Sequence[Duel]
    alone: int
    other_alone: int = 0

    @property
    def prompts(self) -> int:
        """Different prompts."""
        return len(set(clusters(self.duels)))


def clusters(duels: Iterable[Duel]) -> list[str]:
    """Returns the id of each duel's prompt: those of one prompt are not independent."""
    return [prompt_id(duel.prompt) for duel in duels]


def pair_with_targets(a: OutputFile) -> Pairing:
    """Returns outputs with the completions that the data holds for their prompts.

    Raises:
        DataError: When no row has one.
    """
    paired = [(output, output.target) for output in a.outputs]
    ids = number_prompts(output.prompt for output, target in paired if target is not None)
    duels = [
        Duel(next(ids), output.prompt, output.text, target, output.tokens, output.target_tokens)
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

    Several outputs of a prompt are paired in their order; one alone meets each of the others.

    Raises:
        DataError: When no prompt is in both files.
    """
    ours, theirs = _by_prompt(a.outputs), _by_prompt(b.outputs)
    couples = [
        couple for id_, mine in ours.items() for couple in _couples(mine, theirs.get(id_, ()))
    ]
    if not couples:
        raise DataError(
            f"none of its {len(theirs)} prompts is among the {len(ours)} of {a.path}; expected "
            f"the same prompts, word by word. The first here: {_start(b)}; there: {_start(a)}",
            location=str(b.path),
        )
    places = {id(output): place for place, output in enumerate(a.outputs)}
    couples.sort(key=lambda couple: places[id(couple[0])])
    ids = number_prompts(mine.prompt for mine, _ in couples)
    duels = [
        Duel(next(ids), mine.prompt, mine.text, other.text, mine.tokens, other.tokens)
        for mine, other in couples
    ]
    met = [{id(output) for output in side} for side in zip(*couples, strict=True)]
    return Pairing(duels, len(a.outputs) - len(met[0]), len(b.outputs) - len(met[1]))


def _by_prompt(outputs: Iterable[ModelOutput]) -> Mapping[str, list[ModelOutput]]:
    by_prompt: dict[str, list[ModelOutput]] = {}
    for output in outputs:
        by_prompt.setdefault(prompt_id(output.prompt), []).append(output)
    return by_prompt


def _couples(
    mine: Sequence[ModelOutput], theirs: Sequence[ModelOutput]
) -> Iterator[tuple[ModelOutput, ModelOutput]]:
    if len(theirs) == 1:
        return zip(mine, [theirs[0]] * len(mine), strict=True)
    if len(mine) == 1:
        return zip([mine[0]] * len(theirs), theirs, strict=True)
    return zip(mine, theirs, strict=False)


def number_prompts(prompts: Iterable[Prompt]) -> Iterator[str]:
    """Yields the id of each prompt, told apart where a prompt comes again.

    >>> hi = [{"role": "user", "content": "hi"}]
    >>> list(number_prompts([hi, hi]))
    ['897be8e1f0370e7f', '897be8e1f0370e7f.2']
    """
    seen: Counter[str] = Counter()
    for prompt in prompts:
        id_ = prompt_id(prompt)
        seen[id_] += 1
        yield id_ if seen[id_] == 1 else f"{id_}.{seen[id_]}"


def subset(duels: Sequence[Duel], n: int | None, seed: int) -> list[Duel]:
    """Returns `n` duels, in their order; which ones depends on the seed and the prompts alone.

    Args:
        duels: To choose from.
        n: How many; None for all. Where there are fewer, all.
        seed: Another one, other duels.
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
