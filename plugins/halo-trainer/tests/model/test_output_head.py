from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM

from halo_trainer.model import linear_head
from halo_trainer.model.linear_head import LogitTransform
from halo_trainer.model.lora import apply_lora
from halo_trainer.model.lora_options import LoraOptions
from halo_trainer.model.output_head import OutputHead, output_head_of, token_logps

POSITIONS, WIDTH, VOCABULARY = 23, 16, 50
TRANSFORMS = {
    "none": LogitTransform(),
    "scaled": LogitTransform(scale=0.25),
    "capped": LogitTransform(cap=2.0),
    "scaled and capped": LogitTransform(scale=3.0, cap=1.5),
}


@pytest.fixture(
    params=[(1, 1), (5, 7), (1000, 20), (4, 1000), (1000, 1000)],
    ids=lambda block: f"{block[0]} by {block[1]}",
)
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """The most positions and tokens that are computed at one time in float32 without a cap."""
    positions, tokens = request.param
    monkeypatch.setattr(linear_head, "POSITIONS", positions)
    most = min(positions, POSITIONS)
    monkeypatch.setattr(linear_head, "BUFFER_BYTES", 4 * most * min(tokens, 2 * VOCABULARY))
    return positions, tokens


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(POSITIONS, WIDTH, generator=generator, dtype=dtype)
    targets = torch.randint(VOCABULARY, (POSITIONS,), generator=generator)
    return states.requires_grad_(), targets, torch.randn(POSITIONS, generator=generator)


def whole(head: nn.Module, transform: LogitTransform, states: Tensor, targets: Tensor) -> Tensor:
    """The same from all scores at one time, by functions of torch that know no chunks."""
    scores = head(states) * transform.scale
    if transform.cap is not None:
        scores = transform.cap * torch.tanh(scores / transform.cap)
    return scores.float().log_softmax(-1).gather(1, targets[:, None])[:, 0]


