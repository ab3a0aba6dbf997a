"""The replies of an endpoint, in one sqlite file, so that none is paid for twice.

A reply is kept as paid if it could be used; only then it is not asked for again. All others are
kept as evidence, with the reason and their cost, under numbers below 0.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_core.errors import HaloError, PathError
from halo_core.hashing import short_hash
from halo_core.workspace.database_files import JOURNAL, beside, check_files
from halo_core.workspace.database_log import CUT, log_fault
from halo_core.workspace.databases import is_damage, read_only, readable
from halo_judge.judges.endpoint.reply_file import FILE, count_replies, open_replies
from halo_judge.judges.endpoint.reply_rows import insert


@dataclass(frozen=True)
class StoredReply:
    """A reply to a request.

    Attributes:
        request: The request.
        reply: The reply; empty if what came holds none.
        cost: Its cost in dollars; None if that is not known.
        unusable: The reason why it cannot be used; empty for a reply that can.
        body: The body that came, if it holds no reply.
        step: 0 for a reply to a first request, 1 if it was asked once more.
        last: Whether the conversation ends with it, so that the next one begins again.
        calls: Number of paid requests: 0 if the endpoint charged nothing for it.
    """

    request: Mapping[str, Any]
    reply: Mapping[str, Any]
    cost: float | None
    unusable: str = ""
    body: Any = None
    step: int = 0
    last: bool = False
    calls: int = 1

    def columns(self) -> tuple[str, str, float | None]:
        """Returns the columns `request`, `reply` and `cost` of the file."""
        kept: Mapping[str, Any] = self.reply
        if self.unusable:
            kept = {name: getattr(self, name) for name in _EVIDENCE}
        cost = None if self.cost is None else float(self.cost)
        return json.dumps(self.request), json.dumps(kept), cost


_EVIDENCE = ("unusable", "reply", "body", "step", "last", "calls")


def request_key(request: Mapping[str, Any]) -> str:
    """Returns the hash of a request: endpoint, template, model, parameters and messages.

    The messages contain the texts in the order in which they are shown.
    """
    text = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return short_hash(text, 64)


class ReplyStore:
    """An opened store. Threads and processes may share the file.

    If a reply cannot be saved, this is an error that stops the run, because it would be paid again.

    Args:
        folder: The folder of the file.
        warn: Function that shows a warning to the user.

    Raises:
        PathError: Here and in all methods, when the file cannot be read or written.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._warn = warn
        self._path = folder / FILE
        self._lock = threading.Lock()
        with _usable(self._path):
            self._open()

    def _open(self) -> None:
        self._db = open_replies(self._folder, self._warn)
        self._number = _file_number(self._path)

    @contextmanager
    def _current(self) -> Iterator[sqlite3.Connection]:
        """Yields the connection, to a new file if another process has set this one aside."""
        with self._lock, _usable(self._path):
            if _file_number(self._path) != self._number:
                self._db.close()
                self._open()
            yield self._db

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            # Everything is kept already. The count only serves a later warning.
            with suppress(sqlite3.Error, OSError, HaloError):
                count_replies(self._db, self._folder)
            self._db.close()

    def replies_to(self, key: str) -> list[StoredReply]:
        """Returns all replies to a request and those that followed from it, the oldest first."""
        query = "SELECT attempt, request, reply, cost FROM replies WHERE key = ? ORDER BY time"
        with self._current() as db:
            rows = db.execute(query, (key,)).fetchall()
        return [_stored(*row) for row in rows]

    def keep(self, key: str, stored: StoredReply, account: str) -> None:
        """Keeps a reply; when this returns, it outlives the process and a power cut.

        Args:
            key: The key of the request that began it.
            stored: The reply, as paid if it can be used, otherwise as evidence.
            account: The payer.
        """
        columns, step = stored.columns(), -1 if stored.unusable else 1
        attempt = -1 if stored.unusable else 0
        with self._current() as db:
            while True:
                before = db.total_changes
                insert(db, (key, attempt, *columns, account, time.time()))
                if db.total_changes > before:
                    return
                attempt += step  # An earlier reply, perhaps of another process, has the number.

    def has_reply(self, fits: Callable[[Mapping[str, Any]], bool]) -> bool:
        """Returns whether a request that fits has a reply that is kept as paid."""
        query = "SELECT request FROM replies WHERE attempt >= 0"
        with self._current() as db:
            return any(fits(json.loads(text)) for (text,) in db.execute(query))

    def spent(self, account: str) -> float:
        """Returns the dollars paid by an account in all runs."""
        query = "SELECT TOTAL(cost) FROM replies WHERE account = ?"
        with self._current() as db:
            total: float = db.execute(query, (account,)).fetchone()[0]
        return total


def stored_keys(folder: Path, is_usable: Callable[[Mapping[str, Any]], bool]) -> set[str]:
    """Returns the keys of all requests that have a usable reply. Writes nothing.

    Args:
        folder: The folder of the replies.
        is_usable: Returns whether a reply that is kept as paid can be used. Earlier versions also
            kept others as paid.

    Raises:
        PathError: When the file cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return set()
    with _usable(path):
        check_files(path)
        # A journal is not that of this file. `open_replies` sets it aside, and a log that is not.
        fault = log_fault(path) or CUT
        if beside(path, JOURNAL).exists() or not fault.startswith(CUT):
            return _usable_keys(read_only(path, alone=True), is_usable)
        with readable(path) as file:
            return _usable_keys(read_only(file), is_usable)


def _usable_keys(
    db: sqlite3.Connection, is_usable: Callable[[Mapping[str, Any]], bool]
) -> set[str]:
    with closing(db):
        rows = db.execute("SELECT key, reply FROM replies WHERE attempt >= 0")
        return {key for key, reply in rows if is_usable(json.loads(reply))}


def _stored(attempt: int, request: str, reply: str, cost: float | None) -> StoredReply:
    asked, kept = json.loads(request), json.loads(reply)
    if attempt >= 0:
        # An earlier version numbered replies by their step, and also kept unusable ones here.
        return StoredReply(asked, kept, cost, step=attempt, last=attempt > 0)
    return StoredReply(asked, cost=cost, **{name: kept[name] for name in _EVIDENCE})


def _file_number(path: Path) -> int | None:
    """Returns the number of the file in its file system; None if it is gone."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Converts errors to one that names the unusable file and says that nothing is asked."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        if is_damage(error):
            raise PathError(
                f"is damaged ({error}), so nothing more is asked or counted. The next halo run or "
                "halo judge sets it aside, keeps the replies that can be read, and says how many "
                "those are",
                location=str(path),
            ) from error
        raise PathError(
            f"cannot be used: {error}. It contains the paid replies, so nothing more is asked. "
            "Free space, give yourself the right to write, or move the file away",
            location=str(path),
        ) from error
