"""The requests of a session: many at once, no more than the endpoint takes, and none in vain.

The sessions of `gpt-4` and `http` share it: threads, the pace, the notice of an outage, and the
store of replies.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from halo_judge.judges.endpoint.budget import CapReached
from halo_judge.judges.endpoint.pace import Outage, Pace, Unreachable
from halo_judge.judges.endpoint.reply_store import ReplyStore, request_key

Item = TypeVar("Item")
Result = TypeVar("Result")
Request = Mapping[str, Any]


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
