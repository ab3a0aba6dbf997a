"""The program of the ranks of `test_train_two_ranks.py`. The test does the same as one process.

Run by a launcher as ``two_ranks.py FOLDER`` with the model and the rows already in the folder.
"""

from __future__ import annotations

import copy
import errno
import functools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import save_file

from halo_core.errors import HaloError, Interrupted
from halo_core.events import EventLog
from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_core.reference_point import RefPointEstimator
from halo_core.reference_update import ReferenceUpdate
from halo_core.rows import DataSet
from halo_core.stage import ModelInput, StageContext, StopFlag
from halo_methods.components import (
    DPO,
    EMA,
    GRPO,
    KTO,
    NCA,
    PPO,
    SFT,
    BradleyTerry,
    Copy,
    Humanline,
    MatchedKL,
    MismatchedKL,
    RunningMean,
    WeightedSum,
)
from halo_models.load import load_model
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.encode.examples import EncodedCompletion, EncodedExample
from halo_trainer.model.heads import make_heads
from halo_trainer.model.probe import make_scorer
from halo_trainer.train.checkpoints import files as checkpoint_files
from halo_trainer.train.objective import Objective
from halo_trainer.train.options import Train
from halo_trainer.train.prepare import prepare
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.reference.refresh import RefreshedReference
from halo_trainer.train.reference.scores import LiveReference
from halo_trainer.train.step import backward

LOSSES: Mapping[str, tuple[Loss, RefPointEstimator | None]] = {
    "kto": (KTO(), MismatchedKL()),
    "matched-kl": (KTO(), MatchedKL()),
    "running-mean": (KTO(), RunningMean()),
    "dpo": (DPO(), None),
    "sft": (SFT(), None),
    "ppo": (PPO(advantage="gae", whiten=True), None),
    "bradley-terry": (BradleyTerry(), None),
    "nca": (NCA(beta=0.5), None),
    "grpo": (GRPO(aggregate="token", beta=0.5), None),
    "humanline": (Humanline(loss=KTO(), log_epsilon_p=-0.1, log_epsilon_r=0.1), MismatchedKL()),
    "weighted-sum": (
        WeightedSum(losses=[PPO(advantage="gae"), KTO()], weights=[1.0, 2.0]),
        MismatchedKL(),
    ),
}
UPDATES: Mapping[str, ReferenceUpdate] = {"copy": Copy(every=2), "ema": EMA(decay=0.5)}
SIZES = (5, 1)
"""Number of examples of the global batches: unevenly distributed, and fewer than ranks."""
BUDGETS = (1000, 12)
"""Number of tokens of a micro-batch: one micro-batch per rank, and several."""


class Broken(Loss):
    """Not a number for completions of seven or more tokens."""

    feedback: ClassVar[Feedback] = "demonstration"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns losses. One of them is not a number."""
        broken = batch.lengths >= 7
        losses = torch.where(broken, torch.nan, -batch.policy_logps)
        return LossOutput(losses, torch.ones_like(losses))


class StopOnLastRank(StopFlag):
    """Asks to stop in the second step, on one rank only."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.left = 2 if rank == 1 else -1

    def is_set(self) -> bool:
        """Returns whether it is time."""
        self.left -= 1
        return self.left == 0


def make_examples(feedback: Feedback, count: int) -> list[EncodedExample]:
    """Returns examples of random tokens."""
    rng = np.random.Generator(np.random.PCG64(7))

    def ids(size: int) -> Any:
        return rng.integers(0, 200, size).astype(np.int32)

    def classes(i: int) -> list[bool]:
        if feedback == "scored":
            return [True] * (2 + i % 3)
        return [True, False] if feedback == "paired" else [feedback != "binary" or i % 2 == 0]

    return [
        EncodedExample(
            f"row-{i}",
            f"prompt-{i}",
            tuple(
                EncodedCompletion(
                    ids(3 + i),
                    ids(2 + i + k),
                    good,
                    f"{i}.{k}",
                    score=float(k % 3) if feedback == "scored" else None,
                    sampler_logps=np.linspace(-6, -4, 2 + i + k, dtype=np.float32),
                )
                for k, good in enumerate(classes(i))
            ),
        )
        for i in range(count)
    ]


