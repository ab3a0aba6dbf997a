"""The state that a display shows, as plain data that can also be sent to another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class BarView:
    """A bar at a moment.

    Attributes:
        label: Name of the work.
        total: Number of units in all; None if it is not known.
        done: Number of units that are done.
        unit: Name of one unit; may be empty.
        facts: Short texts by label.
        began: When it began, in Unix seconds.
        advanced: When it last advanced, in Unix seconds.
        pace: Measured seconds per unit; None before it is known.
    """

    label: str
    total: int | None
    done: int
    unit: str
    facts: Mapping[str, str]
    began: float
    advanced: float
    pace: float | None

    def left(self, now: float) -> float | None:
        """Returns the seconds that are left; None if they are not known."""
        if self.total is None or self.pace is None:
            return 0.0 if self.total is not None and self.done >= self.total else None
        return max(0.0, (self.total - self.done) * self.pace - (now - self.advanced))


@dataclass(frozen=True)
class Later:
    """The time that stages after the current one need.

    Attributes:
        seconds: Seconds of those whose time can be told from measured speed.
        unknown: Number of those whose time cannot be told.
    """

    seconds: float = 0.0
    unknown: int = 0


@dataclass(frozen=True)
class View:
    """One run at a moment.

    Attributes:
        title: Text before the stage, as in ``cell 2 of 6, kto``; may be empty.
        place: Number of the stage, from 1; 0 before the first and after the last one.
        stages: Number of stages.
        stage: Id of the stage.
        use: Name of the stage's component.
        began: When the stage began, in Unix seconds.
        work: The bar of the stage's work; None before it begins.
        phase: The bar of the innermost phase; None if there is none.
        later: The time of later stages.
    """

    title: str = ""
    place: int = 0
    stages: int = 0
    stage: str = ""
    use: str = ""
    began: float = 0.0
    work: BarView | None = None
    phase: BarView | None = None
    later: Later = field(default_factory=Later)

    def as_json(self) -> dict[str, Any]:
        """Returns it as JSON, for `view_from`."""
        return asdict(self)


def view_from(tree: Mapping[str, Any]) -> View:
    """Returns the view from its JSON.

    Raises:
        KeyError: When a field is missing.
        TypeError: When a field is of no known name.
    """
    bars = {name: None if tree[name] is None else BarView(**tree[name]) for name in _BARS}
    return View(**{**tree, **bars, "later": Later(**tree["later"])})


_BARS = ("work", "phase")
