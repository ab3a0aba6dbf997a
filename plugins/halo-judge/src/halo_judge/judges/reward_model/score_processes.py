"""The processes that share the batches of the judge, each with the model on its own device.

Texts and numbers go through pipes as JSON lines, see `score_host.py`. Any process can compute any
batch. A process that is killed or raises ends the stage with its error. A score that has arrived is
passed on before.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

import torch

from halo_core import errors
from halo_core.display.relay import print_lines
from halo_core.errors import HaloError, WorkerError
from halo_core.printing import say
from halo_core.process_end import how_ended
from halo_core.run.error_record import error_of
from halo_core.scoring_judge import Answer
from halo_judge.judges.reward_model.classifier_text import ClassifierInput
from halo_judge.judges.reward_model.recipe import JUDGE, Recipe

T = TypeVar("T")
PROGRAM = (sys.executable, "-P", "-m", "halo_judge.judges.reward_model.score_host")
AHEAD = 2
"""Number of orders that a process has at a time, so that it never waits for the next one."""
TEXTS_AT_ONCE = 64
"""Number of answers per order to read."""
TAKEN_S = 1.0
"""Seconds to wait until the answers of a killed process are read. They are no longer needed."""
CONTINUE = "Finished results are kept. Run the same command again to continue"


class ScoreProcesses:
    """A context manager: the classifiers in several processes, which end with the block.

    Args:
        recipe: The classifier, and how it scores.
        devices: The device of each process.
        warn: Receives each warning of the processes once.

    Attributes:
        batch_size: Number of texts per batch.
    """

    def __init__(
        self, recipe: Recipe, devices: Sequence[torch.device], warn: Callable[[str], None]
    ) -> None:
        self._recipe, self._devices, self._warn = recipe, devices, warn
        self._warned: set[str] = set()
        self._answers: SimpleQueue[tuple[int, Mapping[str, Any] | None]] = SimpleQueue()
        self._processes: list[_Process] = []
        self._numbers = 0
        self._failure: HaloError | None = None
        self.batch_size = recipe.batch_size

    def __enter__(self) -> Self:
        """Starts the processes, and waits until all have loaded the model.

        Raises:
            HaloError: When the model cannot be used, or a process ends.
        """
        threads = max(1, torch.get_num_threads() // len(self._devices))
        try:
            for rank, device in enumerate(self._devices):
                name = f"process {rank + 1} of {len(self._devices)} of the judge, on {device}"
                self._processes.append(_Process(rank, name, self._answers))
                self._processes[rank].write(
                    {"recipe": self._recipe.tree(), "device": str(device), "threads": threads}
                )
            sizes = [self._next()[1]["batch_size"] for _ in self._processes]
        except BaseException:
            self._end()
            raise
        self.batch_size = min(sizes)
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def read(self, answers: Sequence[Answer]) -> Iterator[tuple[int, ClassifierInput | str]]:
        """Yields the place of each answer with its token ids, or why it has none.

        Raises:
            HaloError: When a process fails.
        """
        starts = range(0, len(answers), TEXTS_AT_ONCE)
        parts = [answers[start : start + TEXTS_AT_ONCE] for start in starts]
        for place, found in self._shared("read", parts, _answer_tree):
            for offset, text in enumerate(found):
                read = text if isinstance(text, str) else ClassifierInput(*text)
                yield starts[place] + offset, read

    def values(
        self, batches: Sequence[Sequence[ClassifierInput]]
    ) -> Iterator[tuple[int, list[float]]]:
        """Yields the place of each batch with the scores of its texts, in the order of batches.

        Raises:
            HaloError: When a process fails. Before, all scores that have arrived are passed on.
        """
        yield from self._shared("score", batches, lambda text: [text.ids, text.types])

    def _shared(
        self, what: str, parts: Sequence[Sequence[T]], tree: Callable[[T], Any]
    ) -> Iterator[tuple[int, list[Any]]]:
        """Yields the place of each part with its answer, in order."""
        if self._failure is not None:
            raise self._failure
        first = self._numbers
        self._numbers += len(parts)
        places = iter(range(len(parts)))

        def send(process: _Process) -> None:
            if (place := next(places, None)) is not None:
                items = [tree(item) for item in parts[place]]
                process.write({"number": first + place, what: items})

        for process in self._processes * AHEAD:
            send(process)
        arrived: dict[int, list[Any]] = {}
        due = 0
        while due < len(parts):
            try:
                rank, answer = self._next()
            except HaloError as error:
                self._failure = error
                yield from sorted((arrived | self._last(first)).items())
                raise
            # A caller may have left an earlier call before its end.
            if answer["number"] < first:
                continue
            arrived[answer["number"] - first] = answer["answer"]
            send(self._processes[rank])
            while due in arrived:
                yield due, arrived.pop(due)
                due += 1

    def _next(self) -> tuple[int, Mapping[str, Any]]:
        """Waits for the next answer, and returns it with the rank of its process.

        Raises:
            HaloError: When the process failed.
        """
        while True:
            rank, answer = self._answers.get()
            if answer is None:
                raise self._processes[rank].death()
            if "error" in answer:
                raise self._processes[rank].error(answer["error"])
            if "warning" not in answer:
                return rank, answer
            if answer["warning"] not in self._warned:
                self._warned.add(answer["warning"])
                self._warn(answer["warning"])

    def _last(self, first: int) -> dict[int, list[Any]]:
        """Returns the answers that arrived after a failure, by place."""
        found = {}
        with contextlib.suppress(Empty):
            while True:
                _, answer = self._answers.get_nowait()
                if answer is not None and answer.get("number", -1) >= first:
                    found[answer["number"] - first] = answer["answer"]
        return found

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.close()


class _Process:
    """One process, and the threads that take its answers and what it prints.

    Args:
        rank: Its number, from 0.
        name: Its name for people.
        answers: Receives the rank with each answer, and with None at the end.
    """

    def __init__(
        self, rank: int, name: str, answers: SimpleQueue[tuple[int, Mapping[str, Any] | None]]
    ) -> None:
        # The same modules as in this process are found, and none in the current folder.
        path = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            PROGRAM,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
            # The terminal sends Ctrl-C to a whole group. It is for the run.
            process_group=0,
        )
        self._name = f"{name} (id {self._process.pid})"
        assert self._process.stderr is not None
        self._printing = print_lines(
            self._process.stderr, lambda line: say(f"{name}: {line}", err=True)
        )
        self._taking = threading.Thread(target=self._take, args=(rank, answers), daemon=True)
        self._taking.start()

    def write(self, order: Mapping[str, Any]) -> None:
        """Gives the process an order. If the process has ended, its last answer says so."""
        assert self._process.stdin is not None
        line = json.dumps(order).encode() + b"\n"
        with contextlib.suppress(OSError):
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def death(self) -> WorkerError:
        """Returns the error of a process that ended without an error."""
        code = self._process.wait()
        self._printing.finish()
        return WorkerError(f"{self._name} {how_ended(code)}. {CONTINUE}", location=JUDGE)

    def error(self, told: Mapping[str, Any]) -> HaloError:
        """Returns the error that a process raised, as this process would raise it.

        An error that is not one of halo's becomes a `WorkerError` that names the process.
        """
        if isinstance(getattr(errors, told["type"], None), type):
            record = {name: told[name] for name in ("type", "message", "location")}
            return error_of(record, 1)  # type: ignore[arg-type]
        at = f", at {told['place']}" if told["place"] else ""
        raised = f"{self._name} raised {told['type']}: {told['message']}{at}"
        return WorkerError(f"{raised}. {CONTINUE}", location=JUDGE)

    def kill(self) -> None:
        """Ends the process at once. It has nothing to save."""
        if self._process.poll() is None:
            self._process.kill()

    def close(self) -> None:
        """Waits for the end of a killed process, and closes its pipes."""
        self._process.wait()
        self._taking.join(TAKEN_S)
        self._printing.finish()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _take(self, rank: int, answers: SimpleQueue[tuple[int, Mapping[str, Any] | None]]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                # A killed process may leave a part of its last line.
                with contextlib.suppress(json.JSONDecodeError):
                    answers.put((rank, json.loads(line)))
        answers.put((rank, None))


def _answer_tree(answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.id,
        "prompt": [dict(message) for message in answer.prompt],
        "completion": answer.completion,
        "fields": None if answer.fields is None else dict(answer.fields),
        "tools": None if answer.tools is None else list(answer.tools),
    }


__all__ = ["ScoreProcesses"]
