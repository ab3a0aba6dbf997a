"""The largest batch of sequences of 2,048 tokens in one micro-batch, for SFT of the 1B model.

python -m gpu.largest_batch MODELS [--tiny]
"""

from __future__ import annotations

import json
import logging
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
    fits = 0
    with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory(dir=models) as folder:
        model = model_folder(models, "1b", tiny=tiny)
        batch = 1 if tiny else 8
        while batch <= most and _fits(Path(folder) / str(batch), model, batch, length):
            fits, batch = batch, batch * 2
    limit = "as many as were tried" if fits * 2 > most else "twice as many do not fit"
    print(json.dumps({"sequences": fits, "tokens_each": length, "limit": limit}))


def _fits(folder: Path, model: Path, batch: int, length: int) -> bool:
    folder.mkdir()
    rows = for_halo(folder, "demonstration", draw_rows("sft", batch, longest=length, fixed=True))
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
        )
    except Exception as error:
        if "memory" not in str(error):
            raise
        return False
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return True


if __name__ == "__main__":
    main()
