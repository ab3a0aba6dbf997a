"""The key of an endpoint: read from the environment, and removed from every text that is shown."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from halo_core.errors import UserError
from halo_core.finding import Requirement
from halo_core.redact import HIDDEN

NO_KEY = "none"
"""Key for endpoints that need no key, because the client always sends one."""
SHORTEST = 6
"""Minimum number of characters of a key. Shorter ones are not searched for in texts."""
_IN_ONE_PIECE = re.compile(r"[!#-&(-\[\]-~]+")
"""Printable ASCII without quotes and backslashes, which errors would show in another form."""


_VARIABLE = re.compile("[A-Z_][A-Z0-9_]*")


class Secret:
    """A key that is never printed.

    Args:
        value: The key.
    """

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def reveal(self) -> str:
        """Returns the key, only for the client."""
        return self._value

    def hide(self, text: str) -> str:
        """Returns a text without the key."""
        if len(self._value) < SHORTEST:  # Not a real key; it would cut words.
            return text
        return text.replace(self._value, HIDDEN)

    def hide_in(self, tree: Any) -> Any:
        """Returns a JSON tree without the key in its texts and in its names."""
        if isinstance(tree, str):
            return self.hide(tree)
        if isinstance(tree, Mapping):
            return {self.hide_in(name): self.hide_in(value) for name, value in tree.items()}
        if isinstance(tree, list):
            return [self.hide_in(value) for value in tree]
        return tree


def key_needed(variable: str | None) -> list[Requirement]:
    """Returns the requirement of a key's variable; none for an endpoint that needs no key."""
    if variable is None:
        return []
    return [Requirement("variable", variable, f"set it to the key of the endpoint: {variable}=...")]


def variable_name(value: object) -> object:
    """Checks an option and returns its value, the name of a key's variable.

    Raises:
        ValueError: When it is not such a name. The message does not show the value.
    """
    if value is None or (isinstance(value, str) and _VARIABLE.fullmatch(value)):
        return value
    raise ValueError(
        "expected the name of an environment variable in capitals, such as OPENAI_API_KEY, "
        "and not the key itself; null for an endpoint that wants no key"
    )


def address_parts(value: str, *, example: str) -> SplitResult:
    """Returns the parts of an HTTP address.

    Raises:
        ValueError: When it is not an address. The message shows the example and not the value.
    """
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:  # A password with a slash looks like a port that is not a number.
        parts, host, port = urlsplit(""), None, None
    blank = " " in value or not value.isprintable()
    if parts.scheme not in ("http", "https") or not host or port == 0 or blank:
        raise ValueError(f"expected an address such as {example}")
    return parts


def check_without_key(option: str, text: str, variable: str | None) -> None:
    """Checks that an option, which is recorded, does not contain the key.

    Raises:
        ValueError: When it does. The message does not show the key.
    """
    key = os.environ.get(variable or "", "").strip()
    if len(key) >= SHORTEST and key in text:
        raise ValueError(
            f"{option} holds the key that is in {variable}: it is recorded, so take the key out"
        )


def read_key(variable: str | None, judge: str) -> Secret:
    """Returns the key in an environment variable, or a placeholder if no key is needed.

    Raises:
        UserError: When the variable is not set or is not a key. Nothing has been asked yet.
    """
    if variable is None:
        return Secret(NO_KEY)
    value = os.environ.get(variable, "").strip()
    if not value:
        raise UserError(
            f"no key: the environment variable {variable} is not set. Set it (export "
            f"{variable}=...), name another one with the option api_key_env, or, for an endpoint "
            "that wants no key, write api_key_env: null",
            location=judge,
        )
    if _IN_ONE_PIECE.fullmatch(value) is None:  # The client would print a key that it cannot send.
        raise UserError(
            f"the environment variable {variable} holds blanks, quotes, line breaks or letters "
            "outside of ASCII; expected a key in one piece. Set it again",
            location=judge,
        )
    return Secret(value)
