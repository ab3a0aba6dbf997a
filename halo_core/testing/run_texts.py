"""Adds texts to a run that a page has to escape and encode, and events that are rare."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halo_core.component import Component
from halo_core.events import EventLog
from halo_core.feedback import Prompt, prompt_id
from halo_core.testing.made_runs import fail_and_resume
from halo_core.workspace.files import write_text
from halo_core.workspace.records import EVENTS, SAMPLES

TAG = "halo-moo"
"""Name of an element and of an attribute that only an unescaped text can put on a page."""

WORD = "Kuh\u00e9\u725b"
"""A word outside of ASCII and Latin-1."""

PLAIN = WORD[:3]
"""The part of `WORD` that each encoding has."""

TEXT = f'{WORD} </script><{TAG}>"\' {TAG}="1" <b> & more'
"""A text that ends a script, an element and an attribute if it is not escaped."""

CONTROLS = "\x1b[31mred\x1b[0m \x07"
"""The escapes of a terminal, and a letter that no XML may have."""

ROWS = (
    ("What does the cow say?", "Moo."),
    (TEXT, f"{TEXT} \x1b[31m \u202e"),
    ("", ""),
)
"""Prompts and completions of the samples. One of them has the escapes of a terminal."""

LONGEST_NAME = 60
"""Length up to which an option that is a text may be the name of a metric."""


def with_texts(run: Path, report: Component) -> None:
    """Adds stages with unusual texts and numbers to a run that is over, and rare events.

    The run failed at first and was resumed. There is a warning of the run itself, an event of an
    unknown type, a stage without metrics, one whose curves are constant, one whose metrics have the
    names that are options of the report, one with a negative metric and one whose name must be
    escaped, and one with samples.

    Args:
        run: The folder of the run, as from `halo_core.testing.made_runs.make_run`.
        report: The report.
    """
    file = run / EVENTS.name
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:-1]), "utf-8")
    log = EventLog(file)
    fail_and_resume(log, run.name, TEXT)
    log.append("warning", stage=None, message=f"a warning of the run: {TEXT}")
    log.append("type-of-a-later-version", thing=[TEXT])
    _stage(log, "silent", {}, [], headline=CONTROLS)
    constant = {"train/loss": 0.5, "rewards/margins": 0.5}
    _stage(log, "constant", constant, [constant] * 3)
    own = dict.fromkeys(_names(report), 0.75)
    _stage(log, "own", own, [dict.fromkeys(own, share) for share in (0.25, 0.5)])
    named = {TEXT: 0.5, "margin": -0.75}
    _stage(log, "named", named, [named])
    _samples(log, run)
    log.append("run-ended", status="done", headline=TEXT, error=None)


def _sample(asked: str, completion: str) -> dict[str, Any]:
    prompt: Prompt = [{"role": "user", "content": asked}]
    return {
        "v": 1,
        "prompt_id": prompt_id(prompt),
        "prompt": prompt,
        "completion": completion,
        "tokens": len(completion.split()),
        "target": TEXT,
        "finish": "stop",
    }


def _samples(log: EventLog, run: Path) -> None:
    """Adds a stage that makes samples, and its file in the workspace."""
    name = "stages/answers-0123456789abcdef"
    folder = run.parent.parent / name
    lines = [_sample(asked, completion) for asked, completion in ROWS]
    write_text(folder / SAMPLES.name, "".join(f"{json.dumps(line)}\n" for line in lines))
    stage = {"stage": "answers", "use": "sample", "folder": name}
    log.append("stage-started", **stage, resumed=False)
    log.append("samples", stage="answers", path=SAMPLES.name, count=len(lines))
    ended = {"product": "samples", "status": "computed", "headline": "sampled"}
    log.append("stage-ended", **stage, **ended, metrics={"samples": float(len(lines))})


def _names(report: Component) -> Sequence[str]:
    """Returns the texts in the options of a report, which may be names of metrics."""
    values = [getattr(report, name) for name in type(report).model_fields]
    return [v for v in values if isinstance(v, str) and 0 < len(v) <= LONGEST_NAME]


def _stage(
    log: EventLog,
    id_: str,
    metrics: dict[str, float],
    steps: Sequence[dict[str, float]],
    *,
    headline: str = TEXT,
) -> None:
    stage = {"stage": id_, "use": "train", "folder": f"stages/{id_}-0123456789abcdef"}
    log.append("stage-started", **stage, resumed=False)
    log.append("warning", stage=id_, message=f"a warning: {TEXT}")
    log.append("note", stage=id_, message=f"a note: {TEXT}")
    for number, each in enumerate(steps, start=1):
        log.append("metrics", stage=id_, step=number, metrics=each, examples=4 * number)
    ended = {"product": "model", "status": "computed", "headline": headline}
    log.append("stage-ended", **stage, **ended, metrics=metrics)


__all__ = ["PLAIN", "TAG", "TEXT", "WORD", "with_texts"]
