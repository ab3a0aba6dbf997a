"""Keeps what the `openai` client reads from the environment away from a server.

The client adds headers from OPENAI_ORG_ID, OPENAI_PROJECT_ID and OPENAI_CUSTOM_HEADERS to each
request, whatever its address is. They name an account at OpenAI, and may hold a key.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

OPENAI = "api.openai.com"

SENT = frozenset(
    {"host", "accept", "accept-encoding", "connection", "user-agent", "content-type"}
    | {"content-length", "authorization", "idempotency-key"}
)
"""Names of the headers that every server gets."""


def drop_foreign_headers(request: Any, key: str) -> None:
    """Removes the headers of a request that halo did not choose.

    Args:
        request: The request, of `httpx2`.
        key: The endpoint's key. A header from the environment may have replaced it.
    """
    for name in [name for name in request.headers if name.lower() not in SENT]:
        del request.headers[name]
    request.headers["Authorization"] = f"Bearer {key}"


def is_openai(base_url: str) -> bool:
    """Returns whether an address is one of OpenAI's own, which get the headers of an account.

    >>> is_openai("https://api.openai.com/v1"), is_openai("https://eu.api.openai.com/v1")
    (True, True)
    >>> is_openai("http://api.openai.com/v1"), is_openai("https://api.openai.com.example.org/v1")
    (False, False)
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    return parts.scheme == "https" and (host == OPENAI or host.endswith(f".{OPENAI}"))
