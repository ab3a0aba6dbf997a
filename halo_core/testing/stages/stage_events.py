"""Checks the events that a stage writes, and the files that it leaves in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from halo_core.events import Event, read_events
from halo_core.guarded.stage_calls import PROMISED
from halo_core.stage import Stage, StageContext, StageResult
from halo_core.testing.component import expect
from halo_core.testing.trackers.tracker_files import drafts_in
from halo_core.workspace.records import EVENTS

HALOS = ("run-started", "stage-started", "stage-ended", "report", "run-ended")
"""Events that halo itself writes about a run."""

COUNTED = ("samples", "verdicts", "feedback")
"""Events about a file of lines."""


def check_events_of(stage: Stage, context: StageContext, result: StageResult) -> None:
    """Checks the events and the headline of a finished stage.

    Args:
        stage: The stage.
        context: Its context.
        result: The result of the run.

    Raises:
        AssertionError: When an event is about another stage, is one of halo's own, names a file
            that does not exist, or counts its lines wrongly; or when the headline has several
            lines.
    """
    expect(
        "\n" not in result.headline and "\r" not in result.headline,
        stage,
        f"run() returned the headline {result.headline!r}; expected one line, for the summary",
    )
    file = context.folder / EVENTS.name
    events = [event for event, _ in read_events(file)] if file.is_file() else []
    for event in events:
        kind = event["type"]
        expect(
            kind not in HALOS,
            stage,
            f"run() writes an event {kind!r}, which halo itself writes; return the numbers and the "
            "headline in a StageResult",
        )
        about = event.get("stage", context.id)
        expect(
            about in (context.id, None),
            stage,
            f"run() writes an event {kind!r} of the stage {about!r}; expected stage=context.id, "
            f"which is {context.id!r} here",
        )
        if kind in COUNTED or kind == "checkpoint":
            path = context.folder / str(event["path"])
            expect(
                path.exists(),
                stage,
                f"run() writes an event {kind!r} with the path {event['path']!r}, which does not "
                "exist in its folder",
            )
    _check_counts(stage, context.folder, {e["type"]: e for e in events if e["type"] in COUNTED})


def _check_counts(stage: Stage, folder: Path, last: Mapping[str, Event]) -> None:
    """Checks the count of the last event of each type; earlier ones may be about a part."""
    event = last.get(stage.produces)
    promised = folder / PROMISED[stage.produces]
    if event is None or folder / str(event["path"]) != promised:
        return
    text = (folder / str(event["path"])).read_text("utf-8")
    lines = sum(1 for line in text.split("\n") if line)
    expect(
        event["count"] == lines,
        stage,
        f"run() writes an event {stage.produces!r} with the count {event['count']}, and "
        f"{event['path']} has {lines} lines",
    )


def check_no_drafts(stage: Stage, folder: Path) -> None:
    """Checks that no draft is left in the folder of a finished stage.

    Args:
        stage: The stage.
        folder: Its folder.

    Raises:
        AssertionError: When a name ends as those of drafts do (`DRAFTS`).
    """
    drafts = drafts_in(folder)
    expect(
        not drafts,
        stage,
        f"after run() and tidy(), the draft {', '.join(drafts)} is left in its folder; rename it "
        "(os.replace), or remove it in tidy()",
    )


__all__ = ["check_events_of", "check_no_drafts"]
