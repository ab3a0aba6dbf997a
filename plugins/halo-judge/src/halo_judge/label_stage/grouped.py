"""The completions of each prompt, whose texts wait in a temporary file."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from halo_core.scoring_judge import Answer
from halo_judge.files.token_store import TokenStore
from halo_judge.judge_stage.on_disk import (
    Numbers,
    OnDisk,
    as_numbers,
    check_same_prompt,
    digest_of,
)
from halo_judge.label_stage.said import Candidates, Found, FoundRows, Said

EMPTY = "empty completion"
AGAIN = "same completion of the prompt"
CUT = "completion that did not end"
CALLS = "completion with tool_calls, which the judge does not read"

_LEFT_OUT, _DRAW, _IS_CUT, _REPEATS = 1, 2, 4, 8
"""Marks of a completion: it is left out; an equal one may be kept; it was cut; it repeats one."""


class Groups(OnDisk[Candidates]):
    """The completions of each prompt, read when they are needed.

    A completion takes 9 bytes of memory, and a prompt 16.

    Args:
        rows: The completions in a temporary file.
        heads: The place of the first completion of each prompt, which may have been left out.
        starts: The number of the first completion of each prompt that is not left out, and the
            number of all completions.
        places: The place of each completion, prompt by prompt.
        marks: The marks of each completion.
    """

    def __init__(
        self, rows: FoundRows, heads: Numbers, starts: Numbers, places: Numbers, marks: Numbers
    ) -> None:
        self._rows = rows
        self._heads = heads
        self.starts = starts
        self._places = places
        self._marks = marks

    def __len__(self) -> int:
        return len(self._heads)

    def at(self, number: int) -> Candidates:
        """Reads the completions of a prompt from its number.

        Raises:
            DataError: When two prompts have the same digest.
        """
        head = self._rows.at(int(self._heads[number]))
        said = (self._said(head, each) for each in range(*map(int, self.starts[number:][:2])))
        return Candidates(head.prompt_id, head.prompt, tuple(said), head.tools)

    def sizes(self) -> Numbers:
        """Returns the number of completions of each prompt."""
        return np.diff(self.starts)

    @property
    def cut(self) -> int:
        """Number of completions that are known to be cut."""
        return int(np.count_nonzero(self._marks & _IS_CUT))

    def answers(self, *, that_ended: bool) -> Answers:
        """Returns the completions to score, each text of a prompt once.

        Args:
            that_ended: Whether completions that are known to be cut are left out.
        """
        unwanted = _REPEATS | (_IS_CUT if that_ended else 0)
        return Answers(self, np.flatnonzero((self._marks & unwanted) == 0))

    def answer(self, number: int) -> Answer:
        """Reads one completion as an answer, from its number among all completions."""
        group = int(np.searchsorted(self.starts, number, "right")) - 1
        head = self._rows.at(int(self._heads[group]))
        said = self._said(head, number)
        return Candidates(head.prompt_id, head.prompt, (said,), head.tools).answer(said)

    def _said(self, head: Found, number: int) -> Said:
        found = self._rows.at(int(self._places[number]))
        check_same_prompt(head.prompt_id, found.prompt_id)
        return found.said


class Answers(OnDisk[Answer]):
    """The answers that a judge scores, read when they are needed.

    Args:
        groups: All completions.
        numbers: The numbers of those to score.
    """

    def __init__(self, groups: Groups, numbers: Numbers) -> None:
        self._groups = groups
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def at(self, number: int) -> Answer:
        """Reads an answer from its number."""
        return self._groups.answer(int(self.numbers[number]))


class Ids(OnDisk[str]):
    """The ids of answers.

    Args:
        answers: The answers.
    """

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = answers

    def __len__(self) -> int:
        return len(self._answers)

    def at(self, number: int) -> str:
        """Returns an id from its number."""
        return self._answers[number].id


def by_prompt(
    found: Iterable[Found],
    dropped: Counter[str],
    tokens: TokenStore | None = None,
    *,
    drop_cut: bool = False,
    reads_fields: bool = False,
    draws: bool = False,
) -> Groups:
    """Returns the completions by prompt in order, and counts left-out ones by reason.

    Args:
        found: The completions.
        dropped: The counter of the reasons.
        tokens: The store of their token ids, if they are in one.
        drop_cut: Whether to leave out completions that were cut.
        reads_fields: Whether the judge reads further fields besides the texts.
        draws: Whether to keep equal completions that a model drew several times. A mean over a
            group would be wrong without them.

    Raises:
        DiskError: When the disk of the temporary files is full, or fails.
    """
    rows = FoundRows(tokens)
    places, prompts, keys, marks = array("Q"), array("Q"), array("Q"), array("B")
    for each in found:
        places.append(rows.add(each))
        prompts.append(digest_of(each.prompt_id))
        keys.append(digest_of(each.said.completion.key))
        mark = _DRAW * (draws and each.is_draw) | _IS_CUT * each.said.is_cut
        if reason := _why_not(each.said, drop_cut, reads_fields):
            dropped[reason] += 1
            mark |= _LEFT_OUT
        marks.append(mark)
    own = np.array(as_numbers(marks))
    _mark_repeats(as_numbers(prompts), as_numbers(keys), own)
    del keys
    again = (own & (_REPEATS | _DRAW)) == _REPEATS
    if count := int(np.count_nonzero(again)):
        dropped[AGAIN] += count
        own[again] |= _LEFT_OUT
    return _grouped(rows, as_numbers(places), as_numbers(prompts), own)


def _why_not(said: Said, drop_cut: bool, reads_fields: bool) -> str | None:
    completion = said.completion
    is_empty = completion.is_empty if reads_fields else not said.text.strip()
    reasons = (
        ("tool_calls" in (completion.fields or {}) and not reads_fields, CALLS),
        (is_empty, EMPTY),
        (drop_cut and said.is_cut, CUT),
    )
    return next((reason for holds, reason in reasons if holds), None)


def _mark_repeats(prompts: Numbers, keys: Numbers, marks: Numbers) -> None:
    """Marks each completion that is not left out and equals an earlier one of its prompt."""
    order = np.lexsort((keys, prompts, marks & _LEFT_OUT))
    order = order[: np.count_nonzero((marks & _LEFT_OUT) == 0)]
    same = np.zeros(len(order), dtype=bool)
    same[1:] = True
    for column in (prompts, keys):
        in_order = column[order]
        same[1:] &= in_order[1:] == in_order[:-1]
    marks[order[same]] |= _REPEATS


def _grouped(rows: FoundRows, places: Numbers, prompts: Numbers, marks: Numbers) -> Groups:
    """Returns the completions by prompt, in the order in which the prompts came first."""
    order = np.argsort(prompts, kind="stable")
    in_order = prompts[order]
    begins = np.flatnonzero(np.append(True, in_order[1:] != in_order[:-1])[: len(order)])
    del in_order
    # The first completion of each one's prompt, which may itself be left out.
    first = np.empty(len(order), dtype=np.uint32)
    first[order] = np.repeat(order[begins], np.diff(begins, append=len(order)))
    del order
    kept = np.flatnonzero((marks & _LEFT_OUT) == 0)
    kept = kept[np.argsort(first[kept], kind="stable")]
    first = first[kept]
    starts = np.flatnonzero(np.append(True, first[1:] != first[:-1])[: len(kept)])
    heads = places[first[starts]]
    ends = np.append(starts, len(kept)).astype(np.uint32)
    return Groups(rows, heads, ends, places[kept], marks[kept])
