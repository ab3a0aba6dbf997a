"""`halo check --full` finds a loss that does not resume, and one that needs all examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core import Loss
from halo_core.check import full_training
from halo_core.check.full_training import FullTrainings, Training
from halo_core.check.rule import NotHereError
from halo_core.events import EventLog
from halo_core.plugins.local_file import local_class, local_registration
from halo_core.workspace.records import EVENTS

BROKEN = '''
import time
from typing import ClassVar

from halo_core import Loss, LossOutput

CALLS = []


class Grows(Loss):
    """Grows with the calls of its process, and is centred over the examples of one call."""

    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "reference_logps")

    def __call__(self, batch):
        CALLS.append(1)
        time.sleep(0.02)  # The training must not end before it is killed.
        gains = 0.1 * batch.logratios + batch.desirable.float().mean()
        return LossOutput((-gains).where(batch.desirable, gains).sigmoid() * len(CALLS))
'''


def trainings_of(folder: Path) -> FullTrainings:
    """Returns the trainings of the loss in `BROKEN`."""
    (folder / "grows.py").write_text(BROKEN)
    registration = local_registration("loss", "file:./grows.py:Grows", folder)
    cls = local_class(registration)
    assert cls is not None
    component = cls()
    assert isinstance(component, Loss)
    return FullTrainings(component, registration)


@pytest.mark.slow
def test_a_loss_that_neither_resumes_nor_can_be_spread_breaks_both_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One component breaks both rules, because each training of them costs seconds."""
    monkeypatch.setattr(full_training, "STEPS", 60)
    monkeypatch.setattr(full_training, "KILLED_AT", 6)
    monkeypatch.setattr(full_training, "STEPS_OF_TWO", 2)
    trainings = trainings_of(tmp_path)
    with pytest.raises(AssertionError, match=r"the loss of step \d+ of a training that was killed"):
        trainings.check_resumes(trainings)
    with pytest.raises(AssertionError, match=r"the loss of step \d in two processes is "):
        trainings.check_two_processes(trainings)


def test_trainings_that_are_killed_after_their_last_step_prove_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path] = []

    class Ended:
        """A training on a busy machine: all its steps are there when it is looked at."""

        def __init__(self, folder: Path, *_: object) -> None:
            started.append(folder)
            stage = folder / "runs/stages/train-1"
            stage.mkdir(parents=True)
            log = EventLog(stage / EVENTS.name)
            for step in range(1, full_training.STEPS + 1):
                log.append("metrics", stage="tiny", step=step, metrics={"train/loss": 0.5})

        def poll(self) -> None: ...
        def kill(self) -> None: ...
        def wait(self) -> None: ...
        def communicate(self) -> None: ...

    trainings = trainings_of(tmp_path)
    whole = Training(dict.fromkeys(range(1, full_training.STEPS + 1), 0.5), [])
    monkeypatch.setattr(FullTrainings, "_whole", lambda _: whole)
    monkeypatch.setattr(full_training, "start", Ended)
    with pytest.raises(NotHereError, match=r"3 trainings of 120 steps came to their last steps"):
        trainings.check_resumes(trainings)
    assert len(set(started)) == 3