def gradients(values: Tensor, weights: Tensor, wanted: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad((values * weights).sum(), wanted))


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("bias", [False, True])
def test_chunks_give_the_log_probabilities_and_gradients_of_all_scores(
    name: str, bias: bool, block: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    layer, transform = nn.Linear(WIDTH, VOCABULARY, bias=bias), TRANSFORMS[name]
    states, targets, weights = inputs()
    head = OutputHead(layer, transform, torch.float32)
    found = head.token_logps(states, targets)
    expected = whole(layer, transform, states, targets)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    wanted = [states, *layer.parameters()]
    for one, other in zip(
        gradients(found, weights, wanted), gradients(expected, weights, wanted), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_tokens_whose_score_is_minus_infinity_do_not_count(block: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(WIDTH, VOCABULARY)
    with torch.no_grad():
        layer.bias[:8] = layer.bias[-8:] = -torch.inf
    states, targets, weights = inputs()
    targets = targets.clamp(8, VOCABULARY - 9)
    found = OutputHead(layer, LogitTransform(), torch.float32).token_logps(states, targets)
    expected = whole(layer, LogitTransform(), states, targets)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    wanted = [states, layer.weight]
    for one, other in zip(
        gradients(found, weights, wanted), gradients(expected, weights, wanted), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_the_gradient_of_extreme_scores_is_finite(block: tuple[int, int]) -> None:
    layer = nn.Linear(WIDTH, VOCABULARY, bias=False)
    states, targets, weights = inputs()
    found = OutputHead(layer, LogitTransform(), torch.float32).token_logps(states * 1e4, targets)
    expected = whole(layer, LogitTransform(), states * 1e4, targets)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-2)
    (of_states,) = gradients(found, weights, [states])
    assert of_states.isfinite().all()


@pytest.mark.parametrize("frozen", ["head", "states"])
def test_what_is_not_trained_gets_no_gradient(frozen: str, block: tuple[int, int]) -> None:
    layer = nn.Linear(WIDTH, VOCABULARY, bias=False)
    states, targets, _ = inputs()
    if frozen == "head":
        layer.requires_grad_(False)
    else:
        states = states.detach()
    OutputHead(layer, LogitTransform(), torch.float32).token_logps(states, targets).sum().backward()
    assert (layer.weight.grad is None) == (frozen == "head")
    assert (states.grad is None) == (frozen == "states")


def test_the_weight_of_the_head_gets_one_gradient_for_all_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linear_head, "BUFFER_BYTES", 4 * 7)
    layer = nn.Linear(WIDTH, VOCABULARY, bias=False)
    calls = []
    layer.weight.register_post_accumulate_grad_hook(calls.append)
    states, targets, _ = inputs()
    OutputHead(layer, LogitTransform(), torch.float32).token_logps(states, targets).sum().backward()
    assert len(calls) == 1


class Largest(TorchDispatchMode):
    """Records the most bytes of tensors of positions and tokens that any operation returned."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            # Weights and their gradient have as many rows as the vocabulary, and WIDTH columns.
            if isinstance(tensor, Tensor) and tensor.ndim == 2 and WIDTH not in tensor.shape:
                self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return result


@pytest.mark.parametrize("vocabulary", [1_000, 16_384])
@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
def test_buffers_do_not_grow_with_the_vocabulary(
    vocabulary: int, compute: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, positions = 2**20, 100
    monkeypatch.setattr(linear_head, "BUFFER_BYTES", most)
    layer = nn.Linear(WIDTH, vocabulary, bias=False)
    states = torch.randn(positions, WIDTH, requires_grad=True)
    targets = torch.arange(positions)
    head = OutputHead(layer, LogitTransform(), compute)
    with Largest() as largest:
        head.token_logps(states, targets).sum().backward()
    assert 0 < largest.bytes <= most
    # All of them at one time would not fit, so the test can fail.
    assert vocabulary == 1_000 or positions * vocabulary * 4 > 5 * most


@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("tokens", ["none", "new"])
def test_adapters_of_a_head_get_the_gradients_of_all_scores(
    compute: torch.dtype, tied: bool, tokens: str, block: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=1,
    )
    rows = [7, 9] if tokens == "new" else []
    lora = LoraOptions(rank=2, targets=["q_proj"] if rows else ["q_proj", "lm_head"])
    model = apply_lora(LlamaForCausalLM(config), lora, seed=0, tokens=rows)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data.normal_(0, 0.3)
    made = output_head_of(model, compute)
    assert made is not None
    _, head = made
    states, targets, weights = inputs()
    found = head.token_logps(states, targets)
    with torch.autocast("cpu", compute, enabled=compute != torch.float32):
        scores = head.module(states)
    expected = token_logps(scores, targets)
    trained = [w for w in model.parameters() if w.requires_grad]
    used = torch.autograd.grad(expected.sum(), trained, allow_unused=True, retain_graph=True)
    wanted = [states, *(w for w, grad in zip(trained, used, strict=True) if grad is not None)]
    assert len(wanted) > 1
    tolerance = 1e-5 if compute == torch.float32 else 0.05
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(
        gradients(found, weights, wanted), gradients(expected, weights, wanted), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_a_head_whose_adapter_drops_out_draws_the_same_numbers_in_both_passes(
    block: tuple[int, int],
) -> None:
    class DropsOut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(VOCABULARY, WIDTH))

        def forward(self, states: Tensor) -> Tensor:
            return nn.functional.dropout(states, 0.5) @ self.weight.T

    layer = DropsOut()
    states, targets, _ = inputs(torch.float64)
    layer.double()
    head = OutputHead(layer, LogitTransform(), torch.float32)

    def values(states: Tensor) -> Tensor:
        torch.manual_seed(7)
        return head.token_logps(states, targets)

    torch.autograd.gradcheck(values, (states,), eps=1e-3, atol=1e-2, fast_mode=True)
