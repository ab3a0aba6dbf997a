"""The names of splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from halo_core.errors import DataError, did_you_mean

T = TypeVar("T")


def with_train(splits: Mapping[str, T]) -> Mapping[str, T]:
    """Returns splits, where one that is the only one is also called ``train``.

    So a lone ``test.jsonl`` is read with and without ``split: test``.

    >>> with_train({"test": 1})
    {'train': 1, 'test': 1}
    """
    return {"train": next(iter(splits.values())), **splits} if len(splits) == 1 else splits


def of_split(splits: Mapping[str, T], name: str, where: str) -> T:
    """Returns what a split's name stands for.

    Args:
        splits: Split to what it stands for.
        name: The split asked for.
        where: What has these splits, for the message.

    Raises:
        DataError: When there is no such split, naming those that are there.
    """
    if name in splits:
        return splits[name]
    guess = did_you_mean(name, splits)
    raise DataError(
        f"no split {name!r}.{guess} There is: {', '.join(sorted(splits))}. Choose with split: NAME",
        location=where,
    )
