"""Checks what a conversion passes on of valid rows in all their forms, and whether it counts all.

The rows are those of `MixedRows`. A conversion may leave out and change what it likes, but not in
silence: a row that is neither given nor counted is missing in a training, and nobody sees it.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from halo_core.completion import Completion, completions_in
from halo_core.data import DataSource, Loaded
from halo_core.feedback import Feedback
from halo_core.hashing import short_hash
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.mixed_rows import DROPPED, IGNORED, LEFT_OUT, SPLITS, MixedRows, mixed_rows

Row = Mapping[str, Any]

OPT_OUT = "If it does so on purpose, say why in unchecked_rules"


def check_passed_on(
    make: Callable[[DataSource], DataSource], *, feedback: Feedback = "paired"
) -> None:
    """Checks a conversion of rows with shared prompts, system turns, tools, groups and no ids.

    Args:
        make: Returns the source around another one: ``lambda source: Mine(source=source)``.
        feedback: The kind of feedback that it wraps.

    Raises:
        AssertionError: When it raises, changes the rows that it gets, gives two rows one id, loses
            turns of a prompt, its tools or its group, cuts completions or loses their fields, loses
            the wrapped counts, or leaves out rows without counting them.
        UserError: When it refuses these rows.
    """
    before = {split: copy.deepcopy(mixed_rows(feedback, split)) for split in SPLITS}
    try:
        source = make(MixedRows(feedback=feedback))
        with must_not_raise(source, "reading rows with shared prompts, and rows without an id"):
            loaded = {split: source.load(split) for split in source.inspect().splits}
            made = {split: [dict(row) for row in each.rows] for split, each in loaded.items()}
        changed = [s for s in SPLITS if repr(mixed_rows(feedback, s)) != repr(before[s])]
    finally:
        mixed_rows.cache_clear()  # The next caller gets the rows as they were.
    expect(
        not changed,
        source,
        "it changes the rows that it gets, which the wrapped source may give again; change a copy: "
        "{**row, ...}",
    )
    given = [row for rows in before.values() for row in rows]
    for split, rows in made.items():
        _check_ids(source, split, rows)
        for number, row in enumerate(rows):
            problem = _lost_in(row, given, loaded[split].ignored)
            expect(not problem, source, f"row {number} of {split!r} {problem}")
    if set(made) == set(SPLITS):
        for split, each in loaded.items():
            _check_counts(source, split, each)
            _check_none_lost(source, split, before[split], made[split], each)


def _check_ids(source: DataSource, split: str, rows: Sequence[Row]) -> None:
    ids = Counter(row["id"] for row in rows if row.get("id") is not None)
    twice = [id_ for id_, count in ids.items() if count > 1]
    expect(
        not twice,
        source,
        f"load({split!r}): {len(twice)} ids come more than once, such as {twice[:1]}. Not all "
        "wrapped rows have an id, and ids may differ only in small and capital letters; leave the "
        "id out where the wrapped row has none",
    )


def _lost_in(row: Row, given: Sequence[Row], ignored: Mapping[str, int]) -> str:
    """Returns what a row of the conversion has lost of the wrapped ones; "" if nothing.

    Args:
        row: The row.
        given: The wrapped rows.
        ignored: The columns that the conversion says it does not read, which are not lost.
    """
    if "prompt" not in row:
        return ""
    same = [each for each in given if each.get("prompt") and _asked(each) in _asked(row)]
    if not same:
        return "has a prompt whose last message is in no wrapped row"
    if not any(_within(each["prompt"], row["prompt"]) for each in same):
        turns = [message["role"] for message in same[0]["prompt"]]
        got = [message["role"] for message in row["prompt"]]
        return (
            f"has the turns {got} of a prompt with {turns}, so its beginning is lost or changed. "
            f"{OPT_OUT}"
        )
    for name, what in (("tools", "may be called"), ("group", "stays on one side of a hold-out")):
        there = all(each.get(name) for each in same)
        if there and not row.get(name) and not ignored.get(name):
            return (
                f"has lost the column {name!r} of the wrapped row, which says what {what}; pass it "
                "on (start from {**row}), or count it in ignored"
            )
    fields_ignored = any(count for name, count in ignored.items() if name.endswith("_fields"))
    return _changed_completion(row, same, fields_ignored)


def _changed_completion(row: Row, same: Sequence[Row], fields_ignored: bool) -> str:
    there = [completion for each in same for completion in completions_in(each)]
    for completion in completions_in(row):
        if any(completion.text == each.text for each in there):
            if not fields_ignored and not any(completion.key == each.key for each in there):
                return (
                    f"has lost the fields of the completion {_short(completion.text)}: its tool "
                    "calls; pass on completion_fields (of a pair chosen_fields, rejected_fields; "
                    "of a group completions_fields), or count the column in ignored"
                )
        elif any(_is_cut(completion, each) for each in there):
            return (
                f"has only the beginning of a completion, {_short(completion.text)}; drop what is "
                f"too long, and count it. {OPT_OUT}"
            )
    return ""


def _is_cut(completion: Completion, whole: Completion) -> bool:
    start = completion.text.strip()
    # To take off a final mark is not a cut.
    return bool(start) and whole.text.startswith(start) and len(whole.text) > len(start) + 3


def _check_counts(source: DataSource, split: str, loaded: Loaded) -> None:
    for name, count in IGNORED.items():
        expect(
            loaded.ignored.get(name, 0) >= count,
            source,
            f"load({split!r}): the wrapped source ignores {count} values of {name!r}, and ignored "
            f"is {dict(loaded.ignored)}; pass it on: Loaded(rows, dropped, loaded.ignored)",
        )
    expect(
        loaded.dropped.get(LEFT_OUT, 0) == DROPPED,
        source,
        f"load({split!r}): the wrapped source drops {DROPPED} rows, and dropped is "
        f"{dict(loaded.dropped)}; add its drops to yours, once",
    )


def _check_none_lost(
    source: DataSource, split: str, given: Sequence[Row], made: Sequence[Row], loaded: Loaded
) -> None:
    """Checks that rows that are left out are counted: all of them, and no others."""
    own = sum(loaded.dropped.values()) - DROPPED
    wrapped, rest = Counter(map(_content, given)), Counter(map(_content, made))
    if not rest - wrapped:  # It only chooses rows, so each one that it leaves out is a drop.
        lost = len(given) - len(made)
        expect(
            own >= lost,
            source,
            f"load({split!r}): {lost} rows are left out, and only {own} of them are in dropped; "
            "count each with its reason",
        )
        expect(
            own <= lost,
            source,
            f"load({split!r}): {lost} rows are left out, and dropped has {own}, without those "
            "of the wrapped source; count each row once",
        )
        return
    asked = {_asked(row) for row in given}
    there = {trace for row in made for trace in _traces(row, asked)}
    prompts = {prompt for prompt, _ in there}
    known = {trace for row in given for trace in _traces(row, asked)}
    by_text = there <= known  # Otherwise it changes texts, and only prompts can be compared.
    gone = [
        row
        for row in given
        if not any((t in there if by_text else t[0] in prompts) for t in _traces(row, asked))
    ]
    expect(
        own >= len(gone),
        source,
        f"load({split!r}): nothing of {len(gone)} wrapped rows is in its rows, and it counts {own} "
        "as dropped; count each with its reason",
    )


def _traces(row: Row, asked: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yields what a row is about with each completion; "" if there is none.

    Args:
        row: The row.
        asked: The last messages of the wrapped prompts. A conversion may add a text to them.
    """
    last = _asked(row)
    prompt = next((each for each in asked if each and each in last), last) or row.get("text", "")
    yield from ((prompt, each.key) for each in completions_in(row))
    if not any(name in row for name in ("completion", "chosen", "completions")):
        yield prompt, ""


def _content(row: Row) -> str:
    told = sorted((name, repr(value)) for name, value in row.items() if name != "id")
    return short_hash(repr(told))


def _within(part: Sequence[Row], whole: Sequence[Row]) -> bool:
    """Returns whether the texts of messages are all in others, in their order.

    Turns may be added, and joined: not every template takes a turn of the system.
    """
    rest, found = "\n".join(str(message["content"]) for message in whole), 0
    for message in part:
        found = rest.find(str(message["content"]).strip(), found)
        if found < 0:
            return False
        found += 1
    return True


def _asked(row: Row) -> str:
    return str(row["prompt"][-1]["content"]).strip() if row.get("prompt") else ""


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


__all__ = ["check_passed_on"]
