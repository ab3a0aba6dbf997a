"""The output head of Gemma 3 270M: its 262,144 tokens never have scores at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from halo_trainer.batch.packing import Scored, pack
from halo_trainer.gguf.dequantise import dequantise
from halo_trainer.model.linear_head import BUFFER_BYTES
from halo_trainer.model.probe import make_scorer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
VOCABULARY = 262_144
COMPLETION = 96
"""Tokens of each of two completions. All their scores are three times the largest buffer."""


class Largest(TorchDispatchMode):
    """Records the bytes of the largest new storage of any operation."""

    def __init__(self, weights: set[int]) -> None:
        super().__init__()
        self.weights, self.bytes = weights, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if (
                isinstance(tensor, Tensor)
                and tensor.untyped_storage().data_ptr() not in self.weights
            ):
                self.bytes = max(self.bytes, tensor.untyped_storage().nbytes())
        return result


@pytest.fixture(scope="module")
def gemma(gemma_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("dequantised") / "model"
    try:
        dequantise(gemma_file, folder, "bfloat16", None, lambda text: None)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    finally:
        (folder / "model.safetensors").unlink()
    return model.requires_grad_(False)


def test_scores_of_the_whole_vocabulary_are_never_there_at_once(gemma: Any) -> None:
    assert gemma.config.vocab_size == VOCABULARY
    rng = np.random.default_rng(0)
    tokens = [rng.integers(0, VOCABULARY, size) for size in (8, COMPLETION, COMPLETION)]
    row = pack([Scored(tokens[0], tokens[1]), Scored(tokens[0], tokens[2])])
    # Only the last norm is trained, so that no gradient is as large as the vocabulary.
    last = gemma.model.norm.weight.requires_grad_()
    weights = {weight.untyped_storage().data_ptr() for weight in gemma.parameters()}

    with Largest(weights) as whole:
        ids = torch.tensor(np.stack([np.concatenate([tokens[0], tokens[i]]) for i in (1, 2)]))
        scores = gemma(input_ids=ids).logits[:, 7:-1].log_softmax(-1)
        expected = scores.gather(-1, ids[:, 8:, None]).flatten()
        (wanted,) = torch.autograd.grad(expected.sum(), last)
    assert whole.bytes > 2.9 * BUFFER_BYTES

    scorer = make_scorer(gemma, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)
    assert scorer.chunked
    with Largest(weights) as seen:
        logps = scorer(row).token_logps
        (gradient,) = torch.autograd.grad(logps.sum(), last)
    assert 2 * COMPLETION * VOCABULARY * 4 > 2.9 * BUFFER_BYTES
    assert seen.bytes <= BUFFER_BYTES
    torch.testing.assert_close(logps, expected, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))
