"""Reads in pip's log which indexes refused to answer, which pip does not tell its user.

For pip, a page that it cannot fetch is a page without files. It then says that there is no such
distribution. Only its log has the status, which is the one for pip's own credentials.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from halo_core.uri_credentials import without_credentials

_PAGE = re.compile(r"Could not fetch URL (\S+): (.*)")
_STATUS = re.compile(r"^([45]\d\d) (?:Client|Server) Error|too many ([45]\d\d) error responses")
_ABSENT = (404, 410)
"""Statuses with which an index says that it has no such distribution."""
_LOGIN = (401, 403, 407)


@contextmanager
def pip_log() -> Iterator[Path]:
    """Yields the name of a file for pip's ``--log``, and removes it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "pip.log"


def refusals_in(log: Path) -> tuple[str, ...]:
    """Returns each status of a page that is neither good nor "absent", and the page.

    Args:
        log: A log of pip, which may be absent.

    Returns:
        Texts as in ``401 Unauthorized from https://***@example.org/simple/halo-exo/``.
    """
    if not os.path.exists(log):
        return ()
    found: dict[str, None] = {}
    for line in log.read_text("utf-8", "replace").splitlines():
        page = _PAGE.search(line)
        status = _STATUS.search(page[2]) if page else None
        if page is None or status is None:
            continue
        code = int(status[1] or status[2])
        if code not in _ABSENT:
            found[f"{_words(code)} from {without_credentials(page[1])}"] = None
    return tuple(found)


def refused(wanted: str, refusals: tuple[str, ...]) -> str:
    """Returns one sentence about indexes that refused to answer, with advice.

    Args:
        wanted: The requirement.
        refusals: The result of `refusals_in`, which is not empty.
    """
    login = any(int(text[:3]) in _LOGIN for text in refusals)
    advice = (
        "Check the user and the password or token: in the address of the index, in .netrc or in "
        "the keyring. pip config list shows the indexes that pip uses"
        if login
        else "Try again later"
    )
    return f"an index did not say whether it has {wanted}: {'; '.join(refusals)}. {advice}"


def _words(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:  # Some servers have statuses of their own, such as 520.
        return str(code)
