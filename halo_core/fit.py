"""The needs of a stage on each device, and whether it fits there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of options, and the memory that the stage would then need.

    Attributes:
        options: The options to set, as in ``sharding: full``, with a remark if it changes results.
        gigabytes: Memory per device at its peak, in GB (1e9 bytes).
        fits: Whether this fits.
    """

    options: str
    gigabytes: float
    fits: bool


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A stage's needs on the devices of a plan.

    Attributes:
        used: Number of devices that the stage computes on.
        gigabytes: Memory per device at its peak, in GB (1e9 bytes). Not all parts are there at
            the same time, so it may be less than their sum.
        usable: Memory of a device that a plan counts on, in GB.
        parts: Memory per device of each part, in GB, by name.
        fits: Whether the peak fits on each device, and the stage has enough devices; None if a
            part is unknown and the others fit.
        tokens_per_second: Tokens per second of all its devices; None if unknown.
        hours: Hours of the whole stage on them; None if its length is unknown.
        assumed: Assumptions of the numbers, one fact each.
        changes: If it does not fit, changes of options, with what each would give.
        problem: Why it does not fit whatever its memory is, such as too few devices; "" if this is
            not so.
    """

    used: int
    gigabytes: float
    usable: float
    parts: Mapping[str, float] = field(default_factory=dict)
    fits: bool | None
    tokens_per_second: float | None = None
    hours: float | None = None
    assumed: Sequence[str] = ()
    changes: Sequence[Change] = ()
    problem: str = ""
