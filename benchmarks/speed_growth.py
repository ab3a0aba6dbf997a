"""Measures how a training step grows with length, batch, vocabulary, share of prompt and model.

    python benchmarks/speed_growth.py [--threads 2] [--steps 3] [--axes length vocabulary]

Each point is a process of its own that makes a small Llama from nothing and takes steps of DPO on
random pairs, in float32 on the CPU. ``now`` is what the trainer does. ``before`` computes each
completion with its own prompt, and all scores of the vocabulary at one time. Memory is the largest
of the process, less what it had before the first step.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

Point = dict[str, float]
USUAL: Point = {"length": 256, "batch": 8, "vocabulary": 8192, "prompt": 0.7, "hidden": 256}
AXES: Mapping[str, list[float]] = {
    "length": [64, 256, 1024],
    "batch": [2, 8, 32],
    "vocabulary": [1024, 32_768, 262_144],
    "prompt": [0.1, 0.5, 0.9],
    "hidden": [128, 256, 512],
}


def main() -> int:
    options = _parser().parse_args()
    if options.point is not None:
        print(json.dumps(_measure(json.loads(options.point), options)))
        return 0
    print(f"usual: {USUAL}, {options.threads} threads, median of {options.steps} steps")
    print(
        f"{'axis':12}{'value':>9}{'s/step now':>12}{'before':>9}{'ratio':>7}"
        f"{'MB now':>9}{'before':>9}"
    )
    for axis in options.axes:
        for value in AXES[axis]:
            now, before = (
                _in_process(USUAL | {axis: value, "before": before}, options) for before in (0, 1)
            )
            print(
                f"{axis:12}{value:>9g}{now['seconds']:12.3f}{before['seconds']:9.3f}"
                f"{before['seconds'] / now['seconds']:7.2f}"
                f"{now['bytes'] / 1e6:9.0f}{before['bytes'] / 1e6:9.0f}",
                flush=True,
            )
    return 0


def _in_process(point: Point, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--point", json.dumps(point)]
    command += ["--threads", str(options.threads), "--steps", str(options.steps)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return result


def _measure(point: Point, options: argparse.Namespace) -> dict[str, float]:
    """Returns the seconds of a step, and the memory that steps take."""
    import torch

    from halo_methods.components import DPO
    from halo_trainer.batch.batch_plan import BatchPlan
    from halo_trainer.train.objective import Objective
    from halo_trainer.train.prepare import prepare
    from halo_trainer.train.ranks import Ranks
    from halo_trainer.train.reference.scores import LiveReference
    from halo_trainer.train.step import backward

    torch.set_num_threads(options.threads)
    policy, reference = _scorer(point), _scorer(point)
    objective = Objective(
        loss=DPO(beta=0.1),
        policy=policy.train(),
        reference=LiveReference(reference.eval().requires_grad_(False)),
        ranks=Ranks("cpu"),
        micro_batch_tokens=1 << 40,
        max_length=1 << 20,
        shares=policy.shares,
    )
    weights = list(policy.parameters())
    examples = _pairs(point)
    plan = BatchPlan(len(examples), len(examples), seed=0, shuffled=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for step in range(options.steps + 1):
        start = time.perf_counter()
        batch = prepare(objective, None, examples, plan.batch(1), plan.rng(1, "pairs"), {})
        backward(objective, batch, weights, stop=False, max_norm=None)
        policy.zero_grad(set_to_none=True)
        if step > 0:  # the first only warms up
            seconds.append(time.perf_counter() - start)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    return {"seconds": statistics.median(seconds), "bytes": grown * 1024.0}


def _scorer(point: Point) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from halo_trainer.model.probe import make_scorer

    hidden = int(point["hidden"])
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=int(point["vocabulary"]),
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=4,
        num_attention_heads=hidden // 64,
        bos_token_id=None,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).eval()
    scorer = make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=print)
    if point["before"]:
        scorer.shares = scorer.chunked = False
    return scorer


def _pairs(point: Point) -> list[Any]:
    import numpy as np

    from halo_trainer.encode.examples import EncodedCompletion, EncodedExample

    rng = np.random.Generator(np.random.PCG64(0))
    prompt_tokens = int(point["length"] * point["prompt"])
    tokens = int(point["length"]) - prompt_tokens

    def draw(count: int) -> Any:
        return rng.integers(0, int(point["vocabulary"]), count).astype(np.int32)

    examples = []
    for i in range(int(point["batch"])):
        prompt = draw(prompt_tokens)
        completions = tuple(
            EncodedCompletion(prompt, draw(tokens), desirable, f"{i}.{desirable}")
            for desirable in (True, False)
        )
        examples.append(EncodedExample(f"e{i}", f"p{i}", completions))
    return examples


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Growth of a training step.")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--steps", type=int, default=3, help="steps of each point that count")
    parser.add_argument("--axes", nargs="+", default=list(AXES), choices=list(AXES))
    parser.add_argument("--point", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
