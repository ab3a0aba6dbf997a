"""Fetches the newest index of the catalogue, for the commands that are about the catalogue."""

from __future__ import annotations

import os
import tempfile
from urllib.parse import urlsplit

from halo_core.errors import HaloError, UserError, error_text
from halo_core.plugins.catalogue import (
    VARIABLE,
    Catalogue,
    copy_of,
    known_catalogue,
    parse_index,
    read_index,
)
from halo_core.uri_credentials import without_credentials

TIMEOUT = 5.0
"""Seconds to wait for the server before the known catalogue is used."""
LARGEST = 20_000_000
"""Number of bytes of an index that are read."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def newest_catalogue() -> tuple[Catalogue, str]:
    """Returns the newest catalogue, and why it is not the fetched one, if it is not.

    Without ``HALO_CATALOGUE``, the index that came with this core is used, and nothing is fetched.
    An address is fetched and a copy is stored. If this fails, the last copy is used, or the index
    that came with this core.

    Raises:
        UserError: When ``HALO_CATALOGUE`` is neither a file nor an address of HTTPS.
    """
    address = os.environ.get(VARIABLE, "")
    if not address:
        return known_catalogue(), ""
    if "://" not in address:
        return read_index(os.path.expanduser(address), address), ""
    shown = without_credentials(address)
    _check_address(address, shown)
    try:
        text = _fetched(address, shown)
        catalogue = parse_index(text, shown)
    except (HaloError, OSError, ValueError) as error:
        reason = error.message if isinstance(error, HaloError) else error_text(error)
        return known_catalogue(), f"{shown} could not be used: {reason}"
    _store(address, text)
    return catalogue, ""


def _check_address(address: str, shown: str) -> None:
    try:
        parts = urlsplit(address)
        if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            return
    except ValueError:
        pass  # Brackets that are not around an IPv6 address. The error below says what is expected.
    raise UserError(
        f"got {shown!r}; expected a file, or an address that begins with https://",
        location=VARIABLE,
    )


def _fetched(address: str, shown: str) -> str:
    import urllib.request
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError

    request = urllib.request.Request(address, headers={"User-Agent": "halo"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
            _check_address(reply.geturl(), shown)  # A redirection must not leave HTTPS.
            content: bytes = reply.read(LARGEST + 1)
    except HTTPError as error:
        raise UserError(f"the server answered {error.code} {error.reason}") from error
    except URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise UserError(f"the server cannot be reached ({reason})") from error
    except OSError as error:
        raise UserError(f"the reply did not arrive ({error.strerror or error})") from error
    except HTTPException as error:
        # The text of an error about the address may contain a password.
        name = type(error).__name__
        raise UserError(f"the address or the reply is not valid ({name})") from error
    if len(content) > LARGEST:
        raise UserError(f"it has more than {LARGEST:,} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError("it is not UTF-8") from error


def _store(address: str, text: str) -> None:
    """Stores a copy for hints, which never use the network."""
    file = copy_of(address)
    try:
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=os.path.dirname(file), delete=False
        ) as copy:
            copy.write(text)
        os.replace(copy.name, file)
    except OSError:
        pass  # Hints then come from the older copy or the shipped index; nothing else needs it.
