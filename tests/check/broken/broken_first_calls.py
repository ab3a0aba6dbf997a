"""Updates that depend on the process in which they are called, or on their first call in it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from halo_core import ReferenceUpdate

LOG: list[Any] = []
FIRST: list[int] = []
ELSEWHERE = Path(tempfile.gettempdir()) / f"halo-broken-first-{os.getppid()}.txt"


class Even(ReferenceUpdate):
    """Mixes at every second step."""

    breaks: ClassVar[str] = ""
    share: float = Field(default=0.5, gt=0, le=1, description="The share.")

    def mix(self, step: int) -> float:
        return self.share * (step % 2)


class ReadsAVariable(Even):
    """An environment variable replaces the option."""

    breaks = "elsewhere"

    def mix(self, step: int) -> float:
        return float(os.environ.get("HALO_TEST_SHARE", self.share)) * (step % 2)


class LooksForAFile(Even):
    """A file of the current folder replaces the option."""

    breaks = "elsewhere"

    def mix(self, step: int) -> float:
        file = Path("share.txt")
        return float(file.read_text("utf-8")) if file.exists() else super().mix(step)


class OpensALog(Even):
    """Opens a file at its first call, and leaves it open."""

    breaks = "elsewhere"

    def mix(self, step: int) -> float:
        if not LOG:
            LOG.append(ELSEWHERE.open("a", encoding="utf-8"))
        return super().mix(step)


class KeepsATable(Even):
    """Its class keeps the shares of the first one of all updates, whatever their options are."""

    breaks = "elsewhere"
    shares: ClassVar[dict[int, float]] = {}

    def mix(self, step: int) -> float:
        return self.shares.setdefault(step % 2, super().mix(step))


class KeepsTheFirst(Even):
    """The first step that it is asked for decides."""

    breaks = "elsewhere"

    def mix(self, step: int) -> float:
        if not FIRST:
            FIRST.append(step)
        return self.share if step == FIRST[0] else 0.0
