"""Compares training data with test data."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from halo_core.completion import completions_in
from halo_core.errors import DataError
from halo_core.feedback import BESIDE, Prompt, prompt_id
from halo_core.rows import DataSet
from halo_core.run.groups import opening
from halo_core.run.key_sets import Keys
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
    learned, known = _by_name(trained), dict[str, _Read]()
    for name, tests in _by_name(tested).items():
        asked: list[_Read] = []
        for other, trains in learned.items():
            if name == other:
                warn(
                    f"{name!r} is used for training and testing: its results do not show how well "
                    "the model does on new rows"
                )
                continue
            if other not in known:
                known[other] = _Read.of(trains)
            asked = asked or [_Read.of([test]) for test in tests]
            _compare(other, known[other], name, tests, asked, warn, same)


def _by_name(sets: Sequence[DataSet]) -> dict[str, list[DataSet]]:
    found: dict[str, list[DataSet]] = {}
    for data in sets:
        if data.feedback != "text":
            found.setdefault(data.name, []).append(data)
    return found


def _compare(
    trained: str,
    known: _Read,
    tested: str,
    tests: Sequence[DataSet],
    asked: Sequence[_Read],
    warn: Warn,
    same: Overlap,
) -> None:
    copied = [each.copied_from(known) for each in asked]
    # The forms of a set have the same rows or fewer, so the largest count is that of the set.
    rows, test = max(zip(copied, tests, strict=True), key=lambda item: sum(item[0]))
    count = sum(rows)
    first = test[rows.index(1)]["id"] if count else ""
    if count and same == "error":
        raise DataError(
            f"{count} of its {len(test)} rows are also in {trained!r}; the first is "
            f"{first}. Test data must not be training data: use other splits, or "
            "data: {train: ..., holdout: 0.1}. If it is on purpose, write overlap: warn",
            location=f"data set {tested!r}",
        )
    if count:
        warn(
            f"{count} of {len(test)} rows of {tested!r} are also in {trained!r}; the first is "
            f"{first}. Their results do not show how well the model does on new rows"
        )
    prompts = sum((each.prompts for each in asked), Keys())
    total = prompts.distinct()
    chosen = sum((e.prompts.chosen(of) for e, of in zip(asked, copied, strict=True)), Keys())
    for number, how in _likenesses(known, asked, prompts, prompts.are_in(chosen)):
        warn(f"{number} of {total} prompts of {tested!r} {how.format(repr(trained))}")


def _likenesses(
    known: _Read, asked: Sequence[_Read], prompts: Keys, copied: Sequence[int]
) -> Iterator[tuple[int, str]]:
    """Yields the number of test prompts for each kind of likeness. Each prompt counts once.

    Prompts of rows in `copied` do not count: a warning about these rows has counted them.
    """
    counted = copied
    for how, ours, theirs in (
        (SHARED, prompts, known.prompts),
        (SPELT_ALIKE, sum((each.spellings for each in asked), Keys()), known.spellings),
        (OPENING_ALIKE, sum((each.openings for each in asked), Keys()), known.openings),
    ):
        found = ours.are_in(theirs)
        new = array("b", (f and not c for f, c in zip(found, counted, strict=True)))
        if any(new):
            yield prompts.distinct(new), how
        counted = array("b", (f or c for f, c in zip(found, counted, strict=True)))


@dataclass(frozen=True)
class _Read:
    """The keys of a set's rows that are compared with those of another set.

    Attributes:
        pairs: The prompt's id with the completion, for each completion of each row.
        lengths: Number of completions of each row.
        prompts: The prompt's id of each row.
        spellings: The prompt of each row without its case and white space.
        openings: The prompt of each row up to its first user message.
    """

    pairs: Keys
    lengths: array[int]
    prompts: Keys
    spellings: Keys
    openings: Keys

    @classmethod
    def of(cls, sets: Iterable[DataSet]) -> _Read:
        """Reads the rows of sets, one after another."""
        read = cls(Keys(), array("Q"), Keys(), Keys(), Keys())
        for data in sets:
            for row in data.select(_COMPARED):
                id_, prompt, tools = row["prompt_id"], row["prompt"], row.get("tools")
                completions = [each.key for each in completions_in(row)]
                for key in completions:
                    read.pairs.add((id_, key))
                read.lengths.append(len(completions))
                read.prompts.add(id_)
                read.spellings.add(_spelling(prompt, tools))
                read.openings.add(tuple((m["role"], m["content"]) for m in opening(prompt)))
        return read

    def copied_from(self, other: _Read) -> array[int]:
        """Returns 1 for each row that has a prompt and completion of other rows, and else 0."""
        hits = iter(self.pairs.are_in(other.pairs))
        return array("b", (any([*islice(hits, length)]) for length in self.lengths))


_COMPARED = frozenset(
    {"id", "prompt_id", "prompt", "tools"}
    | {name for column, beside in BESIDE.items() for name in (column, beside.fields)}
)
"""The columns that are compared."""


def _spelling(prompt: Prompt, tools: Sequence[Mapping[str, Any]] | None) -> Hashable:
    """Returns a key of a prompt that does not depend on its case and white space."""
    spelt = [(m["role"], " ".join(m["content"].split()).casefold()) for m in prompt]
    if not tools and all(len(message) == 2 for message in prompt):
        return tuple(spelt)
    messages = [{**m, "content": text} for m, (_, text) in zip(prompt, spelt, strict=True)]
    return prompt_id(cast(Prompt, messages), tools)
