r"""Reads the transcripts of Anthropic HH: ``\n\nHuman: ...\n\nAssistant: ...``.

References:
    Bai et al. 2022, Training a Helpful and Harmless Assistant with Reinforcement Learning from
    Human Feedback (the data).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from halo_core.feedback import Message
from halo_data.rows.dropped import Dropped, Row
from halo_data.rows.pairs import pair_of_conversations

_MARKER = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def is_transcript(text: str) -> bool:
    r"""Returns whether a text starts with ``\n\nHuman:``, as every transcript does."""
    return text.startswith("\n\nHuman:")


def transcript_pair(chosen: str, rejected: str) -> Row | Dropped:
    """Returns the pair of two transcripts, or the reason to drop the row.

    The rules: consecutive turns of the same role are one turn, a Human turn at the end is dropped,
    and the prompt is the turns before the last one. Rows with an empty side, with different prompts
    or with identical sides are dropped; the first of these that applies is the reason.

    Args:
        chosen: The transcript that ends with the preferred answer.
        rejected: The transcript that ends with the other one.
    """
    return pair_of_conversations(conversation(chosen), conversation(rejected))


def conversation(transcript: str) -> list[Message]:
    r"""Returns the turns of a transcript, with consecutive turns of the same role merged.

    Only a marker after an empty line starts a turn. After a single newline, or within a line, it is
    text. A Human turn at the end has no answer and is left out. An empty turn before the last one
    stays, because the people who compared the answers saw it.

    >>> conversation("\n\nHuman: Hi\n\nAssistant: Um.\n\nAssistant: Hello!\n\nHuman: Bye")
    [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Um.\n\nHello!'}]
    """
    parts = _MARKER.split(transcript)[1:]
    turns = merged(
        {"role": _ROLES[role], "content": text.strip()}
        for role, text in zip(parts[::2], parts[1::2], strict=True)
    )
    return turns[:-1] if turns and turns[-1]["role"] == "user" else turns


def merged(turns: Iterable[Message]) -> list[Message]:
    """Returns turns, with neighbours of the same role joined by an empty line."""
    result: list[Message] = []
    for turn in turns:
        if result and result[-1]["role"] == turn["role"]:
            texts = (result[-1]["content"], turn["content"])
            content = "\n\n".join(text for text in texts if text)
            result[-1] = {"role": turn["role"], "content": content}
        else:
            result.append(turn)
    return result
