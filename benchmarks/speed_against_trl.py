"""Measures the training steps of halo and of TRL 1.16 on the same model, rows and settings.

    pip install trl==1.16.0
    python benchmarks/speed_against_trl.py HELPFUL_BASE [--steps 4] [--rounds 2] [--threads 1]

HELPFUL_BASE is the folder of that subset of HH, with its ``test.jsonl.gz``. The model is a Llama
with 17M random weights, in float32 on the CPU. Batches have 8 rows (pairs for DPO) of at most 512
tokens. Both sides compute the reference in every step and keep their activations. They take turns
of one round each, after a round that is not counted, so that a change of the machine's load affects
both. Both have the same tokens: those of prompts and completions, counted once and without padding.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import datasets
import torch
from speed.runs import Took, run_halo, run_trl
from speed.workload import (
    FEEDBACK,
    Row,
    count_tokens,
    for_halo,
    for_trl,
    read_pairs,
    rows_for,
    that_fit,
    write_model,
)

BATCH_SIZE = 8
SIDES = ("halo", "TRL")


def main() -> int:
    options = _parser().parse_args()
    datasets.disable_progress_bars()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(options.threads)
    print(f"load of the machine before: {_load()}, {os.cpu_count()} cores, {options}")
    print(f"{'':6}{'side':6}{'s/step':>9}{'CPU s/step':>12}{'tokens/s':>10}{'loss':>9}  rounds")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pairs = read_pairs(options.helpful_base)
        tokenizer = write_model(root / "model", pairs)
        size = options.steps * BATCH_SIZE
        pairs = that_fit(tokenizer, pairs[: 2 * size * options.rounds])[: size * options.rounds]
        for loss in options.losses:
            rounds = [rows_for(loss, pairs[i : i + size]) for i in range(0, len(pairs), size)]
            tokens = sum(sum(count_tokens(tokenizer, row)) for rows in rounds for row in rows)
            _print(loss, tokens, measure(loss, root, rounds))
    print(f"load of the machine after: {_load()}")
    return 0


def measure(loss: str, root: Path, rounds: Sequence[Sequence[Row]]) -> dict[str, list[Took]]:
    """Returns the time that each side took in each round."""
    found: dict[str, list[Took]] = {side: [] for side in SIDES}
    with redirect_stdout(sys.stderr):
        for number, rows in enumerate([rounds[0][:BATCH_SIZE], *rounds]):
            ours = for_halo(_new(root), FEEDBACK[loss], rows)
            took = {
                "halo": run_halo(loss, _new(root), root / "model", ours, BATCH_SIZE),
                "TRL": run_trl(loss, _new(root), root / "model", for_trl(rows), BATCH_SIZE),
            }
            for side in SIDES if number > 0 else ():  # the first only warms up
                found[side].append(took[side])
    return found


def _print(loss: str, tokens: int, found: dict[str, list[Took]]) -> None:
    wall, cpu = {}, {}
    for side in SIDES:
        rounds = found[side]
        steps = sum(took.steps for took in rounds)
        wall[side] = sum(took.wall for took in rounds) / steps
        cpu[side] = sum(took.cpu for took in rounds) / steps
        per_second = tokens / sum(took.wall for took in rounds)
        mean = sum(took.loss for took in rounds) / len(rounds)
        each = " ".join(f"{took.wall / took.steps:.2f}" for took in rounds)
        print(
            f"{loss:6}{side:6}{wall[side]:9.2f}{cpu[side]:12.2f}{per_second:10.0f}{mean:9.4f}"
            f"  {each}"
        )
    print(
        f"{loss:6}TRL takes {wall['TRL'] / wall['halo']:.2f} times as long, and "
        f"{cpu['TRL'] / cpu['halo']:.2f} times the CPU time",
        flush=True,
    )


def _new(root: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=root))


def _load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Training steps of halo and of TRL.")
    parser.add_argument("helpful_base", type=Path, help="the folder with test.jsonl.gz")
    parser.add_argument("--steps", type=int, default=4, help="steps of each run")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each side that count")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--losses", nargs="+", default=list(FEEDBACK), choices=list(FEEDBACK))
    return parser


if __name__ == "__main__":
    sys.exit(main())
