"""Rows as real data have them: several answers to a prompt, tools, groups, long texts, no ids."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from halo_core.completion import Completion, scored_columns
from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.feedback import COLUMNS, OPTIONAL_COLUMNS, Feedback
from halo_core.testing.data.mixed_cases import Case, mixed_cases

SPLITS = ("train", "test")
LEFT_OUT = "left out by the wrapped source"
"""The reason of the rows that the wrapped source drops."""

DROPPED = 3
IGNORED = {"source_url": 4}
"""The counts of each split, which a conversion passes on."""

PASSED_OVER, READ_AS = ("notes.txt",), ("farm.csv: says <- said",)
"""The information of the source about its files, which a conversion passes on, too."""


class MixedRows(DataSource):
    """Rows of any kind of feedback, in all the forms that are valid.

    Two calls of `load` give the same objects, so that a test sees whether they were changed.
    """

    feedback: Feedback = Field(default="paired", description="The kind of the rows.")
    reasons: tuple[str, ...] = Field(default=(), description="More reasons of dropped rows.")

    def inspect(self) -> DataInfo:
        """Returns the kind, two splits, a digest, and what it says about its files."""
        return DataInfo(self.feedback, SPLITS, f"mixed-{self.feedback}", PASSED_OVER, READ_AS)

    def load(self, split: str) -> Loaded:
        """Returns the rows; three others are dropped for each reason, and a column is ignored.

        Raises:
            DataError: When there is no such split.
        """
        if split not in SPLITS:
            raise DataError(f"no split {split!r}; there are train and test")
        dropped = dict.fromkeys((LEFT_OUT, *self.reasons), DROPPED)
        return Loaded(iter(mixed_rows(self.feedback, split)), dropped, dict(IGNORED))


@functools.cache
def mixed_rows(feedback: Feedback, split: str) -> Sequence[dict[str, Any]]:
    """Returns the rows of a split, the same objects at each call.

    Args:
        feedback: The kind of feedback.
        split: The split, which is a part of each prompt, so that no prompt is in two of them.
    """
    columns = {*COLUMNS[feedback], *OPTIONAL_COLUMNS[feedback], "id", "group"}
    rows = []
    for number, case in enumerate(mixed_cases(split)):
        for made in _rows_of(feedback, case, number):
            rows.append({name: value for name, value in made.items() if name in columns})
    return rows


def _rows_of(feedback: Feedback, case: Case, number: int) -> Sequence[dict[str, Any]]:
    good, bad = _answer(case, "good"), _answer(case, "bad")
    group = [good, bad, *([_answer(case, "middle")] if "middle" in case else [])]
    scores = case.get("scores", [4.0 + number, 1.0, 2.5])
    if feedback == "binary":  # Both answers, each with an id of its own.
        named = [{"id": f"{case['id']}/{n}"} if "id" in case else {} for n in (1, 2)]
        only = case.get("only", "")
        worse = good if only == "both" else bad  # Some people do not agree on an answer.
        labelled = [
            {**case, **named[0], **good.columns("completion"), "desirable": True},
            {**case, **named[1], **worse.columns("completion"), "desirable": False},
        ]
        return labelled[:1] if only == "good" else labelled[1:] if only == "bad" else labelled
    columns: Mapping[Feedback, dict[str, Any]] = {
        "text": {"text": f"{case['prompt'][-1]['content']} {good.text}"},
        "prompts": {},
        "demonstration": good.columns("completion"),
        "paired": good.columns("chosen") | bad.columns("rejected"),
        "scored": {**scored_columns(group), "scores": scores[: len(group)]},
    }
    return [{**case, **columns[feedback]}]


def _answer(case: Case, name: str) -> Completion:
    return Completion(case[name], *case.get(f"{name}_beside", ()))


__all__ = ["MixedRows", "mixed_rows"]
