"""Says which environment variables are missing, because no file holds credentials."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from halo_core.errors import DataError, UserError
from halo_core.uri_credentials import uri_secrets, without_credentials
from halo_core.workspace.records import RUN
from halo_mlflow.store.state import STATE_FILE, known_stores
from halo_mlflow.store.store import (
    PASSWORD_VARIABLE,
    TOKEN_VARIABLE,
    URI_VARIABLE,
    USER_VARIABLE,
)

_REFUSED = re.compile(r"\b(401|403)\b")


def check_environment(uri: str | None, run: Path) -> None:
    """Checks that a run goes to the store that it was sent to before.

    Args:
        uri: The address in the spec; None if the environment gives it.
        run: The run's folder.

    Raises:
        UserError: When only the environment gave the address of a server, and now gives none.
    """
    if uri is not None or os.environ.get(URI_VARIABLE):
        return
    stores = list(dict.fromkeys(_stores_of_environment(run)))
    if stores and not any(store.startswith("sqlite:") for store in stores):
        raise UserError(
            f"this run was sent to {stores[-1]}, whose address was in {URI_VARIABLE}, which is not "
            f"set now. Set it again, with {USER_VARIABLE} and {PASSWORD_VARIABLE} or "
            f"{TOKEN_VARIABLE} if the server asks for them, or write uri: in the spec"
        )


def _stores_of_environment(run: Path) -> Iterator[str]:
    """Yields the stores that a run was sent to and that its spec did not name."""
    try:
        record = RUN.read(run)
    except DataError:
        record = None
    trees = record.get("tracking", []) if record else []
    told = record.get("trackers", {}) if record else {}
    named = {without_credentials(str(tree.get("uri")), "") for tree in trees}
    shown = [about.get("store") for about in told.values()]
    for store in (*known_stores(run / STATE_FILE), *shown):
        if isinstance(store, str) and without_credentials(store, "") not in named:
            yield store


def advice(error: BaseException) -> str:
    """Returns what to do about an error, as the end of a sentence; "" for most errors."""
    if not _REFUSED.search(str(error)):
        return ""
    given = [v for v in (USER_VARIABLE, PASSWORD_VARIABLE, TOKEN_VARIABLE) if os.environ.get(v)]
    if uri_secrets(os.environ.get(URI_VARIABLE, "")):
        given.insert(0, URI_VARIABLE)
    now = f"set now: {', '.join(given)}" if given else "none of them is set"
    return (
        f"; the server wants credentials in {USER_VARIABLE} and {PASSWORD_VARIABLE}, or in "
        f"{TOKEN_VARIABLE} ({now})"
    )
