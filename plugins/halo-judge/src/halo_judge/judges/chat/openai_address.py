"""Tells OpenAI's own addresses, which get the headers of an account, from those of others."""

from __future__ import annotations

from urllib.parse import urlsplit

OPENAI = "api.openai.com"


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
