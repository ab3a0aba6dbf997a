"""Whether a training that was stopped and continued gives the bits of one that was not.

python -m gpu.resume MODELS [--tiny]
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from speed.workload import for_halo

from gpu.models import device, draw_rows, model_folder
from halo_core.errors import Interrupted
from halo_core.progress import SilentProgress
from halo_core.rows import DataSet
from halo_core.stage import ModelInput, StopFlag
from halo_core.testing.context import stage_context
from halo_methods.components import KTO, MismatchedKL
from halo_trainer.train.options import Train

STEPS = 8
"""Steps of each training."""


def main() -> None:
    models = Path(sys.argv[1])
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory(dir=models) as folder:
        root = Path(folder)
        model = model_folder(models, "1b", tiny=True)
        data = for_halo(root, "binary", draw_rows("kto", 4 * STEPS, longest=64))
        whole = _digest(_train(root / "whole", model, data, stops=False))
        again = _digest(_train(root / "again", model, data, stops=False))
        stopped = _digest(_train(root / "stopped", model, data, stops=True))
    print(json.dumps({"repeated_same_bits": whole == again, "resumed_same_bits": whole == stopped}))


def _train(folder: Path, model: Path, data: DataSet, *, stops: bool) -> Path:
    """Trains for eight steps, with a stop after the third one if asked, and returns the model."""
    start = ModelInput(str(model), None, "model")
    inputs: dict[str, Any] = {"models": {"from": start, "reference": start}, "data": {"data": data}}
    stage = Train(
        data="rows",
        loss=KTO(),
        reference_point=MismatchedKL(),
        batch_size=4,
        epochs=1,
        learning_rate=1e-3,
        precision="bfloat16",
        deterministic=True,
        log_every=1,
        micro_batch_tokens=400,
        device=device(),
    )
    if stops:
        stop = StopFlag()
        context = stage_context(folder, stop=stop, **inputs)
        try:
            stage.run(replace(context, progress=_Stops(stop, after=3)))
        except Interrupted:
            pass
        else:
            raise AssertionError("the training did not stop")
    stage.run(stage_context(folder, **inputs))
    return folder / "model"


class _Stops(SilentProgress):
    """A progress bar that asks a training to stop after some steps."""

    def __init__(self, stop: StopFlag, after: int) -> None:
        self.stop, self.left, self.training = stop, after, False

    @contextmanager
    def bar(self, label: str, total: int, done: int = 0, *, unit: str = "") -> Iterator[Any]:
        self.training = total == STEPS
        yield self

    def advance(self, amount: int = 1, *, facts: Any = None, **fields: str) -> None:
        self.left -= self.training
        if not self.left:
            self.stop.set(2)


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        found.update(path.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    main()
