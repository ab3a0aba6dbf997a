"""The program of the ranks of `test_sharded_ranks.py`, with `fully_shard` itself and no wrapper.

Run by a launcher as ``sharded_ranks.py FOLDER`` with the model already in the folder.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch.distributed.fsdp import FSDPModule

from halo_core.errors import HaloError
from halo_core.events import EventLog
from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_core.reference_point import RefPointEstimator
from halo_core.rows import DataSet
from halo_core.stage import ModelInput, StageContext
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
)
from halo_models.load import load_model
from halo_models.load_shards import load_model_shards
from halo_models.shards import is_sharded, local, whole
from halo_trainer.batch.batch_plan import BatchPlan
from halo_trainer.encode.examples import EncodedCompletion, EncodedExample
from halo_trainer.model.heads import make_heads
from halo_trainer.model.lora_options import LoraOptions
from halo_trainer.model.probe import make_scorer
from halo_trainer.sharding.shard import blocks_of, shard
from halo_trainer.train import export_shards, setup
from halo_trainer.train.objective import Objective
from halo_trainer.train.optimizers import Named
from halo_trainer.train.options import Train
from halo_trainer.train.prepare import prepare
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.reference.scores import LiveReference
from halo_trainer.train.step import backward

sys.path.insert(0, str(Path(__file__).parent))
from peak_bytes import PeakBytes

LOSSES: Mapping[str, tuple[Loss, RefPointEstimator | None]] = {
    "kto": (KTO(), MismatchedKL()),
    "matched-kl": (KTO(), MatchedKL()),
    "running-mean": (KTO(), RunningMean()),
    "dpo": (DPO(), None),
    "sft": (SFT(), None),
    "ppo": (PPO(advantage="gae", whiten=True), None),
    "bradley-terry": (BradleyTerry(), None),
    "grpo": (GRPO(), None),
    "grpo-tokens": (GRPO(aggregate="token", ratio_level="sequence"), None),
    "nca": (NCA(beta=0.1), None),
    "humanline": (Humanline(loss=KTO(), log_epsilon_p=-0.1, log_epsilon_r=0.1), MismatchedKL()),
}
SPLITS = ((5, 1000, True), (5, 12, True), (5, 12, False), (1, 1000, True))
"""Number of examples, tokens of a micro-batch, and whether gradients accumulate.

