"""Counts how often each step of a training waits for its device, and for other processes.

Run by a launcher as ``counted_waits.py FOLDER``, it leaves the counts of each rank in the folder.
The model and the rows are already there.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from halo_core.loss import Loss
from halo_core.progress import SilentProgress
from halo_core.reference_point import RefPointEstimator
from halo_core.rows import DataSet
from halo_core.stage import ModelInput, StageContext
from halo_methods.components import (
    DPO,
    GRPO,
    KTO,
    PPO,
    SFT,
    MatchedKL,
    MismatchedKL,
    RunningMean,
)
from halo_trainer.batch.attention import AttentionLayout
from halo_trainer.train.loop import Loop
from halo_trainer.train.options import Train
from halo_trainer.train.ranks import Ranks

CASES: Mapping[str, tuple[Loss, RefPointEstimator | None]] = {
    "sft": (SFT(), None),
    "dpo": (DPO(), None),
    "kto-mismatched": (KTO(), MismatchedKL()),
    "kto-matched": (KTO(), MatchedKL()),
    "kto-running": (KTO(), RunningMean()),
    "ppo": (PPO(advantage="gae", whiten=True), None),
    "grpo": (GRPO(ratio_to="reference", aggregate="token"), None),
}
BUDGETS = {"one": 10_000, "several": 40}
"""Tokens of a micro-batch, for one micro-batch of each process and for several."""
LOGGED, STEPS = 3, 4
COLLECTIVES = (
    "all_reduce",
    "all_gather",
    "all_gather_object",
    "all_gather_into_tensor",
    "broadcast",
    "barrier",
)
READS = {torch.ops.aten._local_scalar_dense, torch.ops.aten.is_nonzero, torch.ops.aten.equal}
SIZED = {
    torch.ops.aten.nonzero,
    torch.ops.aten.masked_select,
    torch.ops.aten.unique_consecutive,
    torch.ops.aten._unique2,
    torch.ops.aten.bincount,
}
"""Operations whose result has a size that only the device knows, so the host waits."""
INDEXED = {torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_}


class Waits(TorchDispatchMode):
    """Counts ``reads`` of device memory, ``masks`` of unknown size, and ``collectives``."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self._on_host = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = func.overloadpacket
        if packet in READS:
            self.add("reads")
        if packet in SIZED or (packet in INDEXED and any(map(_is_mask, args[1]))):
            self.add("masks")
        return func(*args, **(kwargs or {}))

    def add(self, name: str) -> None:
        """Counts one, unless only host memory is used."""
        if not self._on_host:
            self.counts[name] += 1

    @contextmanager
    def on_host(self) -> Iterator[None]:
        """Counts nothing: all tensors are in host memory on any machine."""
        self._on_host += 1
        yield
        self._on_host -= 1

    def counting(self, name: str, function: Any) -> Any:
        """Returns a function that counts its calls."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.add(name)
            with self.on_host():  # one read is one wait, whatever it consists of
                return function(*args, **kwargs)

        return counted


def _is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)


@contextmanager
def counted() -> Iterator[list[dict[str, int]]]:
    """Yields a list that gets the counts of each step of the trainings in the context."""
    steps: list[dict[str, int]] = []
    waits = Waits()
    step, after, layout = Loop._step, Loop._after_step, AttentionLayout.of

    def counted_step(self: Any) -> Any:
        waits.counts = Counter()
        return step(self)

    def counted_after(self: Any, gradient: Any) -> None:
        after(self, gradient)
        # Reads for the display count too. They happen between this and the next step.
        steps.append(waits.counts)

    def of(*args: Any, **kwargs: Any) -> Any:
        with waits.on_host():
            return layout(*args, **kwargs)

    c10d = torch.distributed.distributed_c10d
    with (
        patch.object(Loop, "_step", counted_step),
        patch.object(Loop, "_after_step", counted_after),
        patch.object(AttentionLayout, "of", of),
        patch.object(torch.Tensor, "tolist", waits.counting("reads", torch.Tensor.tolist)),
        patch.object(torch.Tensor, "cpu", waits.counting("reads", torch.Tensor.cpu)),
        _all_patched(waits, torch.distributed, COLLECTIVES),
        _all_patched(waits, c10d, COLLECTIVES),
        waits,
    ):
        yield steps


@contextmanager
def _all_patched(waits: Waits, module: Any, names: Sequence[str]) -> Iterator[None]:
    before = {name: getattr(module, name) for name in names}
    for name, function in before.items():
        setattr(module, name, waits.counting("collectives", function))
    yield
    for name, function in before.items():
        setattr(module, name, function)


class Asking(SilentProgress):
    """Asks for all facts after each step, as a display that draws very often would."""

    @contextmanager
    def bar(self, label: str, total: int, done: int = 0, *, unit: str = "") -> Iterator[Any]:
        yield self

    def advance(self, amount: int = 1, *, facts: Any = None, **fields: str) -> None:
        assert {"loss", "tokens/s", "peak memory"} <= facts().keys()


def counts_of(root: Path, name: str, budget: str, rank: int) -> list[dict[str, int]]:
    """Returns the counts of each step of a case."""
    loss, estimator = CASES[name]
    folder = root / f"{name}-{budget}"
    folder.mkdir(exist_ok=True)
    rows = DataSet("train", loss.feedback, [root / f"train-{loss.feedback}.arrow"])
    model = ModelInput(str(root / "model"), None, "m")
    context = StageContext.for_folder(
        folder,
        id_=name,
        seed=1,
        models={"from": model, "reference": model},
        data={"data": rows},
        cache=root / "cache",
        warn=print,
        progress=Asking(),
    )
    stage = Train(
        data="train",
        loss=loss,
        reference_point=estimator,
        batch_size=8,
        steps=STEPS,
        log_every=LOGGED,
        micro_batch_tokens=BUDGETS[budget],
        device="cpu",
    )
    with counted() as steps:
        stage.run(context)
    assert len(steps) == STEPS
    return steps


def main(arguments: Sequence[str]) -> None:
    """Leaves the counts of all cases in the folder."""
    root = Path(arguments[0])
    torch.set_num_threads(1)
    ranks = Ranks("cpu")
    Ranks.leave = lambda self: None  # type: ignore[method-assign]  # several stages share a group
    counts = {
        f"{name}-{budget}": counts_of(root, name, budget, ranks.rank)
        for name in CASES
        for budget in BUDGETS
    }
    (root / f"counts-{ranks.rank}.json").write_text(json.dumps(counts))


if __name__ == "__main__":
    main(sys.argv[1:])
    # Without Python's own end, in which gloo's threads may still wait for Python, and then abort.
    os._exit(0)
