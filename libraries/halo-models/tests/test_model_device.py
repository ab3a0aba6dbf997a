from __future__ import annotations

import pytest
import torch

from halo_core.errors import UserError
from halo_models.device import pick_device, pick_dtype


@pytest.mark.parametrize("gpu", [True, False])
def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch, gpu: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert pick_device("auto").type == ("cuda" if gpu else "cpu")
    assert pick_device("cpu").type == "cpu"


def test_gpu_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"^device: torch sees no GPU. Use device: cpu"):
        pick_device("cuda")


def test_auto_precision_is_float32_on_the_cpu() -> None:
    cpu = torch.device("cpu")
    assert pick_dtype("auto", cpu) == pick_dtype("float32", cpu) == torch.float32
    assert pick_dtype("bfloat16", cpu) == torch.bfloat16


@pytest.mark.parametrize("has", [True, False])
def test_auto_precision_on_a_gpu_is_bfloat16_if_it_has_it(
    monkeypatch: pytest.MonkeyPatch, has: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    expected = torch.bfloat16 if has else torch.float32
    assert pick_dtype("auto", torch.device("cuda")) == expected
