"""Removes outputs from the store, so that they are computed again."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from halo_core.errors import UserError
from halo_core.plan import Plan


def forget(plan: Plan, again: Sequence[str]) -> None:
    """Removes the output of stages to be computed again and of those that depend on them.

    Raises:
        UserError: When a stage is not in the plan.
    """
    forget_all([plan], again)


def forget_all(plans: Iterable[Plan], again: Sequence[str]) -> None:
    """Removes the same from several plans; each has to have some of the stages, not all.

    Raises:
        UserError: When a stage is in none of the plans.
    """
    plans = list(plans)
    known = dict.fromkeys(stage.id for plan in plans for stage in plan.stages)
    for id_ in again:
        if id_ not in known:
            raise UserError(f"--again {id_}: no such stage; stages: {', '.join(known)}")
    for folder in {folder for plan in plans for folder in _folders(plan, again)}:
        shutil.rmtree(folder, ignore_errors=True)


def _folders(plan: Plan, again: Sequence[str]) -> list[Path]:
    forgotten = set(again)
    folders = []
    for stage in plan.stages:
        spec = stage.spec
        sources = {*spec.models.values(), *spec.inputs.values(), *spec.feedback_from}
        if stage.id in forgotten or sources & forgotten:
            forgotten.add(stage.id)
            folders.append(stage.folder)
    return folders
