"""Roles of the options of the stages in `run.json`, whatever the options are called."""

from __future__ import annotations

from collections.abc import Mapping

from halo_core.workspace.records import RunStage

_BEFORE = {"from": "start", "against": "rival", "loss": "loss", "judge": "judge"}
"""Roles of the built-in stages' options, for older records without roles."""


def recorded_roles(stage: RunStage) -> Mapping[str, str]:
    """Returns the role (``start``, ``rival``, ``loss``) of each option of a recorded stage."""
    return stage.get("roles", _BEFORE)


def option_with(stage: RunStage, role: str) -> str:
    """Returns the option of a recorded stage that has this role; "" if there is none."""
    return next((option for option, its in recorded_roles(stage).items() if its == role), "")


def started_from(stage: RunStage) -> str:
    """Returns the id of the stage whose model a recorded stage started from, or "" for none."""
    return stage.get("models", {}).get(option_with(stage, "start"), "")


def taken_from(stage: RunStage) -> str:
    """Returns the id of the stage whose samples, not a rival's, a stage used; "" for none."""
    roles = recorded_roles(stage)
    inputs = stage.get("inputs", {}).items()
    return next((id_ for option, id_ in inputs if roles.get(option) != "rival"), "")
