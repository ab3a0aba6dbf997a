"""Gives a stage rows in all their forms: other scripts, blanks, code, tools, several turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halo_core.feedback import Feedback
from halo_core.option_fields import fields_by_alias, marker_of
from halo_core.option_markers import Refers
from halo_core.rows import DataSet
from halo_core.stage import Stage, StageContext
from halo_core.testing.data.mixed_rows import mixed_rows
from halo_core.testing.rows import data_set

MOST_TESTED = 40
"""Number of rows whose prompts a stage answers, each of which may take it some time."""

TEXTS = (
    ("Wie heißt die Kuh, naïve Emma?", "Sie heißt Zoë: 牛 🐄, très bien.", "Ich weiß es nicht."),
    ("Show me the code of a cow.", "```python\nprint('moo')\n```", "No."),
    ("Say moo with blanks.", "  moo, and a blank at both ends \n", "moo"),
)
"""A question, a good and a bad answer: other scripts, code, blanks around a text."""


def mixed_data(folder: Path, stage: Stage, context: StageContext) -> Mapping[str, DataSet]:
    """Returns rows in all their forms for each option for data.

    The rows of a test have other prompts than those from which a stage learns.

    Args:
        folder: A folder for them.
        stage: The stage.
        context: The context with the rows of each option, whose kind matters.
    """
    return {
        option: _mixed(folder, option, each, role_of(stage, option))
        for option, each in context.data.items()
    }


def _mixed(folder: Path, option: str, data: DataSet, role: str | None) -> DataSet:
    rows: list[dict[str, Any]] = []
    for number, texts in enumerate(TEXTS):  # First, because a comparison may end after long rows.
        rows += _made(data.feedback, number, texts)
    if data.feedback == "scored":
        rows += _without_best()
    mixed = mixed_rows(data.feedback, "test" if role == "test" else "train")
    rows += [dict(row) for row in (mixed[:MOST_TESTED] if role == "test" else mixed)]
    return data_set(folder, data.feedback, rows, name=f"mixed-{option}")


def _made(feedback: Feedback, number: int, texts: tuple[str, str, str]) -> Sequence[dict[str, Any]]:
    question, good, bad = texts
    row = {"id": f"more-{number}", "prompt": [{"role": "user", "content": question}]}
    if feedback == "binary":
        return [
            {**row, "id": f"more-{number}/1", "completion": good, "desirable": True},
            {**row, "id": f"more-{number}/2", "completion": bad, "desirable": False},
        ]
    columns: Mapping[Feedback, dict[str, Any]] = {
        "text": {"text": good},
        "prompts": {},
        "demonstration": {"completion": good},
        "paired": {"chosen": good, "rejected": bad},
        "scored": {"completions": [good, bad], "scores": [2.0, 1.0]},
    }
    return [row | columns[feedback]]


def _without_best() -> Sequence[dict[str, Any]]:
    """Returns scored rows in which no completion is better than the others."""
    texts = {"equal": ["It says moo.", "It says boo.", "It says woo."], "single": ["It says moo."]}
    return [
        {
            "id": f"more-{name}",
            "prompt": [{"role": "user", "content": f"What does a cow say ({name})?"}],
            "completions": completions,
            "scores": [1.5] * len(completions),
        }
        for name, completions in texts.items()
    ]


def role_of(stage: Stage, option: str) -> str | None:
    """Returns what an option for rows is for: ``learn``, ``test``, or None.

    Args:
        stage: The stage.
        option: The name of the option.
    """
    info = fields_by_alias(type(stage)).get(option)
    refers = marker_of(info, Refers) if info is not None else None
    return refers.role if refers else None


__all__ = ["mixed_data", "role_of"]
