"""Measures the training steps of halo and of TRL 1.16 on the same model, rows and settings.

    pip install --no-deps trl==1.16.0
    python benchmarks/speed_against_trl.py HELPFUL_BASE [--steps 3] [--skip 1] [--rounds 5]

HELPFUL_BASE is the folder of that subset of HH, with its ``test.jsonl.gz``. The model is a Llama
with 17M random weights, in float32 on the CPU. Batches have 8 rows (pairs for DPO) of at most 512
tokens. Each side has a process of its own and keeps its activations. The sides take turns of one
round each, after a round that is not counted, so that a change of the machine's load affects all.
A round is a training. Its first steps do not count (``--skip``): in the first one, the optimiser
makes its state. Both sides take the same rows in the same steps.

Sides: ``halo`` and ``TRL`` compute the reference in every step. ``halo, store`` reads it from the
reference store, which a run before has filled. ``halo, first pass`` scores mismatched pairs as it
does with several micro-batches. The last columns give the arithmetic that no side can avoid, as a
share of what a product of two 2048 x 2048 matrices reaches on the same threads in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from speed.arithmetic import Lengths, Model, matrix_rate, operations
from speed.runs import Took, order_of
from speed.workload import (
    BATCH_SIZE,
    FEEDBACK,
    Row,
    count_tokens,
    prompt_tokens,
    read_pairs,
    rows_for,
    that_fit,
    write_model,
)

from halo_trainer.train.options import Train

SIDES: Mapping[str, Sequence[str]] = {
    "sft": ["halo", "TRL"],
    "dpo": ["halo", "halo, store", "TRL"],
    "kto": ["halo", "halo, first pass", "halo, store", "TRL"],
}
WANTED = {
    ("sft", "halo"): 5.0,
    ("dpo", "halo"): 6.0,
    ("dpo", "halo, store"): 8.0,
    ("kto", "halo"): 4.8,
    ("kto", "halo, store"): 6.5,
}
"""Wanted ratio of the time of TRL and the time of each side."""


@dataclass
class Side:
    """One side of a loss, its process and what it took.

    Attributes:
        name: Name of the side.
        process: The process that trains.
        rounds: The rounds that count.
    """

    name: str
    process: subprocess.Popen[str]
    rounds: list[Took] = field(default_factory=list)

    def run(self, rows: Sequence[Row]) -> Took:
        """Trains on some rows."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(list(rows)) + "\n")
        self.process.stdin.flush()
        return Took(**json.loads(self.process.stdout.readline()))

    def per_step(self) -> list[float]:
        """Returns the seconds per step of each round."""
        return [took.wall / took.steps for took in self.rounds]


def main() -> int:
    options = _parser().parse_args()
    if options.skip >= options.steps:
        sys.exit(f"--skip {options.skip} leaves none of --steps {options.steps}")
    torch.set_num_threads(options.threads)
    print(f"load of the machine before: {_load()}, {os.cpu_count()} cores, {options}")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        pairs = read_pairs(options.helpful_base)
        tokenizer = write_model(model, pairs)
        size = options.steps * BATCH_SIZE
        pairs = that_fit(tokenizer, pairs[: 2 * size * options.rounds])[: size * options.rounds]
        for loss in options.losses:
            rounds = [rows_for(loss, pairs[i : i + size]) for i in range(0, len(pairs), size)]
            rates: list[float] = []
            sides = measure(loss, model, rounds, options, rates)
            order = order_of(size, BATCH_SIZE)[options.skip * BATCH_SIZE :]
            counted = [rows[i] for rows in rounds for i in order]
            _print(loss, tokenizer, counted, sides, rates)
    print(f"load of the machine after: {_load()}")
    return 0


