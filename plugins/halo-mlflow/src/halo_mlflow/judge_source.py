"""Who judged: what MLflow shows as the source of a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_core.workspace.records import STAGE


@dataclass(frozen=True)
class JudgeSource:
    """A judge.

    Attributes:
        name: The component's name.
        model: The model that it asks; "" where it has none.
        paid: Whether it is paid by request, as the stage's final numbers say.
    """

    name: str
    model: str = ""
    paid: bool = False

    @property
    def id(self) -> str:
        """What MLflow calls the source: the model of a paid judge, else the judge."""
        return self.model if self.paid and self.model else self.name


def read_judge(stage: Path, metrics: Mapping[str, Any]) -> JudgeSource:
    """Returns the judge of a stage; named by the stage's folder where nothing is recorded.

    Args:
        stage: The stage's folder, whose `stage.json` has the judge with its options.
        metrics: The stage's final numbers; those of a paid judge have `calls`.
    """
    record = STAGE.read(stage)
    components = record.get("components", []) if record else []
    judge = next((each for each in components if each["kind"] == "judge"), None)
    name, options = (judge["name"], judge["options"]) if judge else (stage.name, {})
    return JudgeSource(name, str(options.get("model") or ""), "calls" in metrics)
