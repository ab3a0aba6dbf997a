"""The steps of a training, taken by TRL on the same rows in the same order.

Run as a process of its own, so that its memory is free again afterwards::

    python -m real_pairs.trl_side RUN STAGE FILE THREADS
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import datasets
import torch
from speed.runs import run_trl
from transformers import AutoTokenizer

from real_pairs.finished import Training, read_training
from real_pairs.rows import prompt_text


def main() -> None:
    run, stage, file, threads = sys.argv[1:]
    datasets.disable_progress_bars()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(int(threads))
    with tempfile.TemporaryDirectory() as folder:
        losses, cpu = take_steps(read_training(Path(run), stage), folder)
    Path(file).write_text(json.dumps({"losses": losses, "cpu": cpu}))


def take_steps(training: Training, folder: str) -> tuple[list[float], float]:
    """Returns TRL's loss of each step, and the CPU seconds of all.

    TRL gets texts: prompts as the model's template writes them, and replies, to which it adds the
    token that ends them. With messages, it would also train the line break after that token.
    """
    tokenizer = AutoTokenizer.from_pretrained(training.start)
    rows = [_text_row(tokenizer, row) for step in training.steps for row in step]
    names = ("learning_rate", "max_grad_norm", "max_length")
    took = run_trl(
        training.options["loss"]["use"],
        Path(folder),
        training.start,
        datasets.Dataset.from_list(rows),
        training.options["batch_size"],
        **{name: training.options[name] for name in names},
    )
    return took.losses, took.cpu


def _text_row(tokenizer: Any, row: dict[str, Any]) -> dict[str, Any]:
    told = {name: row[name] for name in ("chosen", "rejected", "completion") if name in row}
    label = {"label": row["desirable"]} if "desirable" in row else {}
    return {"prompt": prompt_text(tokenizer, row["prompt"]), **told, **label}


if __name__ == "__main__":
    main()
