"""Public names that have a successor: they work for two minor versions, and warn.

The warning is a `DeprecationWarning`, so Python shows it to authors, for example in their tests,
and not to users. `halo check` lists it with the plugin's line.
"""

from __future__ import annotations

import os
import sys
import warnings
from types import FrameType
from typing import NamedTuple

from halo_core.errors import HaloDeprecationWarning

_OWN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")


class Successor(NamedTuple):
    """The successor of a public name.

    Attributes:
        name: The name to use instead, in the same package.
        since: The minor version in which the old name became deprecated, as ``0.3``.
        until: The minor version that no longer has the old name.
    """

    name: str
    since: str
    until: str


class Use(NamedTuple):
    """A use of a deprecated name.

    Attributes:
        file: The file that uses it.
        line: The line, from 1.
        text: The warning.
    """

    file: str
    line: int
    text: str


uses: list[Use] = []
"""The uses in this process, each once."""


def warn_of_name(package: str, name: str, successor: Successor) -> None:
    """Warns about the use of a deprecated name, at the line that uses it.

    Calls count once for each line, because an import asks twice for a name.

    Args:
        package: The package that has the name.
        name: The deprecated name.
        successor: Its successor.
    """
    text = (
        f"{package}.{name} is deprecated since {successor.since} and will be removed in "
        f"{successor.until}: use {package}.{successor.name}"
    )
    frame = _caller()
    use = Use(frame.f_code.co_filename, frame.f_lineno, text)
    if use not in uses:
        uses.append(use)
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(
        text, HaloDeprecationWarning, use.file, use.line, frame.f_globals["__name__"], registry
    )


def _caller() -> FrameType:
    """Returns the innermost frame that is neither of the core nor of Python's import."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_OWN, "<frozen importlib")):
            break
        frame = frame.f_back
    return frame
