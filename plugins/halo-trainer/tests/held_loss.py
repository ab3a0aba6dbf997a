"""Losses that wait in the middle of a training, so that a test can do something meanwhile.

A test copies this file next to its spec, and writes a number into the file `hold` there. After that
number of calls, the loss waits in each process until the file is gone or the process gets a signal.
Rank 1 writes its id into the file `process-of-1`, and raises an error if there is a file `raise`.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import FrameType

from halo_core.loss import LossBatch, LossOutput
from halo_methods.components import DPO, SFT

CALLS = [0]
SIGNALS: list[int] = []
"""Signals that this process got since its first call."""


def wait() -> None:
    """Waits if a test wants it."""
    if os.environ.get("RANK") == "1":
        written = Path(__file__).with_name("process-of-1")
        if not written.exists():
            written.write_text(str(os.getpid()), encoding="utf-8")
        if Path(__file__).with_name("raise").exists():
            raise RuntimeError("rank 1 alone")
    if not CALLS[0]:
        for number in (signal.SIGINT, signal.SIGTERM):
            note(number)
    CALLS[0] += 1
    while CALLS[0] > calls_until_hold() and not SIGNALS:
        time.sleep(0.02)


def note(number: int) -> None:
    """Notes a signal when it comes, before the trainer handles it."""
    handles = signal.getsignal(number)
    assert callable(handles)

    def noted(number: int, frame: FrameType | None) -> None:
        SIGNALS.append(number)
        handles(number, frame)

    signal.signal(number, noted)


def calls_until_hold() -> float:
    """Returns the number in the file `hold`."""
    try:
        return int(Path(__file__).with_name("hold").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return float("inf")


class HeldSFT(SFT):
    """Is `sft`, and may wait."""

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per demonstration."""
        wait()
        return super().__call__(batch)


class HeldDPO(DPO):
    """Is `dpo`, and may wait."""

    def __call__(self, batch: LossBatch) -> LossOutput:
        """Returns one loss per pair."""
        wait()
        return super().__call__(batch)
