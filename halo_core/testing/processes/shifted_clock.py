"""Gives the modules of a component another date, so that a test sees what depends on the clock."""

from __future__ import annotations

import builtins
import datetime
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

SHIFT = datetime.timedelta(days=401, hours=5, minutes=7, seconds=11)
"""The lead of the other clock: it has another year, month, weekday, hour, minute and second."""


class _LikeDate(type):
    """The objects of the real classes are those of the classes below, too."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls.__mro__[1])


class _Date(datetime.date, metaclass=_LikeDate):
    @classmethod
    def today(cls) -> Any:
        return datetime.date.today() + SHIFT


class _Datetime(datetime.datetime, metaclass=_LikeDate):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return datetime.datetime.now(tz) + SHIFT

    @classmethod
    def today(cls) -> Any:
        return datetime.datetime.now() + SHIFT

    @classmethod
    def utcnow(cls) -> Any:
        return datetime.datetime.now(datetime.UTC).replace(tzinfo=None) + SHIFT


def _time() -> float:
    return time.time() + SHIFT.total_seconds()


def _time_ns() -> int:
    return time.time_ns() + int(SHIFT.total_seconds()) * 10**9


def _replaced() -> dict[int, Any]:
    """Returns replacements of the clock's classes, functions and modules, by their ids."""
    instead: dict[int, Any] = {
        id(datetime.date): _Date,
        id(datetime.datetime): _Datetime,
        id(time.time): _time,
        id(time.time_ns): _time_ns,
    }
    for name in ("gmtime", "localtime"):
        real = getattr(time, name)
        instead[id(real)] = lambda at=None, real=real: real(_time() if at is None else at)
    strftime = time.strftime
    instead[id(strftime)] = lambda form, at=None: strftime(form, at or time.localtime(_time()))
    for module in (datetime, time):
        proxy = ModuleType(module.__name__)
        for name, value in vars(module).items():
            proxy.__dict__[name] = instead.get(id(value), value)
        instead[id(module)] = proxy
    return instead


@contextmanager
def shifted_clock(modules: Sequence[ModuleType]) -> Iterator[None]:
    """Gives modules another date and time in a block. All other code has the usual clock.

    `datetime` itself cannot be changed, because libraries in C that are imported later expect its
    own classes. So an import inside a function of these modules gets a copy with another clock.

    Args:
        modules: The modules, whose global names are changed and set back.
    """
    instead, changed = _replaced(), []
    usual, ours = builtins.__import__, {id(vars(module)) for module in modules}
    clocks = {each.__name__: instead[id(each)] for each in (datetime, time)}

    def import_(name: str, globals: Any = None, *others: Any, **more: Any) -> Any:
        # `__import__("time")` has no globals of its own.
        names = sys._getframe(1).f_globals if globals is None else globals
        if name in clocks and id(names) in ours:
            return clocks[name]
        return usual(name, globals, *others, **more)

    builtins.__import__ = import_
    try:
        for module in modules:
            for name, value in list(vars(module).items()):
                if id(value) in instead and not name.startswith("__"):
                    changed.append((module, name, value))
                    setattr(module, name, instead[id(value)])
        yield
    finally:
        builtins.__import__ = usual
        for module, name, value in changed:
            setattr(module, name, value)


__all__ = ["shifted_clock"]
