"""Compares training data with test data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from halo_core.completion import completions_in
from halo_core.errors import DataError
from halo_core.feedback import Prompt, prompt_id
from halo_core.rows import DataSet
from halo_core.run.groups import opening_id
from halo_core.spec.spec import Overlap

Warn = Callable[[str], None]
SHARED = "are also in {}, with other completions"
SPELT_ALIKE = "differ from a prompt of {} only in case or white space"
OPENING_ALIKE = (
    "have the same opening as dialogues of {}: their messages up to the first user message are the "
    "same, as in turns of one dialogue"
)


def check_overlap(
    trained: Sequence[DataSet],
    tested: Sequence[DataSet],
    warn: Warn,
    *,
    same: Overlap = "error",
) -> None:
    """Compares every training set with every test set. Raw text is compared separately.

    Sets with the same name are forms of one set and are taken together, because a demonstration
    lacks the rejected completion of its pair.

    Args:
        trained: Sets that models learn from.
        tested: Sets that prompts are drawn from or losses are evaluated on.
        warn: Receives warnings: about a set that is used for both, and about prompts that are in
            both with other completions, belong to the same dialogue, or differ only in case or
            white space.
        same: The reaction to a prompt that is in both with the same completion.

    Raises:
        DataError: When a prompt is in both with the same completion, and `same` is ``error``.
    """
    learned = _by_name(trained)
    for name, tests in _by_name(tested).items():
        for other, trains in learned.items():
            if name == other:
                warn(
                    f"{name!r} is used for training and testing: its results do not show how well "
                    "the model does on new rows"
                )
            else:
                _compare(other, trains, name, tests, warn, same)


def _by_name(sets: Sequence[DataSet]) -> dict[str, list[DataSet]]:
    found: dict[str, list[DataSet]] = {}
    for data in sets:
        if data.feedback != "text":
            found.setdefault(data.name, []).append(data)
    return found


def _compare(
    trained: str,
    trains: Sequence[DataSet],
    tested: str,
    tests: Sequence[DataSet],
    warn: Warn,
    same: Overlap,
) -> None:
    seen = {pair for row in _rows(trains) for pair in _pairs(row)}
    copied = [[row for row in test if any(pair in seen for pair in _pairs(row))] for test in tests]
    # The forms of a set have the same rows or fewer, so the largest count is that of the set.
    rows, test = max(zip(copied, tests, strict=True), key=lambda item: len(item[0]))
    if rows and same == "error":
        raise DataError(
            f"{len(rows)} of its {len(test)} rows are also in {trained!r}; the first is "
            f"{rows[0]['id']}. Test data must not be training data: use other splits, or "
            "data: {train: ..., holdout: 0.1}. If it is on purpose, write overlap: warn",
            location=f"data set {tested!r}",
        )
    if rows:
        warn(
            f"{len(rows)} of {len(test)} rows of {tested!r} are also in {trained!r}; the first is "
            f"{rows[0]['id']}. Their results do not show how well the model does on new rows"
        )
    known, asked = _prompts(_rows(trains)), _prompts(_rows(tests))
    for count, how in _likenesses(
        known, asked, {row["prompt_id"] for rows in copied for row in rows}
    ):
        warn(f"{count} of {len(asked)} prompts of {tested!r} {how.format(repr(trained))}")


def _likenesses(
    known: Mapping[str, Asked], asked: Mapping[str, Asked], copied: Collection[str]
) -> Iterator[tuple[int, str]]:
    """Yields the number of test prompts for each kind of likeness. Each prompt counts once.

    Prompts in `copied` do not count: a warning about their rows has counted them.
    """
    openings = {opening_id(each.prompt) for each in known.values()}
    spellings = {each.spelling for each in known.values()}
    counts = dict.fromkeys((SHARED, SPELT_ALIKE, OPENING_ALIKE), 0)
    for id_, each in asked.items():
        if id_ in copied:
            continue
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
        """Returns a prompt's id without its case and white space."""
        messages = [
            {**m, "content": " ".join(m["content"].split()).casefold()} for m in self.prompt
        ]
        return prompt_id(cast(Prompt, messages), self.tools)
