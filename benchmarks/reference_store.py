"""Counts the passes of the reference in a sweep, and measures trainings with and without a store.

    python benchmarks/reference_store.py [--pairs 32] [--threads 1]

Six trainings with DPO differ in beta only. They run once with a live reference, and once with
`reference_store: on` and one empty store. The model is a Llama with 6.4M random weights, in float32
on the CPU; the rows have random words. Each training has one epoch with batches of 8 pairs. CPU
time is shown, because it depends less on the load of the machine than wall time.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from halo_core.rows import DataSet
from halo_core.stage import ModelInput, StageContext
from halo_core.testing import data_set
from halo_methods.components import DPO
from halo_models.save import save_model_folder
from halo_models.templates import use_template
from halo_models.testing import CORPUS, make_tokenizer
from halo_trainer.reference_store.stored_reference import StoredReference
from halo_trainer.train import setup
from halo_trainer.train.options import Train
from halo_trainer.train.reference.scores import LiveReference

BETAS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5)
BATCH_SIZE = 8
VOCABULARY = 8192
LAYERS, HIDDEN = 4, 256


class Counts:
    """The loads of the reference, the completions that it computed, and its CPU time."""

    def __init__(self) -> None:
        self.loads = self.computed = 0
        self.seconds = 0.0


def main() -> int:
    options = _parser().parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    print(f"load of the machine before: {_load()}, {os.cpu_count()} cores, {options}")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        model = write_model(root / "model")
        rows = data_set(root, "paired", make_rows(options.pairs))
        for kind in ("off", "on"):
            sweep(root, kind, model, rows)
    print(f"load of the machine after: {_load()}")
    return 0


def sweep(root: Path, kind: str, model: ModelInput, rows: DataSet) -> None:
    """Trains with each beta, and prints a line for each training and one for all."""
    steps = -(-len(rows) // BATCH_SIZE)
    print(f"\nreference_store: {kind}, {steps} steps for each beta")
    head = ("beta", "loads", "computed", "reference s", "training s", "s/step", "last loss")
    print("".join(f"{name:>13}" for name in head))
    all_of = [0.0] * 4
    for beta in BETAS:
        with counted() as counts:
            began = time.process_time()
            loss = train(root, f"{kind}-{beta}", kind, beta, model, rows)
            took = time.process_time() - began
        numbers = [counts.loads, counts.computed, counts.seconds, took]
        all_of = [a + b for a, b in zip(all_of, numbers, strict=True)]
        print(_line(str(beta), numbers, steps) + f"{loss:13.6f}")
    print(_line("all", all_of, steps * len(BETAS)))


def train(root: Path, name: str, kind: str, beta: float, model: ModelInput, rows: DataSet) -> float:
    """Runs a training and returns its last loss."""
    folder = root / name
    folder.mkdir()
    context = StageContext.for_folder(
        folder,
        seed=1,
        models={"from": model, "reference": model},
        data={"data": rows},
        cache=root / "cache",
    )
    stage = Train(
        data="d",
        loss=DPO(beta=beta),
        reference_store=kind,  # type: ignore[arg-type]
        batch_size=BATCH_SIZE,
        learning_rate=1e-5,
        device="cpu",
        log_every=1,
        checkpoint_every=10**6,
    )
    return stage.run(context).metrics["loss"]


@contextmanager
def counted() -> Iterator[Counts]:
    """Yields the counts of the references that are used inside the block."""
    counts = Counts()
    load, live, compute = setup.load_reference, LiveReference.token_logps, StoredReference._compute
    stored = StoredReference.token_logps

    def counted_load(*arguments: Any, **options: Any) -> Any:
        counts.loads += 1
        return load(*arguments, **options)

    def counted_compute(self: StoredReference, sequence: Any) -> Any:
        counts.computed += 1
        return compute(self, sequence)

    def timed(call: Callable[..., Any], *, computes: bool) -> Callable[..., Any]:
        def inner(self: Any, row: Any) -> Any:
            began = time.process_time()
            found = call(self, row)
            counts.seconds += time.process_time() - began
            counts.computed += len(row.sequences) if computes else 0
            return found

        return inner

    setup.load_reference = counted_load
    LiveReference.token_logps = timed(live, computes=True)  # type: ignore[method-assign]
    StoredReference.token_logps = timed(stored, computes=False)  # type: ignore[method-assign]
    StoredReference._compute = counted_compute  # type: ignore[method-assign]
    try:
        yield counts
    finally:
        setup.load_reference = load
        LiveReference.token_logps = live  # type: ignore[method-assign]
        StoredReference.token_logps = stored  # type: ignore[method-assign]
        StoredReference._compute = compute  # type: ignore[method-assign]


def make_rows(count: int) -> list[dict[str, Any]]:
    """Returns pairs with prompts and completions of 10 to 60 random words."""
    rng = random.Random(3)
    words = " ".join(CORPUS).split()

    def text() -> str:
        return " ".join(rng.choice(words) for _ in range(rng.randint(10, 60)))

    return [
        {"prompt": [{"role": "user", "content": text()}], "chosen": text(), "rejected": text()}
        for _ in range(count)
    ]


def write_model(folder: Path) -> ModelInput:
    """Writes a Llama with random weights, and returns it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    use_template(tokenizer, None)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=3 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=1024,
    )
    save_model_folder(folder, LlamaForCausalLM(config), tokenizer)
    return ModelInput(str(folder), None, "random")


def _line(name: str, numbers: list[float], steps: int) -> str:
    loads, computed, reference, training = numbers
    return (
        f"{name:>13}{loads:13.0f}{computed:13.0f}{reference:13.2f}{training:13.2f}"
        f"{training / steps:13.2f}"
    )


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--pairs", type=int, default=32, help="number of pairs")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    return parser


if __name__ == "__main__":
    sys.exit(main())