def measure(
    loss: str,
    model: Path,
    rounds: Sequence[Sequence[Row]],
    options: argparse.Namespace,
    rates: list[float],
) -> list[Side]:
    """Returns what each side took in each round, and adds the matrix rate of each round."""
    here = Path(__file__).parent
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
    command = [sys.executable, "-m", "speed.worker"]
    sides = [
        Side(
            name,
            subprocess.Popen(
                [*command, name, loss, str(model), str(options.threads), str(options.skip)],
                cwd=here,
                env=environment,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            ),
        )
        for name in SIDES[loss]
        if name != "halo, store" or "reference_store" in Train.model_fields
    ]
    try:
        for number, rows in enumerate([rounds[0][:BATCH_SIZE], *rounds]):
            rates.append(matrix_rate())
            for side in sides:
                took = side.run(rows)
                if number > 0:  # the first only warms up
                    side.rounds.append(took)
    finally:
        for side in sides:
            assert side.process.stdin is not None
            side.process.stdin.close()
            side.process.wait()
    return sides


def _print(
    loss: str, tokenizer: Any, rows: Sequence[Row], sides: Sequence[Side], rates: Sequence[float]
) -> None:
    print(
        f"\n{loss:5}{'side':18}{'s/step':>8}{'from':>7}{'to':>7}{'CPU s':>7}"
        f"{'TRL takes':>11}{'wanted':>8}"
        f"{'peak GB':>9}{'Gop/step':>10}{'Gop/s':>7}{'share':>7}"
    )
    trl = statistics.median(sides[-1].per_step())
    rate = statistics.median(rates)
    steps = sum(took.steps for took in sides[0].rounds)
    for side in sides:
        seconds = side.per_step()
        median = statistics.median(seconds)
        live = side.name != "halo, store" and loss != "sft"
        work = operations(_sizes(), _lengths(loss, tokenizer, rows), live_reference=live) / steps
        wanted = WANTED.get((loss, side.name))
        print(
            f"{'':5}{side.name:18}{median:8.2f}{min(seconds):7.2f}{max(seconds):7.2f}"
            f"{statistics.median(took.cpu / took.steps for took in side.rounds):7.2f}"
            f"{trl / median:10.2f}x{'' if wanted is None else f'>={wanted:g}x':>8}"
            f"{max(took.peak for took in side.rounds) / 1e9:9.2f}{work / 1e9:10.0f}"
            f"{work / median / 1e9:7.0f}{work / median / rate:7.2f}"
        )
    least, most = min(rates) / 1e9, max(rates) / 1e9
    print(f"{'':5}matrix rate {rate / 1e9:.0f} Gop/s, {least:.0f} to {most:.0f}")
    for side in sides:
        losses = [value for took in side.rounds for value in took.losses]
        print(f"{'':5}losses {side.name:18}" + " ".join(f"{value:.4f}" for value in losses))
    sys.stdout.flush()


def _sizes() -> Model:
    return Model(hidden=384, intermediate=1024, layers=6, vocabulary=8192)


def _lengths(loss: str, tokenizer: Any, rows: Sequence[Row]) -> list[Lengths]:
    """Returns the tokens of each row, for KTO with the next row's completion as the other one."""
    prompts = [prompt_tokens(tokenizer, row) for row in rows]
    completions = [
        tuple(total - prompt for total in count_tokens(tokenizer, row))
        for row, prompt in zip(rows, prompts, strict=True)
    ]
    others = [completions[(i + 1) % len(rows)][0] for i in range(len(rows))]
    return [
        Lengths(prompt, own, other if loss == "kto" else None)
        for prompt, own, other in zip(prompts, completions, others, strict=True)
    ]


def _load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Training steps of halo and of TRL.")
    parser.add_argument("helpful_base", type=Path, help="the folder with test.jsonl.gz")
    parser.add_argument("--steps", type=int, default=3, help="steps of each round")
    parser.add_argument("--skip", type=int, default=1, help="first steps that do not count")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each side that count")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--losses", nargs="+", default=list(FEEDBACK), choices=list(FEEDBACK))
    return parser


if __name__ == "__main__":
    sys.exit(main())
