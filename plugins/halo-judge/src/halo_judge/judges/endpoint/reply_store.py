"""Every request and reply that was paid for, in one sqlite file: nothing is paid for twice."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_core.errors import PathError
from halo_core.hashing import short_hash

FILE = "replies.sqlite"
_TABLE = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT NOT NULL,        -- of the request that began it, see request_key
    attempt INTEGER NOT NULL, -- 0, and 1 when it was asked once more
    request TEXT NOT NULL,    -- JSON
    reply TEXT NOT NULL,      -- JSON
    cost REAL,                -- dollars, NULL when the price is not known
    account TEXT NOT NULL,    -- who paid
    time REAL NOT NULL,       -- Unix seconds
    PRIMARY KEY (key, attempt)
) WITHOUT ROWID
"""
_BUSY_S = 60.0


@dataclass(frozen=True)
class StoredReply:
    """A reply that was paid for, and its cost in dollars, None where that is not known."""

    reply: Mapping[str, Any]
    cost: float | None


def request_key(request: Mapping[str, Any]) -> str:
    """Returns the hash of a request: endpoint, template, model, parameters and messages.

    The messages hold the texts in the order in which they are shown.
    """
    text = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return short_hash(text, 64)


class ReplyStore:
    """An opened store; threads and processes may share the file.

    A reply that cannot be kept would be paid for again, so that is an error that stops the run.

    Args:
        folder: Where the file is, or will be.

    Raises:
        PathError: Here and in every method, when the file cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()
        with _usable(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            # Several processes of a workspace write at once; a reply needs to outlive its process.
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(_TABLE)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._db.close()

    def get(self, key: str, attempt: int) -> StoredReply | None:
        """Returns the reply to a request, or None when it was never given."""
        query = "SELECT reply, cost FROM replies WHERE key = ? AND attempt = ?"
        with self._lock, _usable(self._path):
            row = self._db.execute(query, (key, attempt)).fetchone()
        return None if row is None else StoredReply(json.loads(row[0]), row[1])

    def put(
        self, key: str, attempt: int, request: Mapping[str, Any], stored: StoredReply, account: str
    ) -> None:
        """Keeps a reply; when this returns, it outlives the process."""
        row = (key, attempt, json.dumps(request), json.dumps(stored.reply), stored.cost, account)
        with self._lock, _usable(self._path):
            self._db.execute(
                "INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, time.time())
            )

    def spent(self, account: str) -> float:
        """Returns the dollars paid on an account, in all runs."""
        query = "SELECT TOTAL(cost) FROM replies WHERE account = ?"
        with self._lock, _usable(self._path):
            total: float = self._db.execute(query, (account,)).fetchone()[0]
        return total


def stored_keys(folder: Path) -> set[str]:
    """Returns the keys of all requests that have a reply; writes nothing.

    Raises:
        PathError: When the file cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return set()
    with _usable(path):
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        with closing(db):
            return {key for (key,) in db.execute("SELECT key FROM replies WHERE attempt = 0")}


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Says which file it is that cannot be used, and that nothing is asked without it."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise PathError(
            f"cannot be used: {error}. What is paid for is kept there, so nothing more is asked. "
            "Free space, give yourself the right to write, or move the file away",
            location=str(path),
        ) from error
