"""Asks an endpoint for the completions of prompts, several at once, and stores each at once."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from time import monotonic

from halo_core.daemon_threads import DaemonThreads
from halo_core.errors import UserError
from halo_core.stage import StageContext
from halo_core.workspace.disk import check_room
from halo_core.workspace.records import PARTIAL_SAMPLES, SampleLine
from halo_trainer.sample.encoded_prompts import EncodedPrompts
from halo_trainer.sample.endpoint import TIMEOUT_S, NotSent
from halo_trainer.sample.sample_file import SampleFile
from halo_trainer.sample.sampler import Generated
from halo_trainer.sample.select_prompts import SamplePrompt

POLL_S = 0.2
"""Seconds between two looks at whether to stop."""

LAST_ANSWERS_S = TIMEOUT_S
"""Seconds to wait for requests in progress after a failure or after the signal to stop."""

Ask = Callable[[str, Sequence[int], int], Generated]
"""Takes a prompt's id, its token ids and the number of a sample, and returns the completion."""


def stored_first(folder: Path, ids: Sequence[str], copies: int) -> Iterator[int]:
    """Yields the number of each sample's prompt: of stored ones, in their order, then of the rest.

    Args:
        folder: The stage's folder.
        ids: The id of each prompt.
        copies: Number of samples of each prompt.

    Raises:
        DataError: When a stored sample cannot be read.
    """
    missing = array("Q", [copies]) * len(ids)
    numbers = {id_: number for number, id_ in enumerate(ids)}
    for sample in PARTIAL_SAMPLES.read(folder / PARTIAL_SAMPLES.name):
        number = numbers.get(sample["prompt_id"])
        if number is None or not missing[number]:
            break
        missing[number] -= 1
        yield number
    for number, count in enumerate(missing):
        yield from repeat(number, count)


def ask_for_samples(
    prompts: EncodedPrompts,
    file: SampleFile,
    context: StageContext,
    *,
    ask: Ask,
    copies: int,
    at_once: int,
    record: Callable[[SamplePrompt, Generated], SampleLine],
) -> None:
    """Asks for all completions that are not in the file, and stores each as soon as it arrives.

    The completions of one prompt are asked for one after another, so their order in the file is
    their number. After a failure, or after the signal to stop, no request starts. Those in
    progress may end within `LAST_ANSWERS_S`.

    Args:
        prompts: The prompts.
        file: The samples.
        context: The stage's surroundings.
        ask: Asks for a completion. It runs in a thread.
        copies: Number of completions of each prompt.
        at_once: Largest number of prompts that are asked about at once.
        record: Makes the line of a completion.

    Raises:
        UserError: When a request failed.
        DiskError: When there is no room for a sample.
        Interrupted: When asked to stop.
    """
    waiting = _Waiting(len(prompts), file.prompts, copies)
    requests = _Requests(ask, prompts, DaemonThreads(at_once, "sample"))
    total = len(prompts) * copies
    failed: UserError | None = None
    end, stops = math.inf, context.stop.is_set
    try:
        with context.progress.bar(context.id, total, len(file), unit="sample") as bar:
            while True:
                while len(requests) < at_once and not (failed or stops()):
                    if (following := waiting.next()) is None:
                        break
                    requests.start(*following)
                if end == math.inf and (failed or stops()):
                    end = monotonic() + LAST_ANSWERS_S
                    _tell_of(requests, context)
                if not requests or monotonic() >= end:
                    break
                for prompt, number, future in requests.ended():
                    try:
                        line = record(prompts.prompt(prompt), future.result())
                    except NotSent:
                        continue
                    except UserError as error:
                        failed = failed or error
                        continue
                    check_room(context.folder, 2 * len(str(line)), "a sample")
                    file.append([line], [prompt])
                    bar.advance(1)
                    if number + 1 < copies:
                        waiting.again.append((prompt, number + 1))
    finally:
        requests.threads.shutdown(wait=False)
    _check_whole(file, total, len(requests), failed, context)


class _Waiting:
    """The samples that are not asked for yet, as numbers of their prompt and of the sample.

    Args:
        prompts: Number of prompts.
        stored: The number of the prompt of each stored sample.
        copies: Number of samples of each prompt.

    Attributes:
        again: Further samples of prompts, the last of which comes next.
    """

    def __init__(self, prompts: int, stored: Sequence[int], copies: int) -> None:
        counts = array("Q", bytes(8 * prompts))
        for prompt in stored:
            counts[prompt] += 1
        self._new = (each for each in enumerate(counts) if each[1] < copies)
        self.again: list[tuple[int, int]] = []

    def next(self) -> tuple[int, int] | None:
        """Returns the next one; None if there is none."""
        return self.again.pop() if self.again else next(self._new, None)


@dataclass
class _Requests:
    """Requests in progress, and the prompts that they are about."""

    ask: Ask
    prompts: EncodedPrompts
    threads: DaemonThreads
    running: dict[Future[Generated], tuple[int, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.running)

    def start(self, prompt: int, number: int) -> None:
        """Asks for a completion of a prompt."""
        id_, tokens = self.prompts.ids[prompt], self.prompts.tokens(prompt)
        future = self.threads.submit(self.ask, id_, tokens, number)
        self.running[future] = prompt, number

    def ended(self) -> Iterator[tuple[int, int, Future[Generated]]]:
        """Waits up to `POLL_S` for a request, and yields those that have ended."""
        for future in wait(self.running, POLL_S, FIRST_COMPLETED).done:
            yield *self.running.pop(future), future


def _tell_of(requests: _Requests, context: StageContext) -> None:
    if requests:
        context.note(
            f"waiting up to {LAST_ANSWERS_S / 60:g} minutes for answers to requests in progress "
            f"({len(requests)}); each is stored when it arrives"
        )


def _check_whole(
    file: SampleFile, total: int, left: int, failed: UserError | None, context: StageContext
) -> None:
    """Ends the stage if samples are missing.

    Raises:
        UserError: When a request failed.
        Interrupted: When asked to stop.
    """
    kept = f"{len(file)} of {total} samples are kept"
    if left:
        kept += f", requests without an answer after {LAST_ANSWERS_S:g} s: {left}"
    if failed is not None:
        raise UserError(
            f"{failed.message}. {kept}; run the same command again to ask for the rest",
            location=f"stages.{context.id}.endpoint",
        )
    if len(file) < total:
        context.stop.raise_interrupted(f"{kept}; run the same command again to continue")
