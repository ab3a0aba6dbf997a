"""Registers the judges, the stage and the command that use them; imports nothing heavy."""

from __future__ import annotations

from halo_core.hooks import hookimpl
from halo_core.plugins.registrar import Registrar


@hookimpl
def halo_register(registry: Registrar) -> None:
    """Registers the components of this distribution."""
    registry.stage("judge", "halo_judge.components:JudgeStage")
    registry.stage("label", "halo_judge.label_stage:Label")
    registry.judge("gpt-4", "halo_judge.gpt4:GPT4")
    registry.judge("http", "halo_judge.http_judge:HttpJudge")
    registry.judge("longest", "halo_judge.components:Longest")
    registry.judge("python", "halo_judge.python_judge:PythonJudge")
    registry.judge("reward-model", "halo_judge.reward_model:RewardModel")
    registry.command(
        "judge",
        "halo_judge.judge_command:judge",
        help="Compare two files of outputs, or measure judges against people.",
    )
    registry.command(
        "label", "halo_judge.label_command:label", help="Make feedback by what a judge says."
    )
