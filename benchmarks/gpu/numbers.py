"""Whether the device computes the numbers of the CPU: log-probabilities, gradients, packed rows.

python -m gpu.numbers MODELS [--tiny]
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from gpu.models import device
from halo_methods.components import SFT
from halo_trainer.batch.packing import Scored, pack
from halo_trainer.model.probe import make_scorer
from halo_trainer.model.scorer import Scorer
from halo_trainer.train.computation import how_it_computes
from halo_trainer.train.objective import Objective
from halo_trainer.train.ranks import Ranks


def main() -> None:
    expected, gradient = _numbers(_scorer("cpu", torch.float32), together=True)
    facts: dict[str, Any] = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        scorer = _scorer(device(), dtype)
        logps, gradients = _numbers(scorer, together=True)
        alone, alone_gradients = _numbers(scorer, together=False)
        facts |= {
            f"{name}_logps_from_cpu": _largest(logps, expected),
            f"{name}_gradient_from_cpu": _relative(gradients, gradient),
            f"{name}_packed_from_alone": _largest(logps, alone),
            f"{name}_packed_gradient_from_alone": _relative(gradients, alone_gradients),
            name: how_it_computes(scorer, Objective(SFT(), scorer, None, Ranks(device()), 100, 64)),
        }
    print(json.dumps(facts))


def _scorer(where: str, dtype: torch.dtype) -> Scorer:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2000,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
        initializer_range=0.05,
    )
    model = LlamaForCausalLM(config).float().eval().to(where)
    return make_scorer(model, compute_dtype=dtype, max_length=256, warn=_warn)


def _warn(text: str) -> None:
    print(text, file=sys.stderr)


def _numbers(scorer: Scorer, *, together: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Returns log-probabilities and the gradient of their mean, in float32 on the CPU."""
    rng = np.random.Generator(np.random.PCG64(3))

    def draw(tokens: int) -> Any:
        return rng.integers(2, 2000, tokens).astype(np.int32)

    sequences = []
    for prompt, first, second in ((40, 30, 12), (7, 90, 90), (120, 5, 60)):
        shared = draw(prompt)
        sequences += [Scored(shared, draw(first)), Scored(shared, draw(second))]
    rows = [pack(sequences)] if together else [pack([each]) for each in sequences]
    scorer.model.zero_grad()
    where = next(scorer.parameters()).device
    logps = torch.cat([scorer(row.to(where)).token_logps for row in rows])
    logps.float().mean().backward()
    gradients = {
        name: weight.grad.float().cpu()
        for name, weight in scorer.model.named_parameters()
        if weight.grad is not None
    }
    return logps.detach().float().cpu(), gradients


def _largest(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max())


def _relative(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Returns the norm of the difference of two gradients, relative to the second one."""
    difference = sum(float((found[name] - each).square().sum()) for name, each in expected.items())
    whole = sum(float(each.square().sum()) for each in expected.values())
    return float((difference / whole) ** 0.5)


if __name__ == "__main__":
    main()
