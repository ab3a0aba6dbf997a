"""Guesses which columns of a row are those of a form under other names, for messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from halo_core.errors import nearest
from halo_data.rows.label_like import looks_like_label

USUAL = {
    "prompt": ("question", "query", "input", "user", "request", "user_message", "ask"),
    "completion": ("answer", "response", "output", "reply", "generation", "assistant", "text"),
    "chosen": ("preferred", "winner", "better", "accepted", "chosen_response", "positive"),
    "rejected": ("dispreferred", "loser", "worse", "rejected_response", "negative"),
    "completions": ("answers", "responses", "outputs", "replies", "generations", "candidates"),
    "scores": ("ratings", "rewards"),
    "messages": ("conversation", "dialogue", "dialog", "turns", "chat"),
}
"""Other names that columns often have, written as `_plain` writes them."""
_UNQUOTED = re.compile(r"[A-Za-z][\w-]*")


def mapping(names: Sequence[str], forms: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """Returns the standard name of each column that has another name; empty if no form fits.

    Of several forms, the one with the most columns is chosen, and of these the first one.

    Args:
        names: The names of the row's columns.
        forms: The columns of each form, in the order of preference.

    >>> mapping(["Question", "answer", "id"], [("prompt", "completion")])
    {'prompt': 'Question', 'completion': 'answer'}
    """
    best: dict[str, str] = {}
    most = 0
    for columns in forms:
        found = _of_form(names, columns)
        if len(columns) > most and found:
            best, most = found, len(columns)
    return best


def _of_form(names: Sequence[str], columns: tuple[str, ...]) -> dict[str, str]:
    """Returns the columns of a form that have another name; empty if one has no name."""
    left = [name for name in names if name not in columns]
    found: dict[str, str] = {}
    for column in columns:
        if column in names:
            continue
        name = _other_name(column, left)
        if name is None:
            return {}
        found[column] = name
        left.remove(name)
    return found


def _other_name(column: str, names: Sequence[str]) -> str | None:
    plain = {_plain(name): name for name in reversed(names)}
    for usual in (column, *USUAL.get(column, ())):
        if usual in plain:
            return plain[usual]
    if column == "label":
        return next((name for name in names if looks_like_label(name)), None)
    unclear = [name for name in plain if name not in USUAL]
    near = nearest(column, unclear, cutoff=0.7)
    return plain[near[0]] if near else None


def _plain(name: str) -> str:
    """Returns a name in lower case, with one underscore between its words."""
    return re.sub(r"[\W_]+", "_", name).strip("_").lower()


def as_option(found: dict[str, str]) -> str:
    """Returns a mapping as a spec has it.

    >>> as_option({"prompt": "Question", "label": "is good"})
    "columns: {prompt: Question, label: 'is good'}"
    """
    pairs = [
        f"{ours}: {theirs if _UNQUOTED.fullmatch(theirs) else repr(theirs)}"
        for ours, theirs in found.items()
    ]
    return f"columns: {{{', '.join(pairs)}}}"
