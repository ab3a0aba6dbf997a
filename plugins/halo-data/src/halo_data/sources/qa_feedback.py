"""The data source `qa-feedback`: four answers to a question, which people compared in pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated

from pydantic import Field

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.option_markers import Location
from halo_core.workspace.json_files import objects
from halo_data.files.local import (
    check_first_rows,
    content_digest,
    of_split,
    passed_over,
    split_files,
    with_train,
)
from halo_data.rows.dropped import EMPTY_COMPLETION, Dropped, Row, kept
from halo_data.rows.forms import Record
from halo_data.rows.ignored import count_ignored

ANSWERS = tuple(f"prediction {number}" for number in range(1, 5))
PAIRS = tuple(combinations(range(4), 2))
"""The comparisons in the order of the file: 1 with 2, 1 with 3, ..., 3 with 4."""
COLUMNS = (*ANSWERS, "question", "passages", "preference", "feedback", "gold")
NO_ORDER = Dropped("comparisons without an order")


class QAFeedback(DataSource):
    """Groups of four answers to a question. The score is comparisons won minus comparisons lost.

    People compared every two answers or called them equal. If the comparisons of a group contradict
    each other, the group has no order and is dropped, because no scores agree with all comparisons.
    """

    citation = (
        "Wu et al. 2023, Fine-Grained Human Feedback Gives Better Rewards for Language Model "
        "Training"
    )

    path: Annotated[str, Location()] = Field(
        description="The file train_feedback.json or dev_feedback.json, or a folder of both."
    )
    passages: bool = Field(
        default=True,
        description="Whether to put the passages that the answers use before the question.",
    )

    def inspect(self) -> DataInfo:
        """Returns the kind, the splits and the hash of the files."""
        files = self._files()
        paths = sorted(set(files.values()))
        check_first_rows(paths, _check)
        digest = content_digest(paths, str(self.passages))
        return DataInfo("scored", tuple(files), digest, passed_over(Path(self.path), paths))

    def load(self, split: str) -> Loaded:
        """Returns the groups of a split, and drops and counts groups without an order."""
        path = of_split(self._files(), split, self.path)
        records = (Record(f"{split}:{n}", f"{path}:{n}", given) for n, given in objects(path))
        dropped: Counter[str] = Counter()
        ignored: Counter[str] = Counter()
        known = count_ignored(records, COLUMNS, ignored)
        return Loaded(kept(map(self._outcome, known), dropped), dropped, ignored)

    def _files(self) -> Mapping[str, Path]:
        files = split_files(Path(self.path))
        return with_train({name.removesuffix("_feedback"): file for name, file in files.items()})

    def _outcome(self, record: Record) -> Row | Dropped:
        _check(record)
        given = record.given
        answers = [given[name] for name in ANSWERS]
        if not all(answer.strip() for answer in answers):
            return EMPTY_COMPLETION
        scores = net_wins(given["preference"])
        if scores is None:
            return NO_ORDER
        shown = [_passage(passage) for passage in given["passages"]] if self.passages else []
        prompt = [{"role": "user", "content": "\n\n".join([*shown, given["question"]])}]
        return {"id": record.id, "prompt": prompt, "completions": answers, "scores": scores}


def net_wins(preferences: Sequence[int]) -> list[float] | None:
    """Returns the wins minus the losses of four answers; None if they contradict a comparison.

    Args:
        preferences: Verdict on each of `PAIRS`: 1 (first is better), 2 (second is better) or 0
            (equal).

    >>> net_wins([1, 1, 1, 0, 1, 1])
    [3.0, 0.0, 0.0, -3.0]
    """
    scores = [0.0] * 4
    for (first, second), preference in zip(PAIRS, preferences, strict=True):
        gain = {0: 0, 1: 1, 2: -1}[preference]
        scores[first] += gain
        scores[second] -= gain
    for (first, second), preference in zip(PAIRS, preferences, strict=True):
        difference = scores[first] - scores[second]
        if preference != (0 if not difference else 1 if difference > 0 else 2):
            return None
    return scores


def _passage(passage: Sequence[str]) -> str:
    title, *sentences = passage
    return f"{title}\n{' '.join(sentences)}"


def _check(record: Record) -> None:
    types: dict[str, type] = {"question": str, "passages": list, "preference": list}
    types |= dict.fromkeys(ANSWERS, str)
    for column, type_ in types.items():
        if not isinstance(record.given.get(column), type_):
            raise DataError(
                f"got the columns {', '.join(record.given)}; expected {', '.join(types)}, of which "
                f"{column!r} is missing or of another type. Other data are read by jsonl or hub",
                location=record.place,
            )
    preferences = record.given["preference"]
    if len(preferences) != len(PAIRS) or any(value not in (0, 1, 2) for value in preferences):
        raise DataError(
            f"preference is {preferences!r}; expected {len(PAIRS)} times 0, 1 or 2, for every two "
            "of the four answers",
            location=record.place,
        )