def gradient(
    root: Path,
    ranks: Ranks,
    loss: Loss,
    estimator: RefPointEstimator | None,
    *,
    count: int,
    budget: int,
) -> dict[str, torch.Tensor]:
    """Returns the gradient of a global batch, its loss, and the state of its reference point."""
    made = [copy.deepcopy(_scorer(root)) for _ in range(2)]
    policy = made[0].model
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.05)
    heads = make_heads(loss.heads(), policy, seed=1)
    made[0].add_heads(loss.heads(), heads, tokens="policy_logps" in loss.needed())
    objective = Objective(loss, ranks.wrap(made[0]), LiveReference(made[1]), ranks, budget, 64)
    examples = make_examples(loss.resolved_feedback(), count)
    plan = BatchPlan(count, count, seed=0, shuffled=False)
    batch = prepare(objective, estimator, examples, plan.batch(1), plan.rng(1, "pairs"), {})
    named = dict(policy.named_parameters()) | {f"h.{n}": p for n, p in heads.named_parameters()}
    found = backward(objective, batch, list(named.values()), stop=False, max_norm=None)
    gradients = {n: p.grad.clone() for n, p in named.items() if p.grad is not None}
    kept = found.estimate.state if found.estimate is not None else {}
    numbers = {"loss": found.loss} | {f"state.{name}": value for name, value in kept.items()}
    return gradients | {n: torch.tensor([v], dtype=torch.float64) for n, v in numbers.items()}


@functools.cache
def _scorer(root: Path) -> Any:
    model = ModelInput(str(root / "model"), None, "m")
    loaded = load_model(model, dtype=torch.float32, device="cpu")
    return make_scorer(loaded, compute_dtype=torch.float32, max_length=64, warn=print)


def train(
    root: Path,
    name: str,
    loss: Loss,
    rank: int,
    stop: StopFlag | None = None,
    update: ReferenceUpdate | None = None,
    learning_rate: float = 0.05,
    checkpoint_every: int = 200,
) -> None:
    """Runs a whole stage in ``FOLDER/name``."""
    folder = root / name
    folder.mkdir(exist_ok=True)
    rows = DataSet("train", loss.feedback, [root / f"train-{loss.feedback}.arrow"])
    model = ModelInput(str(root / "model"), None, "m")
    context = StageContext.for_folder(
        folder,
        id_=name,
        seed=1,
        models={"from": model, "reference": model},
        data={"data": rows, "evaluate.test": rows},
        cache=root / "cache",
        events=EventLog(folder / "events.jsonl") if rank == 0 else EventLog(),
        stop=stop,
        warn=print,
    )
    stage = Train(
        data="train",
        evaluate={"test": "train"},
        loss=loss,
        reference_point=MismatchedKL() if "reference_point" in loss.needs else None,
        reference_update=update,
        batch_size=5,
        steps=4,
        learning_rate=learning_rate,
        optimizer="sgd",
        log_every=2,
        checkpoint_every=checkpoint_every,
        micro_batch_tokens=60,
        device="cpu",
    )
    stage.run(context)


def all_gradients(root: Path, ranks: Ranks) -> dict[str, dict[str, torch.Tensor]]:
    """Returns the gradients of all losses, batch sizes and budgets."""
    return {
        f"{name}-{count}-{budget}": gradient(
            root, ranks, loss, estimator, count=count, budget=budget
        )
        for name, (loss, estimator) in LOSSES.items()
        for count in SIZES
        for budget in BUDGETS
    }


