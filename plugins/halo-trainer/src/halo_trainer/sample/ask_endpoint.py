"""Asks an endpoint for the completions of prompts, several at once, and stores each at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from halo_core.errors import UserError
from halo_core.stage import StageContext
from halo_core.workspace.disk import check_room
from halo_core.workspace.records import PARTIAL_SAMPLES, SampleLine
from halo_models.chat_encoder import EncodedPrompt
from halo_trainer.sample.sample_file import SampleFile
from halo_trainer.sample.sampler import Generated
from halo_trainer.sample.select_prompts import SamplePrompt

POLL_S = 0.2
"""Seconds between two looks at whether to stop."""

Ask = Callable[[str, Sequence[int], int], Generated]
"""Takes a prompt's id, its token ids and the number of a sample, and returns the completion."""


def stored_first(folder: Path, prompts: Sequence[SamplePrompt], copies: int) -> list[SamplePrompt]:
    """Returns the prompts, those first whose samples an earlier call stored, in their order."""
    file = folder / PARTIAL_SAMPLES.name
    if not file.exists():
        return list(prompts)
    counts = Counter(sample["prompt_id"] for sample in PARTIAL_SAMPLES.read(file))
    places = {id_: place for place, id_ in enumerate(counts) if counts[id_] == copies}
    return sorted(prompts, key=lambda prompt: places.get(prompt.id, len(places)))


def ask_for_samples(
    prompts: Sequence[SamplePrompt],
    encoded: Mapping[str, EncodedPrompt],
    file: SampleFile,
    context: StageContext,
    *,
    ask: Ask,
    copies: int,
    at_once: int,
    records: Callable[[SamplePrompt, Sequence[Generated]], list[SampleLine]],
) -> None:
    """Asks for the completions of all prompts that have none, and stores those of each prompt.

    After a failure, or when asked to stop, requests in progress end and no more are sent. A prompt
    that then lacks completions is asked about again by the next call.

    Args:
        prompts: The prompts, those first that are in the file.
        encoded: Their token ids.
        file: The samples.
        context: The stage's surroundings.
        ask: Asks for a completion.
        copies: Number of completions of each prompt.
        at_once: Largest number of prompts that are asked about at once.
        records: Makes the lines of a prompt's completions.

    Raises:
        UserError: When a request failed.
        Interrupted: When asked to stop.
    """
    ended = threading.Event()

    def ask_all(prompt: SamplePrompt) -> list[Generated] | None:
        answers: list[Generated] = []
        for number in range(copies):
            if ended.is_set() or context.stop.is_set():
                return None
            answers.append(ask(prompt.id, encoded[prompt.id].ids, number))
        return answers

    waiting = list(prompts[file.batches_done :])
    running: dict[Future[list[Generated] | None], SamplePrompt] = {}
    failed: UserError | None = None
    total = len(prompts) * copies
    with (
        ThreadPoolExecutor(at_once) as pool,
        context.progress.bar(context.id, total, len(file.samples), unit="sample") as bar,
    ):
        while running or (waiting and failed is None and not context.stop.is_set()):
            while waiting and len(running) < at_once and failed is None:
                if context.stop.is_set():
                    break
                prompt = waiting.pop(0)
                running[pool.submit(ask_all, prompt)] = prompt
            for future in wait(running, POLL_S, FIRST_COMPLETED).done:
                prompt = running.pop(future)
                try:
                    answers = future.result()
                    lines = [] if answers is None else records(prompt, answers)
                except UserError as error:
                    failed = failed or error
                    ended.set()
                    continue
                if answers is None:
                    continue
                check_room(context.folder, 2 * len(str(lines)), f"{copies} samples")
                file.append(lines)
                bar.advance(copies)
    kept = f"{len(file.samples)} of {total} samples are kept"
    if failed is not None:
        raise UserError(
            f"{failed.message}. {kept}; run the same command again to ask for the rest",
            location=f"stages.{context.id}.endpoint",
        )
    if len(file.samples) < total:
        context.stop.raise_interrupted(f"{kept}; run the same command again to continue")
