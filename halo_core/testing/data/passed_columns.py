"""Finds what a row of a conversion has lost or changed: turns, tools, a group, fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from halo_core.completion import Completion, completions_in
from halo_core.feedback import BESIDE, further_fields

Row = Mapping[str, Any]

OPT_OUT = "If it does so on purpose, say why in unchecked_rules"

PARTS = ("fields", "token_ids", "finish", "token_logps", "sampling")
"""The attributes of a completion, in the order of the columns of `BESIDE`."""


def lost_in(
    row: Row, given: Sequence[Row], ignored: Mapping[str, int], lost: dict[str, None]
) -> str:
    """Returns what a row of the conversion has lost or changed of the wrapped ones; "" if nothing.

    Args:
        row: The row.
        given: The wrapped rows.
        ignored: The columns that the conversion says it does not read, which are not lost.
        lost: Gets what is lost and changes no training by itself, such as why a completion ended.
    """
    if "prompt" not in row:
        return ""
    last = asked(row)
    same = [each for each in given if each.get("prompt") and asked(each) in last]
    if not same:
        return "has a prompt whose last message is in no wrapped row"
    return (
        _lost_turns(row, same)
        or _changed_tools(row, same, ignored)
        or _changed_group(row, same, ignored)
        or _other_conversation(row, same)
        or _changed_completion(row, same, ignored, lost)
    )


def _lost_turns(row: Row, same: Sequence[Row]) -> str:
    if not any(_within(each["prompt"], row["prompt"]) for each in same):
        turns = [message["role"] for message in same[0]["prompt"]]
        got = [message["role"] for message in row["prompt"]]
        return (
            f"has the turns {got} of a prompt with {turns}, so its beginning is lost or changed. "
            f"{OPT_OUT}"
        )
    for message in (message for each in same for message in each["prompt"]):
        fields, texts = further_fields(message), (message["role"], message["content"])
        there = [each for each in row["prompt"] if (each["role"], each["content"]) == texts]
        if fields and there and not any(fields.items() <= each.items() for each in there):
            return (
                f"has lost fields of a message of its prompt, {', '.join(fields)}; pass the whole "
                "message on ({**message, ...}), because a chat template reads them"
            )
    return ""


def _changed_tools(row: Row, same: Sequence[Row], ignored: Mapping[str, int]) -> str:
    if not all(each.get("tools") for each in same) or ignored.get("tools"):
        return ""
    if not row.get("tools"):
        return _lost("tools", "may be called")
    if not any(_follow(each["tools"], row["tools"]) for each in same):
        return (
            "has other tools than the wrapped row, or in another order; pass them on as they are "
            f"(start from {{**row}}). {OPT_OUT}"
        )
    return ""


def _changed_group(row: Row, same: Sequence[Row], ignored: Mapping[str, int]) -> str:
    if not all(each.get("group") for each in same) or ignored.get("group"):
        return ""
    if not row.get("group"):
        return _lost("group", "stays on one side of a hold-out")
    if row["group"] not in [each["group"] for each in same]:
        return (
            f"has the group {row['group']!r}, and the wrapped row {same[0]['group']!r}, so a "
            "hold-out would separate what belongs together; pass the column 'group' on (start from "
            f"{{**row}}). {OPT_OUT}"
        )
    return ""


def _lost(name: str, what: str) -> str:
    return (
        f"has lost the column {name!r} of the wrapped row, which says what {what}; pass it on "
        "(start from {**row}), or count it in ignored"
    )


def _other_conversation(row: Row, same: Sequence[Row]) -> str:
    """Returns what is wrong if a completion is one of another prompt with the same last message."""
    for completion in completions_in(row):
        having = [
            each for each in same if completion.text in [c.text for c in completions_in(each)]
        ]
        if having and not any(_within(each["prompt"], row["prompt"]) for each in having):
            return (
                f"has the completion {short(completion.text)}, which is one of another "
                "conversation with the same last message; compare whole prompts: prompt_id()"
            )
    return ""


def _changed_completion(
    row: Row, same: Sequence[Row], ignored: Mapping[str, int], lost: dict[str, None]
) -> str:
    there = [completion for each in same for completion in completions_in(each)]
    for completion in completions_in(row):
        alike = [each for each in there if completion.text == each.text]
        if not alike:
            if any(_is_cut(completion, each) for each in there):
                return (
                    f"has only the beginning of a completion, {short(completion.text)}; drop what "
                    f"is too long, and count it. {OPT_OUT}"
                )
            continue
        for part, names in zip(PARTS, zip(*BESIDE.values(), strict=True), strict=True):
            told = [getattr(each, part) or None for each in alike]
            mine = getattr(completion, part) or None
            unread = any(ignored.get(name) for name in names)
            kept = any(row.get(name) for name in names) and mine is None  # halo counts it.
            if mine is None and part != "fields" and mine not in told and not unread and not kept:
                lost[_SAID[part]] = None
            elif mine not in told and not unread and not kept:
                return (
                    f"has {'lost' if mine is None else 'changed'} a column of the completion "
                    f"{short(completion.text)}: {_SAID[part]} ({names[0]}; of a pair {names[1]}, "
                    f"{names[2]}; of a group {names[3]}); pass it on, or count it in ignored"
                )
    return ""


_SAID = {
    "fields": "its tool calls",
    "token_ids": "its token ids",
    "finish": "why it ended",
    "token_logps": "the log-probabilities of its tokens",
    "sampling": "how its tokens were drawn",
}
"""The meanings of the parts of a completion, for a message."""


def _is_cut(completion: Completion, whole: Completion) -> bool:
    start = completion.text.strip()
    # To take off a final mark is not a cut.
    return (
        bool(start) and whole.text.startswith(start) and len(whole.text.rstrip()) > len(start) + 3
    )


def _follow(part: Sequence[Any], whole: Sequence[Any]) -> bool:
    """Returns whether all items of a list are in another one, in their order."""
    rest = iter(whole)
    return all(any(item == other for other in rest) for item in part)


def _within(part: Sequence[Row], whole: Sequence[Row]) -> bool:
    """Returns whether the texts of messages are all in others, in their order.

    Turns may be added, and joined: not every template takes a turn of the system.
    """
    rest, found = "\n".join(str(message["content"]) for message in whole), 0
    for message in part:
        text = str(message["content"]).strip()
        found = rest.find(text, found)
        if found < 0:
            return False
        found += len(text)
    return True


def traces(row: Row, asked_in: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields what a row is about with each completion; "" if there is none.

    Args:
        row: The row.
        asked_in: The last messages of the wrapped prompts. A conversion may add a text to them.
    """
    last = asked(row)
    prompt = next((each for each in asked_in if each and each in last), last) or row.get("text", "")
    yield from ((prompt, each.key) for each in completions_in(row))
    if not any(name in row for name in ("completion", "chosen", "completions")):
        yield prompt, ""


def asked(row: Row) -> str:
    """Returns the last message of a row's prompt; "" if it has none."""
    return str(row["prompt"][-1]["content"]).strip() if row.get("prompt") else ""


def short(text: str) -> str:
    """Returns the beginning of a text, as a message shows it."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


__all__ = ["OPT_OUT", "asked", "lost_in", "short", "traces"]
