"""How one cell of a suite ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from halo_core.error_record import error_of, error_record, exit_code_of
from halo_core.errors import BusyError, HaloError, Interrupted
from halo_core.run_status import RunStatus
from halo_core.workspace.records import ErrorRecord

CellStatus = Literal["pending", "computed", "cached", "failed", "interrupted"]


@dataclass(frozen=True)
class CellOutcome:
    """How a cell ended.

    Attributes:
        id: The cell's.
        run: The run's name; None for a cell that was not begun.
        status: ``cached`` when nothing had to be computed.
        stages: What `halo run --json` says of each stage.
        error: Type, message and location of what went wrong.
        exit_code: That of a run that ended so.
    """

    id: str
    run: str | None = None
    status: CellStatus = "pending"
    stages: Sequence[Mapping[str, Any]] = field(default=())
    error: ErrorRecord | None = None
    exit_code: int = 0

    @property
    def headline(self) -> str:
        """The last stage's sentence."""
        told = [str(stage["headline"]) for stage in self.stages if stage["headline"]]
        return told[-1] if told else ""

    @property
    def is_elsewhere(self) -> bool:
        """Whether another process is running the cell, which will say how it ends."""
        return self.error is not None and self.error["type"] == BusyError.__name__

    @property
    def failed_stages(self) -> list[Path]:
        """Folders of the stages that failed."""
        return [Path(stage["folder"]) for stage in self.stages if stage["status"] == "failed"]

    def exception(self) -> HaloError:
        """Returns what went wrong as an error again."""
        assert self.error is not None
        return error_of(self.error, self.exit_code)

    def as_json(self) -> dict[str, Any]:
        """Returns what `halo run --json` prints of a cell."""
        return {
            "id": self.id,
            "run": self.run,
            "status": self.status,
            "stages": list(self.stages),
            "error": self.error,
        }


def ended(id_: str, status: RunStatus, error: BaseException | None) -> CellOutcome:
    """Returns the outcome of a cell whose run ended.

    Args:
        id_: The cell's.
        status: How far its run got.
        error: What ended it; None when it is done.
    """
    stages = status.as_json()["stages"]
    if error is None:
        all_cached = all(stage["status"] == "cached" for stage in stages)
        return CellOutcome(id_, status.name, "cached" if all_cached else "computed", stages)
    interrupted = isinstance(error, Interrupted | KeyboardInterrupt)
    return CellOutcome(
        id_,
        status.name,
        "interrupted" if interrupted else "failed",
        stages,
        error_record(error),
        exit_code_of(error),
    )
