"""The time of attention over packed rows: torch's kernel for different lengths, and blocks.

python -m gpu.attention MODELS [--tiny]
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any

import torch

from gpu.models import device
from halo_trainer.batch import variable_length
from halo_trainer.batch.attention import AttentionLayout, Segment, packed_attention
from halo_trainer.batch.variable_length import Heads, try_kernel, usable

HEADS = Heads(32, 8, 64)


def main() -> None:
    tiny = "--tiny" in sys.argv
    where = torch.zeros((), device=device()).device  # with the number of the GPU
    torch.manual_seed(0)
    segments = _segments(512 if tiny else 16_384)
    layout = AttentionLayout.of(segments).to(where)
    tokens = segments[-1].start + segments[-1].length
    agrees = try_kernel(HEADS, device=where, dtype=torch.bfloat16)
    facts: dict[str, Any] = {
        "tokens": tokens,
        "segments": len(segments),
        "kernel_agrees": agrees,
        "blocks_ms": 0.0,
    }
    if agrees:
        if not usable(HEADS, device=where, dtype=torch.bfloat16, plain=True):
            raise RuntimeError("the kernel agrees but would not be used, so blocks were measured")
        facts["kernel_ms"] = _milliseconds(layout, tokens, where)
        variable_length._TRIED.clear()
    facts["blocks_ms"] = _milliseconds(layout, tokens, where)
    print(json.dumps(facts))


def _segments(tokens: int) -> list[Segment]:
    """Returns prompts with two completions each: a whole segment and a branch."""
    rng = random.Random(0)
    segments: list[Segment] = []
    start = 0
    while start < tokens:
        prompt, own, other = (max(2, round(rng.lognormvariate(0, 0.8) * m)) for m in (120, 60, 60))
        segments.append(Segment(start, prompt + own))
        segments.append(Segment(start + prompt + own, other, start, prompt - 1))
        start += prompt + own + other
    return segments


def _milliseconds(layout: AttentionLayout, tokens: int, where: torch.device) -> float:
    """Returns the time of one forward and backward pass of one layer."""

    def draw(heads: int) -> torch.Tensor:
        made = torch.randn(1, heads, tokens, HEADS.size, device=where, dtype=torch.bfloat16)
        return made.requires_grad_()

    query, key, value = draw(HEADS.queries), draw(HEADS.keys), draw(HEADS.keys)
    weight = torch.randn(1, tokens, HEADS.queries, HEADS.size, device=where, dtype=torch.bfloat16)
    count = 10 if where.type == "cuda" else 1
    module = torch.nn.Identity()
    for repeats in (2 if where.type == "cuda" else 1, count):
        _wait(where)
        start = time.perf_counter()
        for _ in range(repeats):
            output, _weights = packed_attention(module, query, key, value, None, packed=layout)
            torch.autograd.grad(output, (query, key, value), weight)
        _wait(where)
    return (time.perf_counter() - start) / count * 1e3


def _wait(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
