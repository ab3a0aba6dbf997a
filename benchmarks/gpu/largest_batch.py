"""The largest batch of sequences of 2,048 tokens in one micro-batch, for SFT of the 1B model.

python -m gpu.largest_batch MODELS [--tiny]
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import tempfile
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import torch
from speed.runs import run_halo
from speed.workload import for_halo

from gpu.models import device, draw_rows, model_folder


def main() -> None:
    models, tiny = Path(sys.argv[1]), "--tiny" in sys.argv
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    length, most = (32, 4) if tiny else (2048, 256)
    with tempfile.TemporaryDirectory(dir=models) as folder:
        with redirect_stdout(sys.stderr):
            model = model_folder(models, "1b", tiny=tiny)
        batch, largest, fits = (1 if tiny else 8), 0, True
        while batch <= most and fits:
            with redirect_stdout(sys.stderr):
                fits = _fits(Path(folder) / str(batch), model, batch, length)
            if fits:
                # A line after each, because the time may end before the next one.
                _tell(batch, length, "more were not tried")
                largest, batch = batch, batch * 2
    limit = "as many as were tried" if fits else f"{batch} do not fit"
    _tell(largest, length, limit)


def _tell(sequences: int, length: int, limit: str) -> None:
    print(json.dumps({"sequences": sequences, "tokens_each": length, "limit": limit}), flush=True)


def _fits(folder: Path, model: Path, batch: int, length: int) -> bool:
    """Returns whether a step computes a batch at once. halo continues with less, and warns."""
    folder.mkdir()
    rows = for_halo(folder, "demonstration", draw_rows("sft", batch, longest=length, fixed=True))
    warned: list[str] = []
    try:
        run_halo(
            "sft",
            folder / "run",
            model,
            rows,
            batch,
            device=device(),
            precision="bfloat16",
            max_length=length,
            micro_batch_tokens=batch * length,
            warn=warned.append,
        )
    except Exception as error:
        if "out of memory" not in str(error):
            raise
        return False
    finally:
        shutil.rmtree(folder)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return not any("out of memory" in text for text in warned)


if __name__ == "__main__":
    main()
