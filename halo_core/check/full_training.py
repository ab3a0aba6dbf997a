"""The trainings of `halo check --full`: one that is killed and continued, one in two processes.

The trainer promises that neither changes the results, whatever the loss and the reference point
are. A component breaks this if it keeps something outside of its state, or if its result depends
on which examples are computed together.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from halo_core.check.tiny_training import check_done, check_needed, failure_of, start, tiny_spec
from halo_core.component import Component
from halo_core.hashing import file_hash
from halo_core.plugins.registrar import Registration
from halo_core.workspace.records import EVENTS

STEPS, EVERY, KILLED_AT = 120, 5, 12
"""Steps of the training, steps between checkpoints, and the step after which it is killed.

Two checkpoints come before: the first one is on the disk before the second one is begun.
"""

STEPS_OF_TWO = 30
"""Steps of the training in two processes, whose steps take longer."""

SAME = 1e-4
"""Relative tolerance for losses of two processes, which add float32 numbers in another order."""


class Training(NamedTuple):
    """The result of a training.

    Attributes:
        losses: The loss of each step, in the unit of the loss.
        weights: The hash of each file of weights.
    """

    losses: Mapping[int, float]
    weights: Sequence[str]


class FullTrainings:
    """The trainings of one component. The uninterrupted one runs once, for both rules.

    Args:
        component: A loss or a reference point.
        registration: Its registration.
    """

    def __init__(self, component: Component, registration: Registration) -> None:
        self._component = component
        self._registration = registration
        self._found: Training | None = None

    def check_resumes(self, _: object) -> None:
        """Kills a training after some steps, continues it, and compares it with a whole one.

        Raises:
            NotHereError: When the training cannot run here.
            AssertionError: When it fails, or a loss or the weights differ.
        """
        whole = self._whole()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self._kill(folder)
            what = f"a training that was killed after step {KILLED_AT} failed when it continued"
            check_done(start(folder, self._spec(), self._registration), what)
            after = _result(folder)
        when = f"of a training that was killed after step {KILLED_AT} and continued"
        _check_same(whole, after, when, STEPS, tolerance=0.0)
        if after.weights != whole.weights:
            raise AssertionError(f"the weights {when} differ from those of one that was not")

    def check_two_processes(self, _: object) -> None:
        """Trains in two processes, and compares the losses with those of one process.

        Raises:
            NotHereError: When the training cannot run here.
            AssertionError: When it fails, or a loss differs by more than `SAME`.
        """
        whole = self._whole()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            spec = self._spec(processes=2, steps=STEPS_OF_TWO)
            check_done(
                start(folder, spec, self._registration), "a training in two processes failed"
            )
            _check_same(whole, _result(folder), "in two processes", STEPS_OF_TWO, tolerance=SAME)

    def _kill(self, folder: Path) -> None:
        """Runs a training that is killed after a step.

        Raises:
            AssertionError: When it ends before, or takes too long.
        """
        process = start(folder, self._spec(), self._registration, last_step=KILLED_AT)
        failure = failure_of(process)
        last = max(_losses(folder), default=0)
        if last != KILLED_AT:
            raise AssertionError(
                f"a training that was to be killed after step {KILLED_AT} ended after step {last}: "
                f"{failure or 'it reported no error'}"
            )

    def _spec(self, **options: Any) -> Mapping[str, Any]:
        return tiny_spec(
            self._component,
            self._registration,
            **{"steps": STEPS, "log_every": 1, "checkpoint_every": EVERY, **options},
            learning_rate=1e-3,
        )

    def _whole(self) -> Training:
        if self._found is None:
            check_needed()
            folder = Path(tempfile.mkdtemp())
            try:
                spec = self._spec()
                what = f"a training of {STEPS} steps failed"
                check_done(start(folder, spec, self._registration), what)
                self._found = _result(folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        return self._found


def _stage_folder(folder: Path) -> Path | None:
    found = [path.parent for path in folder.glob(f"runs/stages/train-*/{EVENTS.name}")]
    return found[0] if found else None


def _losses(folder: Path) -> Mapping[int, float]:
    """Returns the loss of each step so far. After a resume, the later one of two counts."""
    stage = _stage_folder(folder)
    losses: dict[int, float] = {}
    for event in EVENTS.read(stage / EVENTS.name) if stage else ():
        if "train/loss" in event.get("metrics", {}):
            losses[event["step"]] = event["metrics"]["train/loss"]
    return losses


def _result(folder: Path) -> Training:
    stage = _stage_folder(folder)
    files = sorted((stage / "model").rglob("*.safetensors")) if stage else []
    return Training(_losses(folder), [file_hash(file) for file in files])


def _check_same(
    whole: Training, other: Training, when: str, steps: int, *, tolerance: float
) -> None:
    for step in range(1, steps + 1):
        loss, came = whole.losses.get(step), other.losses.get(step)
        if loss is None or came is None:
            raise AssertionError(f"step {step} {when} has no loss; expected one for each step")
        if not math.isclose(came, loss, rel_tol=tolerance, abs_tol=tolerance / 100):
            raise AssertionError(
                f"the loss of step {step} {when} is {came!r}; expected {loss!r}, as of one that "
                "was neither killed nor spread"
            )
