"""The planned work of a training, to tell its time from that of another training of a run."""

from __future__ import annotations

from halo_core.stage import Known, Work
from halo_trainer.sizes.speed import passes
from halo_trainer.train.memory_and_time import Workload, steps_of

DATA = "data"
"""The option with the rows to learn from."""


def training_work(workload: Workload, known: Known) -> Work | None:
    """Returns the bytes of rows that are learned from, times the passes of the models.

    All models of a run have the same size, so the size does not count.

    Args:
        workload: The work of the training.
        known: Known facts. Without the size of a row on disk, the work is unknown.
    """
    steps, size = steps_of(workload, known.learned), known.row_bytes.get(DATA)
    if steps is None or size is None:
        return None
    several = passes(
        reference=workload.reference,
        reference_point=workload.reference_point,
        checkpointing=workload.checkpointing,
    )
    return Work("train", steps * workload.batch_size * size * several)
