"""Registers the judges, the stage and the command that use them; imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halo_core.hooks import hookimpl
from halo_core.plugins.registrar import Registrar

if TYPE_CHECKING:
    from pathlib import Path

    from halo_core.cache_entry import CacheEntry


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the components of this distribution."""
    registry.stage("judge", "halo_judge.judge_stage.options:JudgeStage")
    registry.stage("label", "halo_judge.label_stage.options:Label")
    registry.judge("gpt-4", "halo_judge.judges.chat.options:GPT4")
    registry.judge("http", "halo_judge.judges.http.options:HttpJudge")
    registry.judge("longest", "halo_judge.judges.longest:Longest")
    registry.judge("python", "halo_judge.judges.python:PythonJudge")
    registry.judge("reward-model", "halo_judge.judges.reward_model.options:RewardModel")
    registry.command(
        "judge",
        "halo_judge.command.judge_command:judge",
        help="Compare two files of outputs, or measure judges against people.",
    )
    registry.command(
        "label",
        "halo_judge.command.label_command:label",
        help="Create feedback with a judge.",
    )


@hookimpl
def halo_caches(cache: Path) -> list[CacheEntry]:
    """Returns the file of paid replies."""
    from halo_judge.judge_stage.ask import paid_replies

    return paid_replies(cache)
