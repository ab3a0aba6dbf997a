"""One error from the errors of several processes."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from halo_core.errors import DiskError, HaloError


def joined(errors: Sequence[HaloError | None]) -> HaloError:
    """Returns the error that a training raises when some of its processes failed.

    Different errors are all in its message, with the ranks that had them. The first one decides the
    class: a `DiskError` if there is one, because a full disk is often the cause of the others.

    Args:
        errors: The error of each process, in the order of ranks; None for a process without one.
            There is at least one error.
    """
    ranks: dict[str, list[int]] = {}
    first_of: dict[str, HaloError] = {}
    for rank, error in enumerate(errors):
        if error is not None:
            ranks.setdefault(str(error), []).append(rank)
            first_of.setdefault(str(error), error)
    cause = min(first_of.values(), key=lambda error: not isinstance(error, DiskError))
    others = [text for text in ranks if text != str(cause)]
    if not others:
        return cause
    more = "; ".join(f"{_named(ranks[text])}: {text}" for text in others)
    message = f"{_named(ranks[str(cause)])}: {cause.message}. Also, {more}"
    whole = copy(cause)  # with its class, which has the exit code, and its place
    whole.message = HaloError(message).message
    whole.args = (whole.message,)
    return whole


def _named(ranks: Sequence[int]) -> str:
    numbers = ", ".join(map(str, ranks))
    return f"rank {numbers}" if len(ranks) == 1 else f"ranks {numbers}"
