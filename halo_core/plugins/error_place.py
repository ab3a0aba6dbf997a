"""Finds the line of a plugin's code that raised an error."""

from __future__ import annotations

import os
from types import TracebackType

_OWN = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")
_STANDARD_LIBRARY = os.path.join(os.path.dirname(os.__file__), "")
_INSTALLED = (os.path.join("", "site-packages", ""), os.path.join("", "dist-packages", ""))
_PASSING_ON = tuple(
    os.path.join("", package, "") for package in ("click", "pluggy", "pydantic", "_pytest")
)
"""Packages that call a plugin: its commands, its hooks, its validators, and pytest's skip."""


def raised_at(trace: TracebackType | None, fallback: str) -> str:
    """Returns ``file:line`` of the innermost frame in the package of a plugin.

    The outermost frame that does more than pass an error on belongs to the plugin. Other packages,
    and the standard library, raise errors about what the plugin gave them.

    Args:
        trace: The traceback of the error, from a call of halo's core.
        fallback: The place if no frame is one of the plugin.
    """
    import traceback

    frames = [frame for frame in traceback.extract_tb(trace) if not _is_passing_on(frame.filename)]
    if not frames:
        return fallback
    package = package_of(frames[0].filename)
    own = [frame for frame in frames if frame.filename.startswith(package)]
    return f"{own[-1].filename}:{own[-1].lineno}"


def _is_passing_on(file: str) -> bool:
    if file.startswith((_OWN, "<frozen")) or any(part in file for part in _PASSING_ON):
        return True
    return file.startswith(_STANDARD_LIBRARY) and not any(part in file for part in _INSTALLED)


def package_of(file: str) -> str:
    """Returns the folder of the outermost package that contains a module, or the module's file."""
    found, folder = file, os.path.dirname(file)
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        found, folder = os.path.join(folder, ""), os.path.dirname(folder)
    return found
