"""Keeps the verdicts of `halo judge`, which has no run, in the workspace as for a stage."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_core.judge import Comparison
from halo_core.progress import Progress
from halo_core.run.identity import component_identity, digest
from halo_core.stage import StageContext, StopFlag
from halo_core.workspace.files import write_json
from halo_core.workspace.layout import Workspace
from halo_core.workspace.lock import locked
from halo_core.workspace.records import VerdictLine
from halo_judge.command.named_judges import NamedJudge
from halo_judge.judge_stage.duels import Comparisons, Duel, Order, assign_orders
from halo_judge.judge_stage.judge_samples import judge_and_keep
from halo_judge.judge_stage.kept_lines import verdict_lines


@dataclass(frozen=True)
class JudgeWork:
    """The work of a judge.

    Attributes:
        judge: The judge.
        duels: The duels to judge.
        orders: The orders in which each duel is judged.
        about: Description of the duels for readers of the folder.
    """

    judge: NamedJudge
    duels: Sequence[Duel]
    orders: Sequence[Sequence[Order]]
    about: Mapping[str, Any]

    def folder(self, workspace: Workspace) -> Path:
        """Returns the folder of the verdicts, named by the judge, the texts and the orders."""
        key = digest(
            [
                component_identity(self.judge.resolved),
                [_content(duel) for duel in self.duels],
                [list(orders) for orders in self.orders],
            ]
        )
        name = self.judge.resolved.short_name.replace("/", "-")
        return workspace.root / "judgements" / f"{name}-{key}"

    def kept_comparisons(self, workspace: Workspace) -> int:
        """Returns the number of comparisons that have a kept verdict."""
        places = verdict_lines(self.folder(workspace), self.duels, self.orders).places()
        return sum(
            len(orders) for orders, place in zip(self.orders, places, strict=True) if place >= 0
        )

    def comparisons(self) -> Sequence[Comparison]:
        """Returns all comparisons that the judge sees."""
        return Comparisons(self.duels, self.orders)


def _content(duel: Duel) -> list[Any]:
    content = [duel.prompt_id, duel.prompt, duel.completion, duel.baseline]
    return [*content, *([duel.beside] if duel.beside else [])]


def plan_work(
    judge: NamedJudge, duels: Sequence[Duel], about: Mapping[str, Any], *, both: bool
) -> JudgeWork:
    """Returns the work of judging duels in both orders, or half of the duels in each order."""
    return JudgeWork(judge, duels, assign_orders(duels, both=both), about)


def judge_work(
    work: JudgeWork, workspace: Workspace, progress: Progress, stop: StopFlag
) -> Collection[VerdictLine]:
    """Returns the line of each duel, and judges the duels without a kept line.

    Raises:
        BusyError: When another process judges the same duels.
        PluginError: When the judge breaks its interface.
        Interrupted: When asked to stop. Verdicts are kept.
    """
    folder = work.folder(workspace)
    context = StageContext.for_folder(
        folder,
        id_=work.judge.resolved.short_name,
        cache=workspace.cache,
        progress=progress,
        stop=stop,
    )
    with locked(folder, "another halo judge works on the same; wait for it, or stop it"):
        write_json(folder / "about.json", {**work.about, "judge": work.judge.resolved.tree()})
        return judge_and_keep(work.judge.judge, context, work.duels, work.orders).lines
