"""Keeps what the `openai` client reads from the environment away from servers of others.

The client adds headers from OPENAI_ORG_ID, OPENAI_PROJECT_ID and OPENAI_CUSTOM_HEADERS to each
request, whatever its address is. They name an account at OpenAI, and may hold a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpx2

OPENAI = "api.openai.com"
_SENT = frozenset(
    {"host", "accept", "accept-encoding", "connection", "user-agent", "content-type"}
    | {"content-length", "authorization", "idempotency-key"}
)
"""Headers that every server gets."""


def is_openai(base_url: str) -> bool:
    """Returns whether an address is one of OpenAI's own.

    >>> is_openai("https://api.openai.com/v1"), is_openai("https://eu.api.openai.com/v1")
    (True, True)
    >>> is_openai("http://api.openai.com/v1"), is_openai("https://api.openai.com.example.org/v1")
    (False, False)
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    return parts.scheme == "https" and (host == OPENAI or host.endswith(f".{OPENAI}"))


def drop_foreign_headers(request: httpx2.Request, base_url: str, key: str) -> None:
    """Removes the headers of a request that are not for its server, unless that is OpenAI's.

    Args:
        request: The request.
        base_url: The endpoint's address.
        key: The endpoint's key. A header from the environment may have replaced it.
    """
    if is_openai(base_url):
        return
    for name in [name for name in request.headers if name.lower() not in _SENT]:
        del request.headers[name]
    request.headers["Authorization"] = f"Bearer {key}"
