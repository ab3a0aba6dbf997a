"""Checks that authors of components run in their tests. The built-in components pass them too.

    from halo_core.testing import check_loss

    def test_my_loss_keeps_the_rules():
        check_loss(MyLoss(beta=0.1))

A broken rule raises an `AssertionError` that says what came and what was expected. Torch is
imported only when a loss is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from halo_core.testing.batches import loss_batch, paired_batch
from halo_core.testing.commands.rules import check_command
from halo_core.testing.component import check_component
from halo_core.testing.context import stage_context
from halo_core.testing.data.conversions import check_conversion
from halo_core.testing.data.given_rows import GivenRows
from halo_core.testing.data.rules import check_data_source
from halo_core.testing.judges.rules import check_judge, check_scoring_judge
from halo_core.testing.losses.loss_wrappers import check_loss_wrapper
from halo_core.testing.losses.rules import LOSS_CHECKS, check_loss
from halo_core.testing.points.reference_points import check_reference_point
from halo_core.testing.points.reference_updates import check_reference_update
from halo_core.testing.reports.rules import check_report
from halo_core.testing.rows import data_set
from halo_core.testing.runs import SpecRun, run_spec
from halo_core.testing.stages.kills import check_killed
from halo_core.testing.stages.rules import check_stage
from halo_core.testing.tiny_model import tiny_model
from halo_core.testing.tracker_server import TrackerServer
from halo_core.testing.trackers.rules import check_tracker

__all__ = [
    "LOSS_CHECKS",
    "GivenRows",
    "SpecRun",
    "TrackerServer",
    "check_command",
    "check_component",
    "check_conversion",
    "check_data_source",
    "check_judge",
    "check_killed",
    "check_loss",
    "check_loss_wrapper",
    "check_reference_point",
    "check_reference_update",
    "check_report",
    "check_scoring_judge",
    "check_stage",
    "check_tracker",
    "data_set",
    "loss_batch",
    "paired_batch",
    "run_spec",
    "stage_context",
    "tiny_model",
]

if not TYPE_CHECKING:  # A type checker would accept every name as one of this module.

    def __getattr__(name: str) -> object:
        if name in ("FAULTS", "ChatReply", "ChatServer", "planned_faults"):
            raise ImportError(
                f"{name} is now in halo_judge.testing, in the distribution halo-judge"
            )
        raise AttributeError(f"module 'halo_core.testing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
