"""Makes a row of paired feedback from two texts or conversations and their shared prompt."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from halo_core.completion import Completion
from halo_core.feedback import Message
from halo_data.rows.dropped import (
    EMPTY_PROMPT,
    EMPTY_SIDE,
    IDENTICAL_SIDES,
    PROMPTS_DIFFER,
    Dropped,
    Row,
)
from halo_data.rows.messages import spoken


def pair(
    prompt: Sequence[Message], chosen: str | Completion, rejected: str | Completion
) -> Row | Dropped:
    """Returns a paired row, or the reason to drop it.

    Args:
        prompt: The messages before both completions.
        chosen: The preferred completion.
        rejected: The other completion.
    """
    better, worse = (Completion(c) if isinstance(c, str) else c for c in (chosen, rejected))
    if not prompt:
        return EMPTY_PROMPT
    if better.is_empty or worse.is_empty:
        return EMPTY_SIDE
    if better.key == worse.key:
        return IDENTICAL_SIDES
    return {"prompt": list(prompt), **better.columns("chosen"), **worse.columns("rejected")}


def pair_of_conversations(chosen: Sequence[Message], rejected: Sequence[Message]) -> Row | Dropped:
    """Returns the pair of two conversations that share all turns but the last.

    Two conversations that differ before their last turns contain answers to different prompts. A
    comparison of these answers means nothing, so such a row is dropped.

    Args:
        chosen: A conversation that ends with the preferred answer.
        rejected: A conversation that ends with the other one.
    """
    if not _answered(chosen) or not _answered(rejected):
        return EMPTY_SIDE
    if list(chosen[:-1]) != list(rejected[:-1]):
        return PROMPTS_DIFFER
    return pair(chosen[:-1], spoken(chosen[-1]), spoken(rejected[-1]))


def _answered(turns: Sequence[Message]) -> bool:
    last = turns[-1] if turns else None
    return last is not None and last["role"] == "assistant" and not spoken(last).is_empty


def shared_prompt(chosen: str, rejected: str) -> tuple[str, str, str]:
    r"""Returns (prompt, chosen, rejected) of two texts with the same beginning.

    The shared beginning ends at its last line break, or at its last space if it has no line break.
    So two answers that start with the same words on a new line keep these words. The white space at
    the cut belongs to neither part. The prompt is empty if nothing is shared.

    >>> shared_prompt("Q: Sky?\nA: It is blue.", "Q: Sky?\nA: It is green.")
    ('Q: Sky?', 'A: It is blue.', 'A: It is green.')
    >>> shared_prompt("The sky is blue.", "The sky is black.")
    ('The sky is', 'blue.', 'black.')
    """
    pairs = zip(chosen, rejected, strict=False)
    length = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    shared = chosen[:length]
    cut = shared.rfind("\n") + 1 or max(map(shared.rfind, (" ", "\t"))) + 1
    return shared[:cut].strip(), chosen[cut:].lstrip(), rejected[cut:].lstrip()
