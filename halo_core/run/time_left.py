"""The time that later stages of a run need, from their planned work and from measured speed.

A stage says how much work it has, and of which kind. When a stage of that kind has run, or has run
long enough to tell its time, the others of its kind are known too. The rest is unknown, which the
display says.
"""

from __future__ import annotations

from halo_core.display.view import Later
from halo_core.errors import HaloError
from halo_core.guarded.stage_calls import work_of
from halo_core.run.forecast import known_of
from halo_core.run.plan import Plan, PlannedStage
from halo_core.stage import Work
from halo_core.workspace.records import stage_done


class TimeLeft:
    """Measures the stages of a run, and tells the time of those that are still to come.

    Args:
        plan: The plan of the run.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._pace: dict[str, float] = {}
        self._current: Work | None = None
        self._to_come: list[Work | None] = []

    def begin(self, stage: PlannedStage) -> None:
        """Takes note that a stage begins, and asks the later ones for their work."""
        stages = self._plan.stages
        later = [s for s in stages[stages.index(stage) + 1 :] if stage_done(s.folder) is None]
        self._current = self._work(stage)
        self._to_come = [self._work(each) for each in later]

    def end(self, seconds: float) -> None:
        """Takes note of how long the current stage took."""
        if self._current is not None and self._current.amount > 0:
            self._pace[self._current.kind] = seconds / self._current.amount

    def later(self, seconds: float | None) -> Later:
        """Returns the time of the stages after the current one.

        Args:
            seconds: Total seconds of the current one; None if they are not known.
        """
        pace, current = dict(self._pace), self._current
        if seconds is not None and current is not None and current.amount > 0:
            pace[current.kind] = seconds / current.amount
        known = [
            pace[work.kind] * work.amount
            for work in self._to_come
            if work is not None and work.kind in pace
        ]
        return Later(sum(known), len(self._to_come) - len(known))

    def _work(self, stage: PlannedStage) -> Work | None:
        try:
            return work_of(stage.spec.component, known_of(self._plan, stage, None))
        except HaloError:
            return None  # The time is unknown then, which the display says. The run needs no time.
