"""Whether the weights of a training are spread over its processes."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

GATHERED_BLOCKS = 3
"""Number of whole blocks that sharding holds at a time: one computes, the next one is gathered, and
the buffer of the last gathering is not free yet."""

Sharding = Literal["auto", "none", "full"]

FILLED = 0.8
"""Share of a device's memory that weights, gradients, optimiser state and the reference may take.
The rest is for activations."""


SPARED = 0.25
"""Share of the free memory that whole gradients may take while micro-batches are added up."""


@dataclass(frozen=True)
class Choice:
    """Whether weights are spread over the processes, and why.

    Attributes:
        full: Whether each process holds only a share of the weights.
        reason: The reason, for the log; empty if there was nothing to choose.
    """

    full: bool
    reason: str = ""


def choose(
    option: Sharding, *, processes: int, needed: int, device: int | None, refused: str = ""
) -> Choice:
    """Returns what the option `sharding` means for a training.

    Args:
        option: The option.
        processes: Number of processes.
        needed: Bytes of all weights, gradients, optimiser states and the reference, on one device.
        device: Bytes of a device; None for a CPU, whose processes share the host's memory.
        refused: An option of the training that sharded weights do not allow; empty if there is
            none.

    >>> choose("auto", processes=8, needed=14 * 10**9, device=80 * 10**9).reason
    'sharding: none, because 14.0 GB fit into 80 % of a device with 80.0 GB'
    >>> choose("auto", processes=8, needed=112 * 10**9, device=80 * 10**9).full
    True
    """
    if processes == 1:
        alone = "sharding: none, because there is one process; set processes to spread the weights"
        return Choice(False, alone if option == "full" else "")
    if option != "auto":
        return Choice(option == "full", f"sharding: {option}, as asked")
    if device is None:
        return Choice(
            False, "sharding: none, because processes on a CPU share its memory; ask for full"
        )
    fits = needed <= FILLED * device
    found = (
        f"{needed / 1e9:.1f} GB {'fit' if fits else 'do not fit'} into {100 * FILLED:.0f} % of a "
        f"device with {device / 1e9:.1f} GB"
    )
    if refused and not fits:
        return Choice(False, f"sharding: none, because full does not allow {refused}; {found}")
    return Choice(not fits, f"sharding: {'none' if fits else 'full'}, because {found}")


def accumulates(*, gradients: int, free: float) -> Choice:
    """Returns whether processes add up the gradients of micro-batches before they exchange them.

    Then each process holds the gradients of all weights, in float32. Otherwise it exchanges those
    of each micro-batch and keeps its rows, which takes longer. The forecast of a plan follows the
    same rule (`sizes.memory.exchange`).

    Args:
        gradients: Bytes of the gradients of all trained weights, in float32.
        free: Free bytes of the process with the fewest, with its share of the weights in place. If
            they are unknown, infinity; then the reason names none.

    >>> accumulates(gradients=30 * 10**9, free=60 * 10**9).reason
    'gradients are exchanged in every micro-batch: whole ones take 30.0 GB of 60.0 GB that are free'
    """
    fits = gradients <= SPARED * free
    when = "once per step" if fits else "in every micro-batch"
    of = "" if free == inf else f" of {free / 1e9:.1f} GB that are free"
    return Choice(
        fits, f"gradients are exchanged {when}: whole ones take {gradients / 1e9:.1f} GB{of}"
    )
