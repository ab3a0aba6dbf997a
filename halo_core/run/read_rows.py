"""Reads the rows of a run's stages, and reports once which rows, columns and files are left out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from halo_core.display.board import Board
from halo_core.run.materialise import Rows, materialise_set, sides_of
from halo_core.run.plan import Plan, PlannedStage
from halo_core.run.unread import unread_lines
from halo_core.workspace.records import stage_done

RowsOfStages = dict[str, dict[str, list[Rows]]]
"""The rows of each stage, by its id and its option for data."""


class RunRows:
    """The rows of a run's stages.

    Args:
        plan: The plan of the run.
        board: Shows which set is being read.
        warn: Shows a warning.
        told: Rows whose drops have already been reported, and lines that have; it grows.
    """

    def __init__(
        self,
        plan: Plan,
        board: Board,
        *,
        warn: Callable[[str], None],
        told: set[tuple[str, Path]],
    ) -> None:
        self._plan = plan
        self._board = board
        self._warn = warn
        self._told = told

    @cached_property
    def _wanted(self) -> frozenset[str]:
        """The sides of hold-outs that stages will read. A finished stage may need no rows."""
        todo = (stage for stage in self._plan.stages if stage.state != "done")
        return sides_of(data for stage in todo for data in stage.spec.data.values())

    def are_there(self, stage: PlannedStage) -> bool:
        """Returns whether all stages that make feedback for a stage's data are done."""
        sources = map(self._plan.stage, stage.spec.feedback_from)
        return all(stage_done(source.folder) is not None for source in sources)

    def of(self, stage: PlannedStage) -> dict[str, list[Rows]]:
        """Returns the rows of a stage by option, and writes those that are not on disk yet.

        Raises:
            DataError: When a row does not match its feedback, or when no row is left.
            PluginError: When a third-party source raises.
        """
        rows = {}
        for option, data in stage.spec.data.items():
            with self._board.phase(f"reading {data.name}", unit="row") as bar:
                workspace = self._plan.workspace
                rows[option] = materialise_set(data, workspace, bar.advance, self._wanted)
            for source in rows[option]:
                self._tell_left_out(data.name, source)
        return rows

    def _tell_left_out(self, name: str, rows: Rows) -> None:
        """Reports once how a source is read, and which rows, columns and files are left out."""
        if rows.damage:
            self._warn(f"{name}: {rows.damage}; the rows of {rows.name} were read again")
        if (name, rows.file) in self._told:
            return
        self._told.add((name, rows.file))
        if rows.dropped:
            reasons = ", ".join(f"{n} {reason}" for reason, n in rows.dropped.items())
            self._board.say(f"  {name}: {rows.name}: {rows.count} rows, dropped {reasons}")
        for line in (*rows.read_as, *unread_lines(rows.ignored, rows.passed_over)):
            self._tell_unread(f"  {name}: {rows.name}: {line}")

    def _tell_unread(self, line: str) -> None:
        # A set has one file for each kind of feedback that stages need, with the same columns.
        if (line, Path()) not in self._told:
            self._told.add((line, Path()))
            self._board.say(line)

    def learned(self) -> RowsOfStages:
        """Returns the rows that models in the store learned from, if they are available."""
        return {
            stage.id: self.of(stage)
            for stage in self._plan.stages
            if stage.spec.learned
            and stage_done(stage.folder) is not None
            and self.are_there(stage)
            # Without a digest, halo cannot know whether rows on disk are still valid. They would be
            # read again, perhaps over the network, for a stage that no longer needs them.
            and all(
                source.info.digest for data in stage.spec.data.values() for source in data.sources
            )
        }
