"""The program of `halo serve`: `transformers serve`, without secrets in what it prints.

The server logs the address of every request, and an address may have a key.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from typing import TextIO, cast

from halo_core import watched
from halo_core.known_secrets import hide_known


class WithoutSecrets(io.TextIOWrapper):
    """A stream that leaves out the secrets that this process knows."""

    def write(self, text: str, /) -> int:
        """Writes a text without secrets, and returns the number of its characters."""
        super().write(hide_known(text))
        return len(text)


def main() -> None:
    """Runs the server. After Ctrl-C it ends first, and then with 130.

    `halo serve` blocks Ctrl-C before this program begins.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        # Nothing has begun yet, and an import may catch an exception.
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    watched.continue_reports()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    sys.stdout, sys.stderr = map(without_secrets, (sys.stdout, sys.stderr))

    transformers = _command()
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    transformers()


def _command() -> Callable[[], object]:
    """Returns the command `transformers` without its requests to the hub and to PyPI.

    It asks the hub at its import for the names of coding agents, and PyPI once a day for a newer
    version. The hub is reached again afterwards: an adapter may need its base model from there.
    """
    os.environ.setdefault("HF_HUB_DISABLE_UPDATE_CHECK", "1")

    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        from transformers.cli import transformers
    finally:
        constants.HF_HUB_OFFLINE = before
    return cast(Callable[[], object], transformers.main)


def without_secrets(stream: TextIO) -> TextIO:
    """Returns a stream that writes to the same file, a line at once, without secrets."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # There is none if the server was started without one.
    return WithoutSecrets(
        stream.buffer, stream.encoding, errors="backslashreplace", line_buffering=True
    )


if __name__ == "__main__":
    main()
