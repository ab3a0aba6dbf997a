"""Shows where the CPU time of a training step goes, by kind of operation.

    python benchmarks/step_profile.py HELPFUL_BASE [--losses sft kto] [--threads 2] [--steps 3]

The model, rows and options are those of `speed_against_trl.py`. torch's profiler covers a whole
training of a few steps, with loading and the checks at its end. Matrix products are compared with
the rate of a large product on the same threads.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import torch
from speed.arithmetic import matrix_rate
from speed.runs import run_halo
from speed.workload import (
    BATCH_SIZE,
    FEEDBACK,
    for_halo,
    read_pairs,
    rows_for,
    that_fit,
    write_model,
)
from torch.profiler import ProfilerActivity, profile

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "attention": ("aten::_scaled_dot_product",),
    "optimiser": ("aten::_fused_adam",),
    "products of elements": ("aten::mul",),
}
"""Beginnings of the names of operations by kind; addmm is matched before add."""


def main() -> None:
    options = _parser().parse_args()
    datasets.disable_progress_bars()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pairs = read_pairs(options.helpful_base)
        tokenizer = write_model(root / "model", pairs)
        pairs = that_fit(tokenizer, pairs[:200])[: options.steps * BATCH_SIZE]
        for loss in options.losses:
            rows = for_halo(_new(root), FEEDBACK[loss], rows_for(loss, pairs))
            run_halo(loss, _new(root), root / "model", rows, BATCH_SIZE)  # warms up
            with profile(activities=[ProfilerActivity.CPU], with_flops=True) as profiled:
                run_halo(loss, _new(root), root / "model", rows, BATCH_SIZE)
            _print(loss, profiled.key_averages())


def _print(loss: str, events: Any) -> None:
    times: Counter[str] = Counter()
    operations = 0
    for event in events:
        names = (kind for kind, begins in KINDS.items() if event.key.startswith(begins))
        kind = next(names, "other")
        times[kind] += event.self_cpu_time_total
        operations += event.flops if kind == "matrix products" else 0
    total = sum(times.values())
    shares = ", ".join(f"{kind} {time / total:.0%}" for kind, time in times.most_common())
    rate = operations / times["matrix products"] * 1e6  # the profiler counts microseconds
    print(f"{loss}: {shares}")
    print(f"{loss}: matrix products reach {rate / matrix_rate():.2f} of the rate of a large one")


def _new(root: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=root))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Profile training steps and print the share of each kind of operation."
    )
    parser.add_argument("helpful_base", type=Path, help="the folder with test.jsonl.gz")
    parser.add_argument("--losses", nargs="+", default=["sft", "kto"], choices=list(FEEDBACK))
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--steps", type=int, default=3, help="steps that are profiled")
    return parser


if __name__ == "__main__":
    main()
