"""How the processes of a training are set up, with a stand-in for accelerate."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import accelerate
import pytest

from halo_core.errors import UserError
from halo_trainer.train.ranks import Ranks


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Returns what accelerate is asked for. Its kind of training is `kind`, many CPUs at first."""
    asked: dict[str, Any] = {"kind": accelerate.DistributedType.MULTI_CPU}

    def accelerator(**options: Any) -> Any:
        asked.update(options)
        return SimpleNamespace(distributed_type=asked["kind"], process_index=1)

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(accelerate, "Accelerator", accelerator)
    return asked


def test_a_process_waits_for_hours_for_what_rank_0_does_alone(asked: dict[str, Any]) -> None:
    assert Ranks("cpu").rank == 1
    (group,) = [
        handler
        for handler in asked["kwargs_handlers"]
        if isinstance(handler, accelerate.InitProcessGroupKwargs)
    ]
    assert group.timeout > timedelta(hours=1)


def test_another_kind_of_training_in_the_config_of_accelerate_is_refused(
    asked: dict[str, Any],
) -> None:
    asked["kind"] = accelerate.DistributedType.FSDP
    with pytest.raises(UserError, match="set sharding: full"):
        Ranks("cpu")
