"""Compares what models learn from with what they are tested on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from halo_core.completion import completions_in
from halo_core.errors import DataError
from halo_core.feedback import Prompt, prompt_id
from halo_core.rows import DataSet
from halo_core.run.groups import opening_id

Warn = Callable[[str], None]
SHARED = "stand in {} too, with other completions"
SPELT_ALIKE = "differ from one of {} only in case or white space"
OPENING_ALIKE = (
    "open as dialogues of {} do: they have the same messages up to the first of the user, as the "
    "turns of one dialogue have"
)


def check_overlap(trained: Sequence[DataSet], tested: Sequence[DataSet], warn: Warn) -> None:
    """Compares every training set with every test set, raw text apart.

    Sets of one name are one set in several forms, and taken together: a demonstration does not hold
    the rejected completions of the pair that it was made of.

    Args:
        trained: Sets that models learn from.
        tested: Sets that prompts are drawn from or losses evaluated on.
        warn: Told of a set that is used for both, and of prompts that stand in both with other
            completions, that are of one dialogue, or that differ in case or white space only.

    Raises:
        DataError: When a prompt stands in both with the same completion.
    """
    learned = _by_name(trained)
    for name, tests in _by_name(tested).items():
        for other, trains in learned.items():
            if name == other:
                warn(f"{name!r} is learned from and tested on: its results say nothing of new rows")
            else:
                _compare(other, trains, name, tests, warn)


def _by_name(sets: Sequence[DataSet]) -> dict[str, list[DataSet]]:
    found: dict[str, list[DataSet]] = {}
    for data in sets:
        if data.feedback != "text":
            found.setdefault(data.name, []).append(data)
    return found


def _compare(
    trained: str, trains: Sequence[DataSet], tested: str, tests: Sequence[DataSet], warn: Warn
) -> None:
    seen = {pair for row in _rows(trains) for pair in _pairs(row)}
    for test in tests:
        rows = [row["id"] for row in test if any(pair in seen for pair in _pairs(row))]
        if rows:
            raise DataError(
                f"{len(rows)} of its {len(test)} rows stand in {trained!r} too, the first is "
                f"{rows[0]}. What is tested on must not be trained on: use other splits, or "
                "data: {train: ..., holdout: 0.1}",
                location=f"data set {tested!r}",
            )
    known, asked = _prompts(_rows(trains)), _prompts(_rows(tests))
    for count, how in _likenesses(known, asked):
        warn(f"{count} of {len(asked)} prompts of {tested!r} {how.format(repr(trained))}")


def _likenesses(
    known: Mapping[str, Asked], asked: Mapping[str, Asked]
) -> Iterator[tuple[int, str]]:
    """Yields how many prompts that are asked are like known ones, and how; each counts once."""
    openings = {opening_id(each.prompt) for each in known.values()}
    spellings = {each.spelling for each in known.values()}
    counts = dict.fromkeys((SHARED, SPELT_ALIKE, OPENING_ALIKE), 0)
    for id_, each in asked.items():
        if id_ in known:
            counts[SHARED] += 1
        elif each.spelling in spellings:
            counts[SPELT_ALIKE] += 1
        elif opening_id(each.prompt) in openings:
            counts[OPENING_ALIKE] += 1
    yield from ((count, how) for how, count in counts.items() if count)


def _rows(sets: Iterable[DataSet]) -> Iterator[Mapping[str, Any]]:
    for data in sets:
        yield from data


def _pairs(row: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for completion in completions_in(row):
        yield row["prompt_id"], hash(completion.key)


def _prompts(rows: Iterable[Mapping[str, Any]]) -> dict[str, Asked]:
    """Returns the prompts by their ids."""
    return {row["prompt_id"]: Asked(row["prompt"], row.get("tools")) for row in rows}


class Asked(NamedTuple):
    """A prompt with the tools that it offers, if any."""

    prompt: Prompt
    tools: Sequence[Mapping[str, Any]] | None

    @property
    def spelling(self) -> str:
        """Names a prompt, whatever its case and white space."""
        messages = [
            {**m, "content": " ".join(m["content"].split()).casefold()} for m in self.prompt
        ]
        return prompt_id(cast(Prompt, messages), self.tools)
