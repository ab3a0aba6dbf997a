r"""The one place where halo's text goes to the terminal, with control characters shown as text.

Data, specs, completions and replies of judges may contain escape sequences, which could move the
cursor, change the window's title, hide or reorder text, or write to the clipboard. `say` shows them
as the text ``\x1b``, so that the reader sees them and the terminal does not obey them. It also
hides the secrets whose values are known. A test checks that nothing else in halo prints.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from halo_core.known_secrets import hide_known

_CONTROLS = re.compile(
    # C0 without tab and newline, DEL and C1; marks that change the direction of text; line
    # separators of Unicode; lone surrogates, which no terminal can encode.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]"
)


class Drawn(str):
    """Text with colours that `halo_core.cli.terminal.drawn` made. Its parts were made visible."""

    __slots__ = ()

    def rstrip(self, chars: str | None = None, /) -> Drawn:
        """Returns the text without spaces and line ends at its end."""
        return Drawn(super().rstrip(chars))

    @classmethod
    def joined(cls, parts: Iterable[str], between: str = "\n") -> Drawn:
        """Returns parts as one text, in which only those that are `Drawn` keep their colours."""
        return cls(between.join(part if isinstance(part, cls) else visible(part) for part in parts))


def visible(text: str) -> str:
    r"""Returns text in which control characters are shown as Python writes them.

    Newlines and tabs stay, and a carriage return before a newline is dropped.

    >>> visible("red \x1b[31m, a bell \x07, backwards \u202e")
    'red \\x1b[31m, a bell \\x07, backwards \\u202e'
    """
    return _CONTROLS.sub(_shown, text.replace("\r\n", "\n"))


def _shown(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]


def shortened(text: str, most: int = 1000) -> str:
    """Returns a text of a message without its middle if it is too long to read.

    Args:
        text: The text, which may contain a value that a user gave.
        most: Maximum number of characters to show.

    >>> shortened("a" * 500 + "b" * 500, most=30)
    'aaaaaaaaaaaaaaaaaaaa ... (970 characters are left out) ... bbbbbbbbbb'
    """
    if len(text) <= most:
        return text
    first, last = text[: most * 2 // 3], text[-(most // 3) :]
    left_out = len(text) - len(first) - len(last)
    return f"{first} ... ({left_out:,} characters are left out) ... {last}"


def counted(number: int, noun: str) -> str:
    """Returns a number with a noun.

    >>> counted(1, "stage"), counted(3, "stage")
    ('1 stage', '3 stages')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def json_visible(text: str) -> str:
    r"""Returns JSON text with the same content, in which control characters are escaped.

    >>> json_visible('"\x9b31m"')
    '"\\u009b31m"'
    """
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


_above: list[Callable[[str, bool], None]] = []
"""Functions that print lines while a display is drawn. Only the last one is used."""
_lock = threading.RLock()  # a signal handler may print while its own thread is printing


def say(text: str = "", *, err: bool = False, end: str = "\n") -> None:
    """Prints text for people on stdout or stderr, at once and whole.

    While a display is drawn (see `lines_above`), the text appears above it.

    Args:
        text: The text. Unless it is `Drawn`, its control characters are made visible.
        err: Whether it goes to stderr.
        end: The end of the line. Without one, the line can continue.
    """
    shown = hide_known(text if isinstance(text, Drawn) else visible(text))
    with _lock:
        if _above:
            _above[-1](shown + end, err)
        else:
            write(shown + end, sys.stderr if err else sys.stdout)


def warn(message: str) -> None:
    """Prints a warning on stderr."""
    say(f"warning: {message}", err=True)


def write(shown: str, stream: TextIO) -> None:
    """Writes text that was made visible, and shows what the stream cannot encode as text.

    After a terminal was closed, the text for it is dropped: work that is saved must not fail.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    with dropped_by_closed_terminal():
        stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()


@contextmanager
def dropped_by_closed_terminal() -> Iterator[None]:
    """Lets nothing fail that is written, during a `with` statement, to a terminal that was closed.

    From then on, all of the process that is written to it is dropped.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO or not leave_closed_terminal():
            raise


def leave_closed_terminal() -> bool:
    """Returns whether stdout or stderr led to a terminal that was closed, and lets it lead nowhere.

    Otherwise each write fails, also those of libraries and of Python at its end.
    """
    found = False
    null = os.stat(os.devnull).st_rdev
    for number in (1, 2):
        with suppress(OSError):  # It is closed.
            status = os.fstat(number)
            # /dev/null looks so too, but then the error may be that of a disk.
            is_other = stat.S_ISCHR(status.st_mode) and status.st_rdev != null
            if is_other and not os.isatty(number):
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, number)
                os.close(nothing)
                found = True
    return found


@contextmanager
def lines_above(write_above: Callable[[str, bool], None]) -> Iterator[None]:
    """Lets a display print the text of `say` while it is drawn.

    Args:
        write_above: Receives visible text with its end, and whether it goes to stderr.
    """
    with _lock:
        _above.append(write_above)
    try:
        yield
    finally:
        with _lock:
            _above.remove(write_above)
