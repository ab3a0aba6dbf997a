"""Feedback that cannot be used by a later stage stops a run before its first stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Halo = Callable[..., Any]

PAIRS = [
    {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Red."},
    {"prompt": "Sky?", "chosen": "Red.", "rejected": "Blue."},
]
TIED = [{"prompt": "Sky?", "completions": ["Blue.", "Red."], "scores": [2, 2]}]
THUMBS = [{"prompt": f"{i}?", "completion": "Blue.", "label": i > 0} for i in range(3)]
MESSAGE = {"message_tree_id": "a", "lang": "en", "parent_id": None}
UNRANKED = [
    {**MESSAGE, "message_id": "a", "text": "Sky?", "role": "prompter"},
    {**MESSAGE, "message_id": "b", "text": "Blue.", "role": "assistant", "parent_id": "a"},
]


@pytest.mark.parametrize(
    ("rows", "source", "message"),
    [
        (PAIRS, "{use: paired-to-binary, source: ROWS}", "(4 dropped: conflicting labels)"),
        (TIED, "{use: scored-to-paired, source: ROWS}", "(1 dropped: all scores equal)"),
        (UNRANKED, "{use: oasst, path: PATH}", "(1 dropped: unranked)"),
        (
            THUMBS,
            "{use: keep-fraction, desirable: 0.1, source: ROWS}",
            "desirable: 0.1 of 2 desirable rows leaves none",
        ),
    ],
)
def test_unusable_feedback_of_the_last_stage_stops_before_the_first_one(
    halo: Halo, spec_file: Path, rows: list[dict[str, Any]], source: str, message: str
) -> None:
    path = spec_file.with_name("bad.jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = source.replace("ROWS", f"{{use: jsonl, path: {path}}}").replace("PATH", str(path))
    done = halo("run", str(spec_file), "--set", f"stages.answers.prompts={given}")
    assert done.code == 2
    assert message in done.err
    workspace = spec_file.parent / "workspace"
    assert not (workspace / "stages").exists()
    (events,) = workspace.glob("runs/*/events.jsonl")
    assert "stage-started" not in events.read_text()