The examples are unevenly distributed, or fewer than ranks.
"""


FOUR = ("kto", "ppo", "bradley-terry")
"""Losses on four ranks."""
FEW = ((5, 12, True), (1, 1000, True))
"""Splits on four ranks: with several micro-batches, and with ranks that have no example."""


def make_examples(feedback: Feedback, count: int) -> list[EncodedExample]:
    """Returns examples of random tokens."""
    rng = np.random.Generator(np.random.PCG64(7))

    def ids(size: int) -> Any:
        return rng.integers(0, 200, size).astype(np.int32)

    def classes(i: int) -> list[bool]:
        if feedback == "scored":
            return [True] * (2 + i % 3)  # groups of different sizes
        return [True, False] if feedback == "paired" else [feedback != "binary" or i % 2 == 0]

    def completion(i: int, k: int, good: bool) -> EncodedCompletion:
        made = EncodedCompletion(ids(3 + i), ids(2 + i + k), good, f"{i}.{k}")
        if feedback != "scored":
            return made
        # About as probable as the models draw tokens, so that some ratios are in the clip.
        logps = (-5.5 + 0.2 * rng.standard_normal(len(made.completion_ids))).astype(np.float32)
        return replace(made, prompt_ids=prompts[i], score=float(rng.random()), sampler_logps=logps)

    # The completions of a group share their prompt.
    prompts = [ids(3 + i) for i in range(count)] if feedback == "scored" else []
    return [
        EncodedExample(
            f"row-{i}",
            f"prompt-{i}",
            tuple(completion(i, k, good) for k, good in enumerate(classes(i))),
        )
        for i in range(count)
    ]


@functools.cache
def _scorer(root: Path) -> Any:
    model = ModelInput(str(root / "model"), None, "m")
    loaded = load_model(model, dtype=torch.float32, device="cpu")
    return make_scorer(loaded, compute_dtype=torch.float32, max_length=64, warn=print)


def gradient(
    root: Path,
    ranks: Ranks,
    loss: Loss,
    estimator: RefPointEstimator | None,
    *,
    count: int,
    budget: int,
    accumulates: bool,
) -> dict[str, torch.Tensor]:
    """Returns the gradient of a global batch, its norm and its loss, with whole tensors."""
    policy, reference = (copy.deepcopy(_scorer(root)) for _ in range(2))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.05)
    heads = make_heads(loss.heads(), policy.model, seed=1)
    policy.add_heads(loss.heads(), heads, tokens="policy_logps" in loss.needed())
    if ranks.world > 1:
        for scorer in (policy, reference):
            shard(scorer)
            spread = [scorer, *blocks_of(scorer.model), *scorer.heads.values()]
            assert all(isinstance(module, FSDPModule) for module in spread)
            assert len(spread) >= 3
    objective = Objective(
        *(loss, ranks.wrap(policy), LiveReference(reference), ranks, budget, 64),
        accumulates=accumulates,
    )
    assert objective.policy is policy
    examples = make_examples(loss.resolved_feedback(), count)
    plan = BatchPlan(count, count, seed=0, shuffled=False)
    batch = prepare(objective, estimator, examples, plan.batch(1), plan.rng(1, "pairs"), {})
    named = dict(policy.named_parameters())
    found = backward(objective, batch, list(named.values()), stop=False, max_norm=None)
    gradients = {n: whole(p.grad).clone() for n, p in named.items() if p.grad is not None}
    return gradients | {
        "loss": torch.tensor([found.loss], dtype=torch.float64),
        "norm": torch.tensor([found.norm], dtype=torch.float64),
    }


def all_gradients(root: Path, ranks: Ranks) -> dict[str, dict[str, torch.Tensor]]:
    """Returns the gradients of all losses, batch sizes and budgets; of fewer on four ranks."""
    found = {}
    for name, (loss, estimator) in LOSSES.items():
        for count, budget, accumulates in SPLITS:
            if ranks.world == 4 and (name not in FOUR or (count, budget, accumulates) not in FEW):
                continue
            found[f"{name}-{count}-{budget}-{accumulates}"] = gradient(
                *(root, ranks, loss, estimator),
                count=count,
                budget=budget,
                accumulates=accumulates,
            )
    return found


def loading_faults(folder: Path) -> list[str]:
    """Returns how a sharded model differs from the same one that was loaded whole."""
    source, device = ModelInput(str(folder), None, "m"), torch.device("cpu")
    one = load_model(source, dtype=torch.float32, device=device)
    mine = load_model_shards(source, dtype=torch.float32, device=device)
    expected, found = one.state_dict(), mine.state_dict()
    faults = [] if expected.keys() == found.keys() else ["other names"]
    faults += [name for name in expected if not torch.equal(expected[name], whole(found[name]))]
    constants = dict(mine.named_buffers())
    faults += [name for name, b in one.named_buffers() if not torch.equal(b, constants[name])]
    faults += [name for name, p in mine.named_parameters() if not is_sharded(p)]
    share = sum(local(p).numel() for p in mine.parameters())
    if share > 0.55 * sum(p.numel() for p in one.parameters()):
        faults.append(f"{share:,} numbers on this rank")
    same = one.config.to_dict() == mine.config.to_dict()
    if not same or one.generation_config != mine.generation_config:
        faults.append("another configuration")
    return faults


class Broken(Loss):
    """Not a number for completions of seven or more tokens."""

    feedback: ClassVar[Feedback] = "demonstration"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns losses. Some of them are not numbers."""
        losses = torch.where(batch.lengths >= 7, torch.nan, -batch.policy_logps)
        return LossOutput(losses, torch.ones_like(losses))


STAGES: Mapping[str, dict[str, Any]] = {
    "kto": {"loss": KTO(), "reference_point": MismatchedKL(), "gradient_checkpointing": True},
    "dpo": {"loss": DPO(), "precision": "bfloat16", "learning_rate": 1e-30},
    "reward": {"loss": BradleyTerry()},
    "critic": {"loss": PPO(advantage="gae")},
    "copy": {"loss": KTO(), "reference_point": MatchedKL(), "reference_update": Copy(every=2)},
    "ema": {"loss": KTO(), "reference_point": MatchedKL(), "reference_update": EMA(decay=0.5)},
    "adapter": {
        "loss": KTO(),
        "reference_point": MatchedKL(),
        "reference_update": Copy(every=2),
        "lora": LoraOptions(rank=2, train_tokens=["W", "le"]),
    },
    "adapted-head": {"loss": SFT(), "lora": LoraOptions(rank=2, targets=["q_proj", "lm_head"])},
}
"""Options of stages by name. The stage `dpo` learns nothing."""


