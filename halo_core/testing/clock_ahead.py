"""Sets the clock of this process ahead for all Python code. It cannot be set back."""

from __future__ import annotations

import datetime
import time
from typing import Any

from halo_core.component import Component
from halo_core.testing.kept_state import modules_of

AHEAD = datetime.timedelta(days=401, hours=5, minutes=7, seconds=11)
"""Difference that changes the year, the month, the weekday, the hour, the minute and the second."""

_date, _datetime, _time, _time_ns = datetime.date, datetime.datetime, time.time, time.time_ns


class _Like(type):
    """Objects of the real classes are objects of the classes below, too."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls.__mro__[1])


class _Date(datetime.date, metaclass=_Like):
    @classmethod
    def today(cls) -> Any:
        return _date.today() + AHEAD


class _Datetime(datetime.datetime, metaclass=_Like):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return _datetime.now(tz) + AHEAD

    @classmethod
    def today(cls) -> Any:
        return _datetime.now() + AHEAD


def set_ahead(component: Component) -> None:
    """Sets the clock ahead, also where a component has imported a part of it by name.

    Call it after the component was made, because pydantic needs the real classes for options.

    Args:
        component: The component.
    """
    instead: dict[int, Any] = {
        id(_date): _Date,
        id(_datetime): _Datetime,
        id(_time): lambda: _time() + AHEAD.total_seconds(),
        id(_time_ns): lambda: _time_ns() + int(AHEAD.total_seconds()) * 10**9,
    }
    for name in ("gmtime", "localtime"):
        real = getattr(time, name)
        instead[id(real)] = _of_now(real)
    for module in (datetime, time, *modules_of(component)):
        for name, value in list(vars(module).items()):
            if id(value) in instead and not name.startswith("__"):
                setattr(module, name, instead[id(value)])


def _of_now(real: Any) -> Any:
    def shifted(at: float | None = None) -> Any:
        return real(_time() + AHEAD.total_seconds() if at is None else at)

    return shifted


__all__ = ["set_ahead"]
