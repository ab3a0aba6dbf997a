"""The speed of one side's training steps, for one loss and one model.

python -m gpu.speed halo|TRL kto|dpo|sft 1b|8b-lora MODELS [--tiny]
"""

from __future__ import annotations

import gc
import json
import logging
import statistics
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from speed.arithmetic import Lengths, matrix_rate, operations
from speed.runs import Took, order_of, run_halo, run_trl
from speed.workload import FEEDBACK, Row, for_halo, for_trl

from gpu.micro_batch import LEAST, micro_batch
from gpu.models import (
    MAX_LENGTH,
    Size,
    arithmetic_of,
    device,
    draw_rows,
    model_folder,
    size_of,
    tokens_of,
)
from halo_trainer.model.lora_options import LoraOptions

PEAK = {"NVIDIA H200": 989e12, "NVIDIA H100": 989e12, "NVIDIA A100": 312e12}
"""Operations per second in bfloat16 by the beginning of a GPU's name, from the data sheets."""

STEPS, SKIP = 5, 2
"""Steps of the training, and how many of them warm up."""

RANK, ALPHA = 16, 32.0
"""The rank of adapters, and their scale times the rank."""


def main() -> None:
    side, loss, name, models = sys.argv[1:5]
    tiny = "--tiny" in sys.argv
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    size = size_of(name, tiny=tiny)
    batch_size = 4 if tiny else 32
    rows = draw_rows(loss, batch_size * STEPS, longest=64 if tiny else MAX_LENGTH)
    with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory(dir=models) as folder:
        model = model_folder(Path(models), name, tiny=tiny)
        run = {"halo": _halo, "TRL": _trl}[side]
        took, more = run(loss, Path(folder), model, size, rows, batch_size)
    print(json.dumps(_facts(loss, size, rows, took, batch_size) | more))


def _halo(
    loss: str, folder: Path, model: Path, size: Size, rows: Sequence[Row], batch_size: int
) -> tuple[Took, dict[str, Any]]:
    lora = {"lora": LoraOptions(rank=RANK, alpha=ALPHA)} if size.lora else {}
    said: list[str] = []
    took = run_halo(
        loss,
        folder / "run",
        model,
        for_halo(folder, FEEDBACK[loss], rows),
        batch_size,
        skip=SKIP,
        device=device(),
        precision="bfloat16",
        max_length=MAX_LENGTH,
        warn=said.append,
        **lora,
    )
    return took, {"warnings": said} if said else {}


def _trl(
    loss: str, folder: Path, model: Path, size: Size, rows: Sequence[Row], batch_size: int
) -> tuple[Took, dict[str, Any]]:
    """Runs TRL with as many rows at once as fit: fewer than estimated if memory runs out."""
    at_once = micro_batch(size, loss, rows, batch_size)
    while True:
        try:
            took = _trl_once(loss, folder, model, size, rows, batch_size, at_once)
            return took, {"rows_at_once": at_once}
        except torch.OutOfMemoryError:
            if at_once <= LEAST:
                raise
        # The error is gone here, and with it all that its frames hold.
        at_once //= 2
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _trl_once(
    loss: str,
    folder: Path,
    model: Path,
    size: Size,
    rows: Sequence[Row],
    batch_size: int,
    at_once: int,
) -> Took:
    adapter = None
    if size.lora:
        from peft import LoraConfig

        adapter = LoraConfig(
            r=RANK,
            lora_alpha=int(ALPHA),
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
    return run_trl(
        loss,
        folder,
        model,
        for_trl([rows[i] for i in order_of(len(rows), batch_size)]),
        at_once,
        skip=SKIP,
        # As recommended: frozen weights in bfloat16, trained ones in float32 with autocast.
        dtype=torch.bfloat16 if size.lora else torch.float32,
        adapter=adapter,
        gradient_accumulation_steps=batch_size // at_once,
        bf16=True,
        use_cpu=device() == "cpu",
        max_length=MAX_LENGTH,
    )


def _facts(
    loss: str, size: Size, rows: Sequence[Mapping[str, Any]], took: Took, batch_size: int
) -> dict[str, Any]:
    """Returns what the counted steps say about the speed."""
    counted = [rows[i] for i in order_of(len(rows), batch_size)[SKIP * batch_size :]]
    work = operations(
        arithmetic_of(size),
        _lengths(loss, counted),
        live_reference=loss != "sft",
        passes=2 if size.lora else 3,
    )
    rate = work / took.wall
    found = device()
    matrices = matrix_rate(
        1.0 if found == "cuda" else 0.1,
        size=8192 if found == "cuda" else 512,
        device=found,
        dtype=torch.bfloat16,
    )
    name = torch.cuda.get_device_name() if found == "cuda" else ""
    peak = next((value for start, value in PEAK.items() if name.startswith(start)), None)
    return {
        "tokens_per_s": tokens_of(counted) / took.wall,
        "s_per_step": took.wall / took.steps,
        "mfu": None if peak is None else rate / peak,
        "of_matrix_rate": rate / matrices,
        "peak_gb": took.peak / 1e9,
        "losses": took.losses,
        "median_words": statistics.median(len(_first(row).split()) for row in counted),
    }


def _first(row: Mapping[str, Any]) -> str:
    return str(row["completion"] if "completion" in row else row["chosen"])


def _lengths(loss: str, rows: Sequence[Mapping[str, Any]]) -> list[Lengths]:
    """Returns the tokens of each row, for KTO with the next row's completion as the other one."""

    def count(row: Mapping[str, Any], side: str) -> int:
        return len(str(row[side]).split())

    sides = ("chosen", "rejected") if loss == "dpo" else ("completion",)
    own = [tuple(count(row, side) for side in sides) for row in rows]
    return [
        Lengths(
            len(row["prompt"][0]["content"].split()),
            own[i],
            own[(i + 1) % len(rows)][0] if loss == "kto" else None,
        )
        for i, row in enumerate(rows)
    ]


if __name__ == "__main__":
    main()
