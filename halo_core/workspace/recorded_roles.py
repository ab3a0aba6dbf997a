"""What the stages in a run's `run.json` did with their options, whatever these are called."""

from __future__ import annotations

from collections.abc import Mapping

from halo_core.workspace.records import RunStage

_BEFORE = {"from": "start", "against": "rival", "loss": "loss", "judge": "judge"}
"""Roles of the built-in stages' options, for records from before roles were recorded."""


def recorded_roles(stage: RunStage) -> Mapping[str, str]:
    """Returns option to role (``start``, ``rival``, ``loss``) of a recorded stage."""
    return stage.get("roles", _BEFORE)


def option_with(stage: RunStage, role: str) -> str:
    """Returns the option of a recorded stage that has a role; "" where it has none."""
    return next((option for option, its in recorded_roles(stage).items() if its == role), "")


def started_from(stage: RunStage) -> str:
    """Returns the id of the stage whose model a recorded stage started from, or "" for none."""
    return stage.get("models", {}).get(option_with(stage, "start"), "")


def taken_from(stage: RunStage) -> str:
    """Returns the id of the stage whose samples a recorded stage took, no rival's; "" for none."""
    roles = recorded_roles(stage)
    inputs = stage.get("inputs", {}).items()
    return next((id_ for option, id_ in inputs if roles.get(option) != "rival"), "")
