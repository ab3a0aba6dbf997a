"""Two processes over gloo give what one gives."""

from __future__ import annotations

RELATIVE = 1e-5

WORKER = """
import os, sys, traceback
from pathlib import Path

import torch

from halo_core.events import EventLog
from halo_core.progress import SilentProgress
from halo_core.rows import DataSet
from halo_core.stage import ModelInput, StageContext, StopFlag
from halo_core.errors import HaloError, NotFiniteError
from halo_core.loss import LossOutput
from halo_methods.components import DPO, KTO, SFT, MismatchedKL
from halo_trainer.train_stage import Train

torch.set_num_threads(1)
root, rank = Path(sys.argv[1]), int(os.environ.get("RANK", "0"))
model = ModelInput(str(root / "model"), None, "tiny")


class Broken(SFT):
    def __call__(self, batch):
        losses = torch.where(batch.lengths == batch.lengths.max(), torch.nan, -batch.policy_logps)
        return LossOutput(losses, torch.ones_like(losses))


class StopOnOneRank(StopFlag):
    left = 2

    def is_set(self):
        self.left -= 1
        return rank == 1 and self.left == 0


def run(loss, name, stop=None, **options):
    folder = root / f"{name}-{os.environ.get('WORLD_SIZE', '1')}"
    folder.mkdir(exist_ok=True)
    events = EventLog(folder / "events.jsonl") if rank == 0 else EventLog()
    rows = {
        option: DataSet(option, loss.feedback, [root / f"{option}-{loss.feedback}.arrow"])
        for option in ("data", "test")
    }
    context = StageContext(
        id=name, folder=folder, seed=1, models={"from": model, "reference": model}, inputs={},
        data={"data": rows["data"], "evaluate.test": rows["test"]}, cache=root / "cache",
        events=events, progress=SilentProgress(), stop=stop or StopFlag(), warn=print,
    )
    point = MismatchedKL() if "reference_point" in loss.needs else None
    defaults = dict(batch_size=5, steps=4, learning_rate=0.05, optimizer="sgd", log_every=2)
    stage = Train(data="d", evaluate={"test": "test"}, loss=loss, reference_point=point,
                  device="cpu", micro_batch_tokens=60, **defaults | options)
    leave = os.environ.pop("STAY", None)
    return stage.run(context)


import halo_trainer.distributed as distributed
distributed.Ranks.leave = lambda self: None  # several stages in one process
for loss, name in ((KTO(), "kto"), (DPO(), "dpo"), (SFT(), "sft")):
    run(loss, name)
if "WORLD_SIZE" in os.environ:
    for name in ("stopped", "stopped"):
        try:
            begun = (root / "stopped-2" / "checkpoints").exists()
            run(KTO(), name, stop=None if begun else StopOnOneRank())
        except HaloError as error:
            (root / f"stopped-{rank}.txt").write_text(str(error))
    try:
        run(Broken(), "broken")
    except NotFiniteError as error:
        (root / f"broken-{rank}.txt").write_text(str(error))
"""
