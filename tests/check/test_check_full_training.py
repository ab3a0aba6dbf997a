"""`halo check --full` finds a loss that does not resume, and one that needs all examples."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from halo_core import Loss
from halo_core.check import full_training, tiny_training
from halo_core.check.full_training import FullTrainings, Training
from halo_core.plugins.local_file import local_class, local_registration

BROKEN = '''
from typing import ClassVar

from halo_core import Loss, LossOutput

CALLS = []


class Grows(Loss):
    """Grows with the calls of its process, and is centred over the examples of one call."""

    feedback: ClassVar = "binary"
    needs: ClassVar = ("policy_logps", "reference_logps")

    def __call__(self, batch):
        CALLS.append(1)
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


@pytest.mark.slow(seconds=10)
def test_a_loss_that_neither_resumes_nor_can_be_spread_breaks_both_rules(
    warm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One component breaks both rules, because each training of them costs seconds."""
    monkeypatch.setattr(full_training, "STEPS", 20)
    monkeypatch.setattr(full_training, "STEPS_OF_TWO", 2)
    # Forks of a process that has imported torch: this is about what the trainings compute.
    monkeypatch.setattr(tiny_training, "subprocess", warm.instead_of_subprocess(ready=(1, 2)))
    trainings = trainings_of(tmp_path)
    with pytest.raises(AssertionError, match=r"step \d+ of a training that was killed after step"):
        trainings.check_resumes(trainings)
    with pytest.raises(AssertionError, match=r"the loss of step \d in two processes is "):
        trainings.check_two_processes(trainings)


def test_a_training_that_ends_before_it_is_killed_breaks_the_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended:
        """A training that fails before its first step."""

        returncode = 2
        pid = os.getpid()

        def __init__(self, *_: object, last_step: int) -> None:
            assert last_step == full_training.KILLED_AT

        def communicate(self, timeout: float) -> tuple[str, str]:
            return "", "no room on the disk"

        def kill(self) -> None: ...
        def wait(self) -> None: ...

    trainings = trainings_of(tmp_path)
    monkeypatch.setattr(FullTrainings, "_whole", lambda _: Training({}, []))
    monkeypatch.setattr(full_training, "start", Ended)
    said = "was to be killed after step 12 ended after step 0: it ended with exit code 2: no room"
    with pytest.raises(AssertionError, match=said):
        trainings.check_resumes(trainings)
