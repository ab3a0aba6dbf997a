"""The replies of an endpoint: asked for many at once, kept, and none of them paid for twice.

The sessions of `gpt-4` and `http` share it: threads that keep to a pace and notice an outage
(`Traffic`), and every request and reply that was paid for, in one sqlite file (`ReplyStore`).
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from halo_core.errors import PathError
from halo_core.hashing import short_hash
from halo_core.workspace.files import make_durable
from halo_judge.judges.endpoint.budget import CapReached
from halo_judge.judges.endpoint.pace import Outage, Pace, Unreachable

Item = TypeVar("Item")
Result = TypeVar("Result")
Request = Mapping[str, Any]

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


@contextmanager
def open_traffic(folder: Path, pace: Pace, name: str) -> Iterator[Traffic]:
    """Opens it; on leaving, requests under way are waited for and their replies kept.

    Args:
        folder: Where the replies are kept.
        pace: How many requests may be under way.
        name: Of the threads.

    Raises:
        PathError: When replies cannot be kept there.
    """
    store = ReplyStore(folder)
    threads = ThreadPoolExecutor(pace.most, thread_name_prefix=name)
    try:
        yield Traffic(pace, store, threads)
    finally:
        pace.hold()
        threads.shutdown(wait=True, cancel_futures=True)
        store.close()


@dataclass(frozen=True)
class NoRequest(Generic[Result]):
    """What becomes of an item without one: two texts that are the same, say."""

    result: Result


@dataclass(frozen=True)
class _Task(Generic[Item, Result]):
    """A request that the threads have, and the items that wait for it."""

    items: list[Item]
    future: Future[Result]


class Traffic:
    """See `open_traffic`.

    Attributes:
        store: The replies.
    """

    def __init__(self, pace: Pace, store: ReplyStore, threads: ThreadPoolExecutor) -> None:
        self.store = store
        self._pace = pace
        self._threads = threads
        self._outage = Outage(pace.most)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Waits until one more request may be sent, and takes note of what becomes of it.

        Raises:
            Unreachable: When the endpoint is down.
        """
        with self._pace.slot():
            self._outage.check()
            try:
                yield
            except Unreachable as error:
                if not self._pace.held:
                    self._outage.note(str(error))
                raise
            self._outage.over()
        self._pace.speed_up()

    def answer_all(
        self,
        items: Iterable[Item],
        prepare: Callable[[Item], Request | NoRequest[Result]],
        work: Callable[[str, Request], Result],
    ) -> Generator[tuple[Item, Result], None, None]:
        """Yields each item with what becomes of its request, as the replies come.

        What it holds does not grow with the number of items.

        Args:
            items: To be asked.
            prepare: Returns the request of an item, or what becomes of it without one.
            work: Returns what becomes of a request, given its key too; runs in a thread.

        Raises:
            CapReached: When `work` did; what was under way is waited for and yielded before.
        """
        rest = iter(items)
        done: SimpleQueue[str] = SimpleQueue()
        under_way: dict[str, _Task[Item, Result]] = {}
        capped: CapReached | None = None
        try:
            while True:
                # Twice what may be sent, so that a thread that is done finds its next request.
                while len(under_way) < 2 * self._pace.most and capped is None:
                    try:
                        item = next(rest)
                    except StopIteration:
                        break
                    request = prepare(item)
                    if isinstance(request, NoRequest):
                        yield item, request.result
                    else:
                        self._start(item, request, work, under_way, done)
                if not under_way:
                    break
                task = under_way.pop(done.get())
                try:
                    result = task.future.result()
                except CapReached as reached:
                    capped = reached
                    continue
                for item in task.items:
                    yield item, result
        finally:
            self._wait_for([task.future for task in under_way.values()])
        if capped is not None:
            raise capped

    def _start(
        self,
        item: Item,
        request: Request,
        work: Callable[[str, Request], Result],
        under_way: dict[str, _Task[Item, Result]],
        done: SimpleQueue[str],
    ) -> None:
        """Gives a request to the threads, unless the same one is under way."""
        key = request_key(request)
        if key in under_way:
            under_way[key].items.append(item)
            return
        future = self._threads.submit(work, key, request)
        under_way[key] = _Task([item], future)
        # The key alone: a callback that held the task would keep both until garbage is collected.
        future.add_done_callback(lambda _: done.put(key))

    def _wait_for(self, futures: Sequence[Future[Any]]) -> None:
        """Waits for requests under way, so that their replies are kept; sends no others.

        What is asked next finds these replies in the store, and pays for none of them again.
        """
        if not futures:
            return
        self._pace.hold()
        for future in futures:
            future.cancel()
        for future in futures:
            if not future.cancelled():
                future.exception()  # Waits; what it raises has no reader any more.
        self._pace.go_on()


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
            # Several processes of a workspace write at once; a reply is paid for, and outlives its
            # process and a power cut.
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute(_TABLE)
            make_durable(folder, within=False)

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
        """Keeps a reply; when this returns, it outlives the process and a power cut."""
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
