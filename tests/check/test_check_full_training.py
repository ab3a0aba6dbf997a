"""`halo check --full` finds a loss that does not resume, and one that needs all examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core import Loss
from halo_core.check import full_training
from halo_core.check.full_training import FullTrainings
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


@pytest.mark.slow
def test_a_loss_that_neither_resumes_nor_can_be_spread_breaks_both_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One component breaks both rules, because each training of them costs seconds."""
    monkeypatch.setattr(full_training, "STEPS", 60)
    monkeypatch.setattr(full_training, "KILLED_AT", 6)
    monkeypatch.setattr(full_training, "STEPS_OF_TWO", 2)
    (tmp_path / "grows.py").write_text(BROKEN)
    registration = local_registration("loss", "file:./grows.py:Grows", tmp_path)
    cls = local_class(registration)
    assert cls is not None
    component = cls()
    assert isinstance(component, Loss)
    trainings = FullTrainings(component, registration)
    with pytest.raises(AssertionError, match=r"the loss of step \d+ of a training that was killed"):
        trainings.check_resumes(component)
    with pytest.raises(AssertionError, match=r"the loss of step \d in two processes is "):
        trainings.check_two_processes(component)
