"""Finds the prompt that the two texts of a pair share."""

from __future__ import annotations

from itertools import takewhile


def shared_prompt(chosen: str, rejected: str) -> tuple[str, str, str]:
    r"""Returns (prompt, chosen, rejected) of two texts that begin alike.

    The shared beginning is cut back to its last line break, or to its last space when it has no
    line break: two answers that start with the same words on a line of their own keep them. The
    white space at the cut belongs to neither part. The prompt is empty when nothing is shared.

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
