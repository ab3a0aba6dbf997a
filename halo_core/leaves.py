"""The values inside nested mappings and lists, each with its path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def leaves(
    tree: Any, path: str = "", *, skipped: Callable[[str], bool] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yields the path and the value of each leaf, in order.

    Args:
        tree: Nested mappings and lists, or one value.
        path: The path of the tree itself; "" for the root.
        skipped: Says whether a part is left out by its path; None to leave out none.

    >>> list(leaves({"loss": {"use": "kto", "betas": [0.1, 0.9]}}))
    [('loss.use', 'kto'), ('loss.betas.0', 0.1), ('loss.betas.1', 0.9)]
    """
    items: Any
    if isinstance(tree, Mapping):
        items = tree.items()
    elif isinstance(tree, list):
        items = enumerate(tree)
    else:
        yield path, tree
        return
    for key, value in items:
        below = f"{path}.{key}" if path else str(key)
        if skipped is None or not skipped(below):
            yield from leaves(value, below, skipped=skipped)
