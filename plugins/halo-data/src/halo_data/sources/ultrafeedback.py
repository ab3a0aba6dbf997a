"""The data source `ultrafeedback`: GPT-4's ratings of several answers, as pairs or as groups."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.errors import DataError
from halo_core.option_markers import Location
from halo_core.workspace.json_files import objects
from halo_data.files.hub import commit_of, digest_of, hub_records
from halo_data.files.local import (
    check_first_rows,
    check_one_origin,
    content_digest,
    of_split,
    passed_over,
    split_files,
    with_train,
)
from halo_data.rows.dropped import (
    EMPTY_COMPLETION,
    EMPTY_PROMPT,
    EQUAL_SCORES,
    WITHOUT_WEIGHT,
    Dropped,
    Row,
    kept,
)
from halo_data.rows.forms import Record
from halo_data.rows.ignored import count_ignored
from halo_data.rows.messages import completion_of, prompt_messages
from halo_data.rows.pairs import pair
from halo_data.sources import published_sizes

HUBS: Mapping[str, str] = {
    "paired": "HuggingFaceH4/ultrafeedback_binarized",
    "scored": "openbmb/UltraFeedback",
}
HUB_SPLITS: Mapping[str, Mapping[str, str]] = {
    "paired": {"train": "train_prefs", "test": "test_prefs"},
    "scored": {"train": "train"},
}
"""The hub's splits by kind of feedback and halo's split."""
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "paired": ("prompt", "chosen", "rejected", "score_chosen", "score_rejected"),
    "scored": ("instruction", "completions"),
}
FURTHER_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "paired": ("prompt_id", "messages"),
    "scored": ("source", "models", "correct_answers", "incorrect_answers"),
}
"""Further columns of the data sets, which are not used here."""
NO_COMPLETIONS = Dropped("no completions")
UNSCORED = Dropped("completion without a score")
CHOSEN_SCORED_LOWER = Dropped("chosen scored lower")


class UltraFeedback(DataSource):
    """Answers of several models with the scores that GPT-4 gave them, as pairs or as groups."""

    citation = "Cui et al. 2023, UltraFeedback: Boosting Language Models with Scaled AI Feedback"

    path: Annotated[str, Location()] | None = Field(
        default=None,
        description="A .jsonl or .json file (also .gz), or a folder of <split>.jsonl files. "
        "Default: the hub.",
    )
    hub: str | None = Field(
        default=None,
        min_length=1,
        description="Id of the data set on the hub. Default: HuggingFaceH4/ultrafeedback_binarized "
        "for pairs and openbmb/UltraFeedback for groups.",
    )
    revision: str | None = Field(
        default=None, description="Branch, tag or commit on the hub. Default: the main branch."
    )
    feedback: Literal["paired", "scored"] = Field(
        default="paired",
        description="paired: the binarised form (prompt, chosen, rejected and their scores); "
        "scored: the original groups (instruction, completions with their scores).",
    )
    score: Literal["overall_score", "fine-grained_score"] = Field(
        default="overall_score", description="The score to read for each completion (scored)."
    )

    @model_validator(mode="after")
    def _all_have_effect(self) -> Self:
        check_one_origin(self.path, self.revision, self.hub, None)
        if self.feedback == "paired" and self.score != "overall_score":
            raise ValueError("score only has an effect with feedback: scored")
        return self

    def inspect(self) -> DataInfo:
        """Returns the kind, the splits and the hash of the files, or the commit on the hub."""
        rules = f"{self.feedback} {self.score}"
        if self.path is None:
            digest = digest_of(self._hub, commit_of(self._hub, self.revision), rules)
            return DataInfo(self.feedback, tuple(HUB_SPLITS[self.feedback]), digest)
        files = with_train(split_files(Path(self.path)))
        paths = sorted(set(files.values()))
        check_first_rows(paths, self._check)
        digest = content_digest(paths, rules)
        return DataInfo(self.feedback, tuple(files), digest, passed_over(Path(self.path), paths))

    def load(self, split: str) -> Loaded:
        """Returns the pairs or groups of a split, and drops and counts pairs of equal scores."""
        dropped: Counter[str] = Counter()
        ignored: Counter[str] = Counter()
        known = (*COLUMNS[self.feedback], *FURTHER_COLUMNS[self.feedback])
        records = count_ignored(self._records(split), known, ignored)
        return Loaded(kept(map(self._outcome, records), dropped), dropped, ignored)

    def about_rows(self, split: str) -> int | None:
        """Returns the published number of rows; None for local files or another hub id."""
        if self.path is not None or self.hub is not None:
            return None
        return published_sizes.ULTRAFEEDBACK[self.feedback].get(split)

    @property
    def _hub(self) -> str:
        return self.hub or HUBS[self.feedback]

    def _records(self, split: str) -> Iterator[Record]:
        if self.path is None:
            theirs = of_split(HUB_SPLITS[self.feedback], split, self._hub)
            return hub_records(self._hub, split=theirs, revision=self.revision)
        path = of_split(with_train(split_files(Path(self.path))), split, self.path)
        return (
            Record(f"{split}:{number}", f"{path}:{number}", given)
            for number, given in objects(path)
        )

    def _check(self, record: Record) -> None:
        if all(name in record.given for name in COLUMNS[self.feedback]):
            return
        other = next((f for f in COLUMNS if all(n in record.given for n in COLUMNS[f])), None)
        hint = (
            f"these are {other}: set feedback: {other}"
            if other
            else "other data are read by jsonl or hub"
        )
        raise DataError(
            f"got the columns {', '.join(record.given)}; expected "
            f"{', '.join(COLUMNS[self.feedback])}; {hint}",
            location=record.place,
        )

    def _outcome(self, record: Record) -> Row | Dropped:
        self._check(record)
        read: Callable[[Record], Row | Dropped] = (
            _pair if self.feedback == "paired" else self._scored_group
        )
        outcome = read(record)
        return outcome if isinstance(outcome, Dropped) else {"id": record.id, **outcome}

    def _scored_group(self, record: Record) -> Row | Dropped:
        return _group(record, self.score)


def _pair(record: Record) -> Row | Dropped:
    given = record.given
    prompt = prompt_messages(given["prompt"], "prompt", record.place)
    chosen, rejected = (
        completion_of(given[side], prompt, side, record.place) for side in ("chosen", "rejected")
    )
    high, low = _number(given["score_chosen"]), _number(given["score_rejected"])
    if high is None or low is None:
        return UNSCORED
    if high < low:
        return CHOSEN_SCORED_LOWER
    if isinstance(chosen, Dropped) or isinstance(rejected, Dropped):
        return WITHOUT_WEIGHT
    made = pair(prompt, chosen, rejected)
    return EQUAL_SCORES if high == low and not isinstance(made, Dropped) else made


def _group(record: Record, score: str) -> Row | Dropped:
    given = record.given
    prompt = prompt_messages(given["instruction"], "instruction", record.place)
    completions = given["completions"]
    if not isinstance(completions, list) or not all(
        isinstance(item, Mapping) and isinstance(item.get("response"), str) for item in completions
    ):
        raise DataError(
            "column 'completions' is not a list of {response: text, overall_score: number}",
            location=record.place,
        )
    if not prompt:
        return EMPTY_PROMPT
    if not completions:
        return NO_COMPLETIONS
    if any(not item["response"].strip() for item in completions):
        return EMPTY_COMPLETION
    scores = [_number(item.get(score)) for item in completions]
    if None in scores:
        return UNSCORED
    texts = [item["response"] for item in completions]
    return {"prompt": prompt, "completions": texts, "scores": scores}


def _number(value: Any) -> float | None:
    """Returns a score, or None if it is null or not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