def train_refreshed(root: Path, ranks: Ranks) -> None:
    """Runs stages with a changing reference, one of them after a stop, and writes the reference."""
    references: list[RefreshedReference] = []
    before = RefreshedReference.before

    def noted(self: RefreshedReference, step: int) -> None:
        references.append(self)
        before(self, step)

    RefreshedReference.before = noted  # type: ignore[method-assign]
    try:
        for name, update in UPDATES.items():
            train(root, f"{name}-{ranks.world}", KTO(), ranks.rank, update=update)
            folder = root / f"{name}-{ranks.world}-reference-{ranks.rank}"
            folder.mkdir()
            weights = {name: w.contiguous() for name, w in references[-1].tensors.items()}
            save_file(weights, folder / "reference.safetensors")
    finally:
        RefreshedReference.before = before  # type: ignore[method-assign]
    if ranks.world > 1:
        with suppress(Interrupted):
            train(root, "ema-cut", KTO(), ranks.rank, StopOnLastRank(ranks.rank), UPDATES["ema"])
        train(root, "ema-cut", KTO(), ranks.rank, update=UPDATES["ema"])


def train_on_full_disk(root: Path, ranks: Ranks) -> None:
    """Runs a stage whose first checkpoint does not fit on the disk, and writes the message."""
    write = checkpoint_files.save_file

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    checkpoint_files.save_file = full
    try:
        train(root, "full", KTO(), ranks.rank, checkpoint_every=1)
    except HaloError as error:
        (root / f"full-{ranks.rank}.txt").write_text(f"{type(error).__name__}: {error}")
    finally:
        checkpoint_files.save_file = write


def write_holders(root: Path, ranks: Ranks, leave: Callable[[Ranks], None]) -> None:
    """Writes which C++ objects of a wrapped module hold the process group, before and after it."""
    wrapped = ranks.wrap(torch.nn.Linear(2, 2))

    def holders() -> list[str]:
        kinds = (torch.distributed.Reducer, torch.distributed.Logger)
        held = (value for value in vars(wrapped).values() if isinstance(value, kinds))
        return [type(value).__name__ for value in held]

    before = holders()
    leave(ranks)
    (root / f"holders-{ranks.rank}.json").write_text(json.dumps([sorted(before), holders()]))


def main(arguments: Sequence[str]) -> None:
    """Writes gradients, stages and the messages of errors to the folder."""
    root = Path(arguments[0])
    torch.set_num_threads(1)
    ranks = Ranks("cpu")
    leave = Ranks.leave
    Ranks.leave = lambda self: None  # type: ignore[method-assign]  # several stages share a group
    for name, found in all_gradients(root, ranks).items():
        save_file(found, root / f"gradient-{name}-{ranks.rank}.safetensors")
    train(root, "kto-2", KTO(), ranks.rank)
    for name, loss, stop, rate in (
        ("stopped", KTO(), StopOnLastRank(ranks.rank), 0.05),
        ("damaged", KTO(), StopOnLastRank(ranks.rank), 0.05),
        ("broken", Broken(), None, 0.05),
        ("diverged", KTO(), None, 1e9),
    ):
        with suppress(HaloError):
            try:
                train(root, name, loss, ranks.rank, stop, learning_rate=rate)
            except HaloError as error:
                (root / f"{name}-{ranks.rank}.txt").write_text(f"{type(error).__name__}: {error}")
                raise
    train(root, "stopped", KTO(), ranks.rank)
    if ranks.main:
        (file,) = root.glob("damaged/checkpoints/step-*/weights.safetensors")
        file.write_bytes(file.read_bytes()[:-1])
    train(root, "damaged", KTO(), ranks.rank)
    train_on_full_disk(root, ranks)
    train_refreshed(root, ranks)
    write_holders(root, ranks, leave)


if __name__ == "__main__":
    main(sys.argv[1:])
    # Without Python's own end, in which gloo's threads may still wait for Python, and then abort.
    os._exit(0)
