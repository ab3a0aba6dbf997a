"""Adds texts to a run that a page has to escape and encode, and events that are rare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from halo_core.component import Component
from halo_core.events import EventLog
from halo_core.workspace.records import EVENTS

TAG = "halo-moo"
"""Name of an element and of an attribute that only an unescaped text can put on a page."""

WORD = "Kuh\u00e9\u725b"
"""A word outside of ASCII and Latin-1."""

PLAIN = WORD[:3]
"""The part of `WORD` that each encoding has."""

TEXT = f'{WORD} </script><{TAG}>"\' {TAG}="1" <b> & more'
"""A text that ends a script, an element and an attribute if it is not escaped."""

LONGEST_NAME = 60
"""Length up to which an option that is a text may be the name of a metric."""


def with_texts(run: Path, report: Component) -> None:
    """Adds stages with unusual texts and numbers to a run that is over, and rare events.

    There is a warning of the run itself, an event of an unknown type, a stage without metrics, one
    whose curves are constant, and one whose metrics have the names that are options of the report.

    Args:
        run: The folder of the run, as from `halo_core.testing.made_runs.make_run`.
        report: The report.
    """
    file = run / EVENTS.name
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:-1]), "utf-8")
    log = EventLog(file)
    log.append("warning", stage=None, message=f"a warning of the run: {TEXT}")
    log.append("type-of-a-later-version", thing=[TEXT])
    _stage(log, "silent", {}, [])
    constant = {"train/loss": 0.5, "rewards/margins": 0.5}
    _stage(log, "constant", constant, [constant] * 3)
    own = dict.fromkeys(_names(report), 0.75)
    _stage(log, "own", own, [dict.fromkeys(own, share) for share in (0.25, 0.5)])
    log.append("run-ended", status="done", headline=TEXT, error=None)


def _names(report: Component) -> Sequence[str]:
    """Returns the texts in the options of a report, which may be names of metrics."""
    values = [getattr(report, name) for name in type(report).model_fields]
    return [v for v in values if isinstance(v, str) and 0 < len(v) <= LONGEST_NAME]


def _stage(
    log: EventLog, id_: str, metrics: dict[str, float], steps: Sequence[dict[str, float]]
) -> None:
    stage = {"stage": id_, "use": "train", "folder": f"stages/{id_}-0123456789abcdef"}
    log.append("stage-started", **stage, resumed=False)
    log.append("warning", stage=id_, message=f"a warning: {TEXT}")
    log.append("note", stage=id_, message=f"a note: {TEXT}")
    for number, each in enumerate(steps, start=1):
        log.append("metrics", stage=id_, step=number, metrics=each, examples=4 * number)
    ended = {"product": "model", "status": "computed", "headline": TEXT}
    log.append("stage-ended", **stage, **ended, metrics=metrics)


__all__ = ["PLAIN", "TAG", "TEXT", "WORD", "with_texts"]
