"""Answers batches of prompts, shared by the processes of the stage, and stores them in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from halo_core.errors import NotFiniteError
from halo_core.sampling import Sampling
from halo_core.stage import StageContext
from halo_core.workspace.disk import check_room
from halo_core.workspace.records import SampleLine
from halo_models.memory_use import memory_fact
from halo_trainer.sample.chat import Chat
from halo_trainer.sample.crew import Crew
from halo_trainer.sample.encoded_prompts import EncodedPrompts, LengthBatches, repeated
from halo_trainer.sample.sample_file import SampleFile
from halo_trainer.sample.sampler import Generated, Named


class Draws(Protocol):
    """A model that writes completions; see `Sampler`."""

    @property
    def samples(self) -> int:
        """Number of completions of each prompt."""

    @property
    def max_new_tokens(self) -> int:
        """Largest number of tokens of a completion."""

    def batch(
        self, prompts: Sequence[Named], drew: Callable[[int], None] | None = None
    ) -> list[Generated] | None:
        """Returns the completions of prompts; None if it stopped early."""

    def positions(self, prompts: int) -> int:
        """Returns the largest number of tokens that are drawn."""


def write_batches(
    batches: LengthBatches,
    prompts: EncodedPrompts,
    sampler: Draws,
    chat: Chat,
    file: SampleFile | None,
    context: StageContext,
    crew: Crew,
    sampling: Sampling | None,
) -> None:
    """Answers all batches that are not stored, as many at once as there are processes.

    A batch is computed by one process, so its samples do not depend on the number of processes.

    Args:
        batches: The batches.
        prompts: The prompts.
        sampler: The model.
        chat: Makes the lines of samples.
        file: The stored samples; None on ranks other than 0.
        context: The stage's surroundings.
        crew: The processes.
        sampling: How tokens are drawn, for the lines.

    Raises:
        NotFiniteError: When no token can be drawn from the model's logits.
        Interrupted: When asked to stop. Batches before the first unfinished one are stored.
    """
    total = len(prompts) * sampler.samples
    done: int = crew.gather(0 if file is None else file.batches_done)[0]
    needed = [_bytes(batch, prompts, sampler) for batch in batches]
    if file is not None:
        # All samples are written once more at the end, in the order of the prompts.
        check_room(context.folder, sum(needed[done:]) + sum(needed), f"{total} samples")
    kept = sum(map(len, map(batches.at, range(done)))) * sampler.samples
    with context.progress.bar(context.id, total, kept, unit="sample") as bar:
        for start in range(done, len(batches), crew.world):
            begun = time.perf_counter()
            turn = range(start, min(start + crew.world, len(batches)))
            own = [batches.at(number) for number in turn[crew.rank : crew.rank + 1]]
            found = [_lines(batch, prompts, sampler, chat, context, sampling) for batch in own]
            made = [lines for part in crew.gather(found) for lines in part]
            ready = made[: made.index(None)] if None in made else made
            for lines, number in zip(ready, turn, strict=False):
                if file is not None:
                    check_room(context.folder, needed[number], f"{len(lines)} samples")
                    file.append(lines, repeated(batches.at(number), sampler.samples))
                kept += len(lines)
            if len(ready) < len(made):
                context.stop.raise_interrupted(
                    f"{kept} of {total} samples are kept; run the same command again to continue"
                )
            tokens = sum(line["tokens"] for lines in ready for line in lines)
            speed = f"{tokens / (time.perf_counter() - begun):,.0f}"
            facts = {"tokens/s": speed} | memory_fact(crew.device)
            bar.advance(sum(map(len, ready)), facts=facts)


def _lines(
    batch: Sequence[int],
    prompts: EncodedPrompts,
    sampler: Draws,
    chat: Chat,
    context: StageContext,
    sampling: Sampling | None,
) -> list[SampleLine] | None:
    """Returns the samples of a batch; None if it stopped early."""
    named = [(prompts.ids[number], prompts.tokens(number)) for number in batch]
    answers = _answers(named, sampler, context)
    if answers is None:
        return None
    return chat.records([prompts.prompt(number) for number in batch], answers, sampling)


def _answers(
    named: Sequence[Named], sampler: Draws, context: StageContext
) -> list[Generated] | None:
    try:
        with context.progress.phase(
            f"answering {len(named)} prompts", sampler.positions(len(named)), unit="token"
        ) as drawn:
            return sampler.batch(named, drawn.advance)
    except NotFiniteError as error:
        raise NotFiniteError(error.message, location=context.id) from error


def _bytes(batch: Sequence[int], prompts: EncodedPrompts, sampler: Draws) -> int:
    """Returns about how many bytes the samples of a batch take at most.

    A token of the prompt is its text, one of the completion its text and two numbers.
    """
    lengths = (prompts.lengths[number] for number in batch)
    return sum(
        sampler.samples * (1000 + 6 * length + 24 * sampler.max_new_tokens) for length in lengths
    )
