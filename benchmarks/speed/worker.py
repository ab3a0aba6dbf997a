"""A process that trains on one side, round by round, as its standard input asks.

Each side of each loss has a process of its own, so that its peak memory can be read.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import warnings
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

import datasets
import torch

from halo_trainer.train.objective import Objective
from halo_trainer.train.options import Train
from speed.runs import order_of, run_halo, run_trl
from speed.workload import BATCH_SIZE, FEEDBACK, for_halo, for_trl


def main() -> None:
    side, loss, model, threads, skip = sys.argv[1:]
    datasets.disable_progress_bars()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(int(threads))
    if side == "halo, first pass":
        # The way of several micro-batches, which score mismatched pairs before the gradient.
        Objective.keeps_prompts = lambda *_: False  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            with redirect_stdout(sys.stderr):
                took = _round(
                    side, loss, Path(model), Path(folder), json.loads(line), skip=int(skip)
                )
            print(json.dumps(asdict(took)), flush=True)


def _round(side: str, loss: str, model: Path, root: Path, rows: list[Any], *, skip: int) -> Any:
    skip = min(skip, len(rows) // BATCH_SIZE - 1)  # The round that warms up has one step.
    if side == "TRL":
        ordered = for_trl([rows[i] for i in order_of(len(rows), BATCH_SIZE)])
        return run_trl(loss, _new(root), model, ordered, BATCH_SIZE, skip=skip)
    ours = for_halo(_new(root), FEEDBACK[loss], rows)
    options: dict[str, Any] = {}
    if "reference_store" in Train.model_fields:
        options["reference_store"] = "on" if side == "halo, store" else "off"
    if side == "halo, store":
        run_halo(loss, _new(root), model, ours, BATCH_SIZE, cache=root / "cache", **options)
    return run_halo(
        loss, _new(root), model, ours, BATCH_SIZE, skip=skip, cache=root / "cache", **options
    )


def _new(root: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=root))


if __name__ == "__main__":
    main()
