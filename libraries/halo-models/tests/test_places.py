"""The device of each process of a machine, and numbers of processes that it cannot start."""

from __future__ import annotations

import pytest
import torch

from halo_core.errors import UserError
from halo_models import device
from halo_models.device import places


@pytest.mark.parametrize(("cores", "most"), [(1, 8), (2, 8), (64, 256)])
def test_far_more_processes_than_cores_are_refused(
    cores: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "usable_cores", lambda: cores)
    assert places("cpu", most) == [torch.device("cpu")] * most
    with pytest.raises(UserError, match=f"Use at most processes: {most}$"):
        places("cpu", most + 1)


def test_each_process_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert places("auto", 2) == [torch.device("cuda", 0), torch.device("cuda", 1)]
    with pytest.raises(UserError, match="torch sees 2 GPUs, and each of 3 processes needs its own"):
        places("cuda", 3)
