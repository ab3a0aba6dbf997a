"""The replies of an endpoint: requested concurrently, kept, and never paid for twice.

The sessions of `gpt-4` and `http` share this module: threads that limit their pace and detect an
outage (`Traffic`), and one sqlite file with every paid request and reply (`ReplyStore`).
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from halo_core.errors import HaloError, PathError
from halo_core.hashing import short_hash
from halo_judge.judges.endpoint.budget import CapReached
from halo_judge.judges.endpoint.pace import Outage, Pace, Unreachable
from halo_judge.judges.endpoint.reply_file import FILE, count_replies, insert, open_replies

Item = TypeVar("Item")
Result = TypeVar("Result")
Request = Mapping[str, Any]


@contextmanager
def open_traffic(
    folder: Path, pace: Pace, name: str, warn: Callable[[str], None]
) -> Iterator[Traffic]:
    """Opens the traffic. On exit, it waits for requests in progress and keeps their replies.

    Args:
        folder: The folder of the replies.
        pace: The limit on concurrent requests.
        name: Name of the threads.
        warn: Function that shows a warning, for example of damaged replies.

    Raises:
        PathError: When replies cannot be saved there.
    """
    store = ReplyStore(folder, warn)
    threads = ThreadPoolExecutor(pace.most, thread_name_prefix=name)
    try:
        yield Traffic(pace, store, threads)
    finally:
        pace.hold()
        threads.shutdown(wait=True, cancel_futures=True)
        store.close()


@dataclass(frozen=True)
class NoRequest(Generic[Result]):
    """The result of an item that needs no request, for example of two equal texts."""

    result: Result


@dataclass(frozen=True)
class _Task(Generic[Item, Result]):
    """A request in progress, and the items that wait for it."""

    items: list[Item]
    future: Future[Result]


class Traffic:
    """The threads and the store that `open_traffic` opens.

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
        """Waits until one more request may be sent, and records its success or failure.

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
        """Yields each item with the result of its request, as replies arrive.

        Memory use does not grow with the number of items.

        Args:
            items: The items to ask.
            prepare: Function that returns the request of an item, or its result without a request.
            work: Function that returns the result of a request and its key. It runs in a thread.

        Raises:
            CapReached: When `work` raises it. Requests in progress are first completed and yielded.
        """
        rest = iter(items)
        done: SimpleQueue[str] = SimpleQueue()
        under_way: dict[str, _Task[Item, Result]] = {}
        capped: CapReached | None = None
        try:
            while True:
                # Twice the limit, so that a thread that has finished finds its next request.
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
        """Gives a request to the threads, unless the same request is in progress."""
        key = request_key(request)
        if key in under_way:
            under_way[key].items.append(item)
            return
        future = self._threads.submit(work, key, request)
        under_way[key] = _Task([item], future)
        # Only the key is used: a callback with the task would keep both until garbage collection.
        future.add_done_callback(lambda _: done.put(key))

    def _wait_for(self, futures: Sequence[Future[Any]]) -> None:
        """Waits for requests in progress, so that their replies are kept, and sends no others.

        Later requests find these replies in the store and do not pay for them again.
        """
        if not futures:
            return
        self._pace.hold()
        for future in futures:
            future.cancel()
        for future in futures:
            if not future.cancelled():
                future.exception()  # Waits. Nobody needs the error any more.
        self._pace.go_on()


@dataclass(frozen=True)
class StoredReply:
    """A paid reply, and its cost in dollars; None if the cost is not known."""

    reply: Mapping[str, Any]
    cost: float | None


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

    def get(self, key: str, attempt: int) -> StoredReply | None:
        """Returns the reply to a request, or None if there is none."""
        query = "SELECT reply, cost FROM replies WHERE key = ? AND attempt = ?"
        with self._current() as db:
            row = db.execute(query, (key, attempt)).fetchone()
        return None if row is None else StoredReply(json.loads(row[0]), row[1])

    def put(
        self, key: str, attempt: int, request: Mapping[str, Any], stored: StoredReply, account: str
    ) -> None:
        """Keeps a reply; when this returns, it outlives the process and a power cut."""
        cost = None if stored.cost is None else float(stored.cost)
        texts = json.dumps(request), json.dumps(stored.reply)
        with self._current() as db:
            insert(db, (key, attempt, *texts, cost, account, time.time()))

    def spent(self, account: str) -> float:
        """Returns the dollars paid by an account in all runs."""
        query = "SELECT TOTAL(cost) FROM replies WHERE account = ?"
        with self._current() as db:
            total: float = db.execute(query, (account,)).fetchone()[0]
        return total


def stored_keys(folder: Path) -> set[str]:
    """Returns the keys of all requests that have a reply. Writes nothing.

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
        raise PathError(
            f"cannot be used: {error}. What is paid for is kept there, so nothing more is asked. "
            "Free space, give yourself the right to write, or move the file away",
            location=str(path),
        ) from error
