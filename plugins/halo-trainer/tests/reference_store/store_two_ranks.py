"""The program of the ranks of `test_store_two_ranks.py`. The test does a part as one process.

Run by a launcher as ``store_two_ranks.py FOLDER`` with the model and the rows in the folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from halo_core.events import EventLog
from halo_core.reference_point import RefPointEstimator
from halo_core.rows import DataSet
from halo_core.stage import ModelInput, StageContext
from halo_methods.components import KTO, MatchedKL, MismatchedKL
from halo_trainer.train import setup
from halo_trainer.train.options import Train
from halo_trainer.train.ranks import Ranks

MISMATCHED, MATCHED = MismatchedKL(), MatchedKL()


def train(root: Path, name: str, cache: str, point: RefPointEstimator, **options: Any) -> None:
    """Runs a training in ``FOLDER/name`` whose reference has its store in ``FOLDER/cache``."""
    folder = root / name
    folder.mkdir(exist_ok=True)
    model = ModelInput(str(root / "model"), None, "m")
    rank = Ranks("cpu").rank
    context = StageContext.for_folder(
        folder,
        seed=1,
        models={"from": model, "reference": model},
        data={"data": DataSet("train", "binary", [root / "train-binary.arrow"])},
        cache=root / cache,
        events=EventLog(folder / "events.jsonl") if rank == 0 else EventLog(),
        warn=lambda message: warn(folder / f"warnings-{rank}.txt", message),
    )
    given = {"batch_size": 5, "epochs": 2, "learning_rate": 0.05, "micro_batch_tokens": 60}
    stage = Train(
        **given | options,
        data="train",
        loss=KTO(),
        reference_point=point,
        reference_store="on",
        device="cpu",
        log_every=1,
    )
    loads, load = [], setup.load_reference

    def counted(*arguments: Any, **options: Any) -> Any:
        loads.append(1)
        return load(*arguments, **options)

    setup.load_reference = counted
    try:
        stage.run(context)
    finally:
        setup.load_reference = load
    (folder / f"loads-{rank}.txt").write_text(str(len(loads)))


def warn(path: Path, message: str) -> None:
    """Adds a line to a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{message}\n")


def main(arguments: Sequence[str]) -> None:
    """Trains with a cold and a warm store, and with stores that hold a part."""
    root = Path(arguments[0])
    torch.set_num_threads(1)
    Ranks.leave = lambda self: None  # type: ignore[method-assign]  # several stages share a group
    train(root, "cold", "cache-cold", MISMATCHED)
    train(root, "warm", "cache-cold", MISMATCHED)
    # One process has filled these with other batches.
    train(root, "some", "cache-some", MISMATCHED)
    train(root, "own", "cache-own", MISMATCHED)
    train(root, "damaged", "cache-damaged", MISMATCHED)


if __name__ == "__main__":
    main(sys.argv[1:])
    # Without Python's own end, in which gloo's threads may still wait for Python, and then abort.
    os._exit(0)
