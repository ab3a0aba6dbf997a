"""Measures a gradient with and without `torch.compile` on the parts of each layer that it can fuse.

    python benchmarks/compiled_layers.py [--threads 2] [--steps 6]

The model is the Llama with 17M random weights of `speed_against_trl.py`, in float32 on the CPU, and
a row has eight sequences of random lengths. Feed-forward layers and norms are compiled for any
length. Attention is not: its shapes change with every row, and the time is in one kernel of torch.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from halo_trainer.batch.packing import PackedRow, Scored, pack
from halo_trainer.model.probe import make_scorer

VOCABULARY = 8192


def main() -> None:
    parser = argparse.ArgumentParser(description="A gradient with and without torch.compile.")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--steps", type=int, default=6, help="gradients that count")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=6,
        bos_token_id=None,
        eos_token_id=1,
    )
    model = LlamaForCausalLM(config).eval()
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=512, warn=print)
    plain = _measure(scorer, options.steps)
    for layer in model.model.layers:
        for part in (layer.mlp, layer.input_layernorm, layer.post_attention_layernorm):
            part.compile(dynamic=True)
    start = time.perf_counter()
    _gradient(scorer, _row(0))
    compiling = time.perf_counter() - start
    compiled = _measure(scorer, options.steps)
    print(f"plain     {plain[0]:.2f} s, {plain[1]:.2f} s of CPU time per gradient (medians)")
    print(f"compiled  {compiled[0]:.2f} s, {compiled[1]:.2f} s of CPU time per gradient")
    print(f"the first compiled gradient took {compiling:.0f} s")


def _measure(scorer: Any, steps: int) -> tuple[float, float]:
    """Returns the medians of wall and CPU time of a gradient, after two that do not count."""
    wall, cpu = [], []
    for step in range(steps + 2):
        row = _row(step)
        start, start_cpu = time.perf_counter(), time.process_time()
        _gradient(scorer, row)
        if step >= 2:
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - start_cpu)
    return statistics.median(wall), statistics.median(cpu)


def _gradient(scorer: Any, row: PackedRow) -> None:
    (-scorer(row).token_logps.sum()).backward()
    scorer.zero_grad()


def _row(seed: int) -> PackedRow:
    rng = np.random.Generator(np.random.PCG64(seed))

    def draw(tokens: int) -> Any:
        return rng.integers(0, VOCABULARY, tokens).astype(np.int32)

    prompts, completions = rng.integers(40, 200, 8), rng.integers(20, 90, 8)
    return pack([Scored(draw(p), draw(c)) for p, c in zip(prompts, completions, strict=True)])


if __name__ == "__main__":
    main()
