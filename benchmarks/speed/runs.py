"""One training by each side, with the time of its steps."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from halo_core.events import EventLog
from halo_core.loss import Loss
from halo_core.progress import SilentProgress
from halo_core.reference_point import RefPointEstimator
from halo_core.rows import DataSet
from halo_core.stage import ModelInput
from halo_core.testing.context import stage_context
from halo_methods.components import DPO, KTO, SFT, MismatchedKL
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.train.options import Train
from speed.workload import MAX_LENGTH

if TYPE_CHECKING:
    import datasets

LEARNING_RATE = 1e-6
LOSSES: Mapping[str, tuple[Loss, RefPointEstimator | None]] = {
    "sft": (SFT(), None),
    "dpo": (DPO(beta=0.1), None),
    "kto": (KTO(beta=0.1), MismatchedKL()),
}


@dataclass(frozen=True)
class Took:
    """The time of the steps of a training.

    Attributes:
        steps: Number of steps that count.
        wall: Their wall time in seconds.
        cpu: Their CPU time in this process on all threads, in seconds.
        losses: The logged loss of each step, also of those that do not count.
        peak: Largest memory of the process so far, on the GPU if there is one, in bytes.
    """

    steps: int
    wall: float
    cpu: float
    losses: list[float]
    peak: int


class Clock:
    """Marks the start of a training and the end of each step."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []

    def mark(self) -> None:
        """Records the time, after all work of the device."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.marks.append((time.perf_counter(), time.process_time()))

    def took(self, losses: list[float], skip: int) -> Took:
        """Returns the time of the steps that count.

        Args:
            losses: The loss of each step.
            skip: Number of first steps that do not count, less than all.

        Raises:
            RuntimeError: When the marks are not those of the steps.
        """
        if len(self.marks) != len(losses) + 1:
            raise RuntimeError(
                f"{len(self.marks)} marks for {len(losses)} losses; expected one at the start and "
                "one after each step, so the times would be wrong"
            )
        (wall, cpu), (wall_end, cpu_end) = self.marks[skip], self.marks[-1]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if torch.cuda.is_available():
            peak = torch.cuda.max_memory_allocated()
        return Took(len(self.marks) - 1 - skip, wall_end - wall, cpu_end - cpu, losses, peak)


class _Losses(EventLog):
    """Events of a training that logs each step, of which only the losses are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def append(self, type_: str, **fields: Any) -> None:
        if "train/loss" in fields.get("metrics", {}):
            self.losses.append(fields["metrics"]["train/loss"])


class _Steps(SilentProgress):
    """A progress bar of halo that marks steps."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    @contextmanager
    def bar(self, label: str, total: int, done: int = 0, *, unit: str = "") -> Iterator[Any]:
        self.clock.mark()
        yield self

    def advance(self, amount: int = 1, *, facts: Any = None, **fields: str) -> None:
        self.clock.mark()


def run_halo(
    loss: str,
    folder: Path,
    model: Path,
    data: DataSet,
    batch_size: int,
    *,
    skip: int = 0,
    cache: Path | None = None,
    warn: Callable[[str], None] | None = None,
    **options: Any,
) -> Took:
    """Runs a train stage of halo for one epoch.

    Args:
        loss: A name in `LOSSES`.
        folder: An empty folder for the stage.
        model: The folder of the model.
        data: The rows.
        batch_size: Number of rows per step.
        skip: Number of first steps whose time does not count.
        cache: Folder of what can be computed again; a new one if left out.
        warn: Receives the stage's warnings. By default they are dropped.
        options: Further options of the stage, and others than those that are given here.
    """
    start = ModelInput(str(model), None, "model")
    steps, events = _Steps(Clock()), _Losses()
    models = {"from": start, "reference": start}
    context = stage_context(folder, models=models, data={"data": data}, warn=warn)
    function, point = LOSSES[loss]
    settings: dict[str, Any] = {
        "batch_size": batch_size,
        "epochs": 1,
        "learning_rate": LEARNING_RATE,
        "optimizer": "adamw",
        "max_length": MAX_LENGTH,
        "max_prompt_length": options.get("max_length", MAX_LENGTH) - 1,
        "precision": "float32",
        "log_every": 1,
        "device": "cpu",
    }
    Train(data="rows", loss=function, reference_point=point, **(settings | options)).run(
        replace(context, progress=steps, events=events, cache=cache or context.cache)
    )
    return steps.clock.took(events.losses, skip)


class _Marks(TrainerCallback):
    """Marks the steps of a trainer of transformers."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self.clock.mark()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.clock.mark()


def order_of(rows: int, batch_size: int) -> list[int]:
    """Returns the order in which `run_halo` takes the rows, step by step."""
    plan = BatchPlan(rows, batch_size, seed=0)
    return [i for step in range(plan.steps_per_epoch) for i in plan.batch(step + 1).indices]


def run_trl(
    loss: str,
    folder: Path,
    model: Path,
    data: datasets.Dataset,
    batch_size: int,
    *,
    skip: int = 0,
    dtype: torch.dtype = torch.float32,
    adapter: Any = None,
    **options: Any,
) -> Took:
    """Runs TRL's trainer for one epoch, with the rows in order.

    Its default of computing activations twice is turned off.

    Args:
        loss: ``sft``, ``dpo`` or ``kto``.
        folder: An empty folder.
        model: The folder of the model.
        data: The rows.
        batch_size: Number of rows per step.
        skip: Number of first steps whose time does not count.
        dtype: The dtype of the weights.
        adapter: A configuration of peft, if only an adapter is trained. The model without it is
            then the reference.
        options: Other options of the trainer than those that are given here.
    """
    import trl

    trainers = {
        "sft": (trl.SFTTrainer, trl.SFTConfig),
        "dpo": (trl.DPOTrainer, trl.DPOConfig),
        "kto": (trl.KTOTrainer, trl.KTOConfig),
    }
    trainer_class, config = trainers[loss]
    clock = Clock()
    reference = {} if loss == "sft" or adapter else {"ref_model": _load(model, dtype)}
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": batch_size,
        "num_train_epochs": 1,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "train_sampling_strategy": "sequential",
        "max_length": MAX_LENGTH,
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        **({} if loss == "sft" else {"beta": 0.1}),
    }
    trainer = trainer_class(
        model=_load(model, dtype),
        **reference,
        **({"peft_config": adapter} if adapter else {}),
        args=config(**(settings | options)),
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(model),
        callbacks=[_Marks(clock)],
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return clock.took(losses, skip)


def _load(model: Path, dtype: torch.dtype) -> Any:
    return AutoModelForCausalLM.from_pretrained(model, dtype=dtype)
