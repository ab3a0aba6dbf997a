"""The planned work of judging, to tell the time of a stage from that of one with the same judge."""

from __future__ import annotations

from halo_core.judge import Judge
from halo_core.stage import Known, Work
from halo_core.workspace.records import SAMPLES


def judging_work(judge: Judge, known: Known, *, both: bool = False) -> Work | None:
    """Returns the number of samples; None before they are made.

    Args:
        judge: The judge. Only stages with the same judge and options take the same time.
        known: Known facts.
        both: Whether each is judged in both orders.
    """
    folder = known.inputs.get("of")
    if folder is None:
        return None
    with (folder / SAMPLES.name).open("rb") as file:
        samples = sum(1 for _ in file)
    return Work(f"judge {judge.spec_name} {judge!r}", samples * (1 + both))
