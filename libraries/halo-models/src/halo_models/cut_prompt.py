"""How a prompt is cut that is longer than a model may see."""

from __future__ import annotations

import bisect
from collections.abc import Callable

from halo_core.errors import DataError
from halo_core.feedback import Message, Prompt


def cut_prompt(prompt: Prompt, limit: int, length: Callable[[Prompt], int]) -> list[Message]:
    """Returns a prompt's messages, cut from the left to at most `limit` tokens.

    Whole turns are removed first, beginning with the oldest, so that the rest begins with a user's
    message. Then the beginning of the last question is removed; its end is always kept. The system
    message is kept unless it takes more than half of the limit.

    Args:
        prompt: The messages.
        limit: Largest number of tokens in the rendered prompt.
        length: Returns the number of tokens of rendered messages.

    Raises:
        DataError: When the limit leaves no room for the last question.
    """
    system, turns = _split(prompt)
    starts = [i for i, message in enumerate(turns) if message["role"] == "user"] or [0]
    if system and length([*system, *_with_content(turns[starts[-1] :], "")]) > limit // 2:
        system = []
    for start in starts:
        messages = [*system, *turns[start:]]
        if length(messages) <= limit:
            return messages
    return _cut_first(system, turns[starts[-1] :], limit, length)


def _cut_first(
    system: list[Message], turns: list[Message], limit: int, length: Callable[[Prompt], int]
) -> list[Message]:
    content = turns[0]["content"]

    def fits(start: int) -> bool:
        return length([*system, *_with_content(turns, content[start:])]) <= limit

    start = bisect.bisect_left(range(len(content)), True, key=fits)
    if start == len(content):
        raise DataError(
            f"max_prompt_length {limit} leaves no room for the user's last question. "
            "Raise max_prompt_length"
        )
    return [*system, *_with_content(turns, content[start:])]


def _split(prompt: Prompt) -> tuple[list[Message], list[Message]]:
    """Returns the system messages at the beginning of a prompt, and the other messages."""
    turns = list(prompt)
    count = next(
        (i for i, m in enumerate(turns[:-1]) if m["role"] not in ("system", "developer")),
        len(turns) - 1,
    )
    return turns[:count], turns[count:]


def _with_content(turns: list[Message], content: str) -> list[Message]:
    return [{**turns[0], "content": content}, *turns[1:]]