def run_stage(root: Path, name: str, ranks: Ranks, **options: Any) -> None:
    """Runs a whole stage in ``FOLDER/name-PROCESSES``, sharded if there are several processes."""
    folder = root / f"{name}-{ranks.world}"
    folder.mkdir(exist_ok=True)
    loss = options["loss"]
    reads = loss.resolved_feedback()
    rows = DataSet("train", reads, [root / f"train-{reads}.arrow"])
    model = ModelInput(str(root / ("deep-model" if name == "deep" else "model")), None, "m")
    context = StageContext.for_folder(
        folder,
        id_=name,
        seed=1,
        models={"from": model, "reference": model},
        data={"data": rows} | ({} if options.get("evaluate") == {} else {"evaluate.test": rows}),
        cache=root / "cache",
        events=EventLog(folder / "events.jsonl") if ranks.main else EventLog(),
        warn=print,
    )
    options = {"learning_rate": 0.05, "optimizer": "sgd", "sharding": "full"} | options
    defaults = {"evaluate": {"test": "train"}, "batch_size": 5, "steps": 4, "log_every": 1}
    options = defaults | {"micro_batch_tokens": 60, "device": "cpu"} | options
    Train(data="train", **options).run(context)


def run_stages(root: Path, ranks: Ranks) -> None:
    """Runs all stages, and writes the message of the one that fails."""
    for name, options in STAGES.items():
        run_stage(root, name, ranks, **options)
    try:
        run_stage(root, "broken", ranks, loss=Broken())
    except HaloError as error:
        (root / f"broken-{ranks.world}-{ranks.rank}.txt").write_text(f"{error}")


def measured_bytes(root: Path, ranks: Ranks) -> dict[str, float]:
    """Returns the most bytes of tensors on this rank in a training, and the rank's share.

    The share has weights, gradients and two states of AdamW of the policy, and the weights of the
    reference, all in float32. A step has several micro-batches, whose gradients are exchanged.
    """
    share = {"bytes": 0.0}

    def noted(parameters: Named, context: StageContext, ranks: Ranks) -> bool:
        share["bytes"] = sum(4.0 * local(p).numel() * (4 + 1) for _, p in parameters)
        return False

    known = setup.choose_exchange, export_shards.FILE_BYTES
    setup.choose_exchange, export_shards.FILE_BYTES = noted, 1
    with PeakBytes(step=100_000) as watched:
        run_stage(
            *(root, "deep", ranks),
            loss=DPO(),
            optimizer="AdamW",
            learning_rate=1e-4,
            gradient_checkpointing=True,
            evaluate={},
            steps=2,
            batch_size=3,
            micro_batch_tokens=40,
        )
    setup.choose_exchange, export_shards.FILE_BYTES = known
    return {"most": float(watched.most), "share": share["bytes"]}


def main(arguments: Sequence[str]) -> None:
    """Writes gradients, faults of loading and stages to the folder."""
    root = Path(arguments[0])
    torch.set_num_threads(1)
    ranks = Ranks("cpu")
    Ranks.leave = lambda self: None  # type: ignore[method-assign]  # several stages share a group
    for name, found in all_gradients(root, ranks).items():
        save_file(found, root / f"gradient-{ranks.world}-{name}-{ranks.rank}.safetensors")
    if ranks.world == 4:
        return
    (root / f"memory-{ranks.rank}.json").write_text(json.dumps(measured_bytes(root, ranks)))
    faults = {folder.name: loading_faults(folder) for folder in sorted(root.glob("models/*"))}
    (root / f"loading-{ranks.rank}.json").write_text(json.dumps(faults))
    run_stages(root, ranks)


if __name__ == "__main__":
    main(sys.argv[1:])
    # Without Python's own end, in which gloo's threads may still wait for Python, and then abort.
    os._exit(0)
