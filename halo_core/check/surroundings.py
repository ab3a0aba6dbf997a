"""Notes texts that a component prints, and files that it leaves in the current folder."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import FrameType

from halo_core.check.findings import Finding
from halo_core.check.places import definition_of

SHOWN = 60
"""Characters of a printed text, and number of files, that a reason shows."""

THROUGH = ("click.", "contextlib", "halo_core.check.surroundings")
"""Beginnings of the names of modules through which other code prints."""


class Surroundings:
    """A record of the prints of a component, and of its files in the current folder.

    Args:
        of: The class of the component.
        folder: The current folder, if it is an empty one that was made for this check.
    """

    def __init__(self, of: object, folder: str | None) -> None:
        self._file = definition_of(of).rpartition(":")[0]
        self._module = getattr(of, "__module__", "")
        self._folder = folder
        self.printed: dict[str, str] = {}
        self.files: dict[str, str] = {}

    @contextmanager
    def watched(self, rule: str) -> Iterator[None]:
        """Drops all prints of the block, and notes those of the component and the files it left."""
        with redirect_stdout(_Heard(self)), redirect_stderr(_Heard(self)):
            yield
        if self._folder is not None:
            for name in sorted(os.listdir(self._folder))[:SHOWN]:
                self.files.setdefault(name, rule)

    def hear(self, text: str, frame: FrameType | None) -> None:
        """Notes a text if the component's own code printed it, and not a library."""
        while frame is not None and frame.f_globals.get("__name__", "").startswith(THROUGH):
            frame = frame.f_back
        if frame is None or not text.strip():
            return
        name = frame.f_globals.get("__name__", "")
        package = self._module.partition(".")[0]
        if frame.f_code.co_filename == self._file or name.partition(".")[0] == package:
            place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            self.printed.setdefault(place, text.strip()[:SHOWN])

    def findings(self, subject: str, kind: str) -> Iterator[Finding]:
        """Yields one finding for prints, and one for files in the current folder.

        Args:
            subject: The component.
            kind: Its kind. A tracker may print: halo shows it with the name of the tracker.
        """
        if self.printed:
            (place, text), *others = self.printed.items()
            more = f" (and at {len(others)} more places)" if others else ""
            reason = (
                f"it prints {text!r}{more}; expected it to print nothing: return results, and use "
                "the metrics, context.warn or context.progress for the rest"
            )
            yield Finding(subject, "prints", "warn" if kind == "tracker" else "fail", reason, place)
        if self.files:
            names = ", ".join(self.files)
            reason = (
                f"it leaves {names} in the current folder (during the rule "
                f"{next(iter(self.files.values()))!r}); expected no file there, because it is "
                "whatever folder the user is in"
            )
            yield Finding(subject, "current-folder", "fail", reason, self._file)


class _Heard(io.StringIO):
    """A stream that drops what it gets, and tells where it comes from."""

    def __init__(self, by: Surroundings) -> None:
        super().__init__()
        self._by = by

    def write(self, text: str) -> int:
        self._by.hear(text, sys._getframe(1))
        return len(text)


AFTER = ("prints", "current-folder")
"""Rules that are checked while the others run."""
