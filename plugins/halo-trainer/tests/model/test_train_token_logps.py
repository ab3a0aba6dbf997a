from __future__ import annotations

import torch

from halo_trainer.model.output_head import token_logps

ROUNDING = 1e-6


def test_values_and_gradients_are_those_of_log_softmax() -> None:
    torch.manual_seed(0)
    logits = torch.randn(7, 11, requires_grad=True)
    targets = torch.randint(0, 11, (7,))
    weights = torch.randn(7)
    (expected,) = torch.autograd.grad(
        (logits.log_softmax(-1)[torch.arange(7), targets] * weights).sum(), logits
    )
    logps = token_logps(logits, targets)
    (found,) = torch.autograd.grad((logps * weights).sum(), logits)
    assert torch.allclose(logps, logits.log_softmax(-1)[torch.arange(7), targets], atol=ROUNDING)
    assert torch.allclose(found, expected, atol=ROUNDING)


def test_bfloat16_logits_are_normalised_in_float32() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 300).bfloat16()
    targets = torch.arange(5)
    found = token_logps(logits, targets)
    assert found.dtype == torch.float32
    expected = logits.double().log_softmax(-1)[torch.arange(5), targets]
    assert torch.allclose(found.double(), expected, atol=1e-5)


def test_extreme_logits_stay_finite() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    logps = token_logps(logits, torch.tensor([1]))
    logps.sum().backward()
    assert logps.tolist() == [-2e4]
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
