"""The requests to an endpoint: many at once, the same one never twice, and again after a pause."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from halo_core.daemon_threads import DaemonThreads
from halo_judge.judges.endpoint.budget import CapReached
from halo_judge.judges.endpoint.failures import (
    Broken,
    Rejected,
    Rejections,
    Unreachable,
    Unsendable,
)
from halo_judge.judges.endpoint.pace import Outage, Pace
from halo_judge.judges.endpoint.replies import ReplyStore, request_key

Item = TypeVar("Item")
Result = TypeVar("Result")
Request = Mapping[str, Any]

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0
"""Pauses before a request is sent again. Each is twice the last one, less up to a quarter."""
LONGEST_ASKED_S = 120.0
"""Longest pause that an endpoint may ask for."""


@contextmanager
def open_traffic(
    folder: Path,
    pace: Pace,
    name: str,
    warn: Callable[[str], None],
    *,
    fits: Callable[[Request], bool],
    advice: Callable[[str], str],
    judge: str,
) -> Iterator[Traffic]:
    """Opens the traffic. On exit, it waits for requests in progress and keeps their replies.

    Args:
        folder: The folder of the replies.
        pace: The limit on concurrent requests.
        name: Name of the threads.
        warn: Function that shows a warning, for example of damaged replies.
        fits: Returns whether an earlier request differs from those of this session only in its
            texts, so that its reply shows that the endpoint answers them.
        advice: Returns what to do if every request is rejected, for the words of a rejection.
        judge: The judge's name, for messages.

    Raises:
        PathError: When replies cannot be saved there.
    """
    store = ReplyStore(folder, warn)
    threads = DaemonThreads(pace.most, name)
    try:
        rejections = Rejections(lambda: store.has_reply(fits), advice, judge)
        yield Traffic(pace, store, threads, rejections)
    finally:
        pace.hold()
        threads.shutdown()
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

    def __init__(
        self, pace: Pace, store: ReplyStore, threads: DaemonThreads, rejections: Rejections
    ) -> None:
        self.store = store
        self._rejections = rejections
        self._pace = pace
        self._threads = threads
        self._outage = Outage(pace.most)

    def reply_to(self, send: Callable[[], Result], *, retries: int) -> Result:
        """Sends a request, and sends it again after a pause if its reply is broken.

        Args:
            send: Sends the request and returns its reply.
            retries: Maximum number of times to send it again.

        Raises:
            Unreachable: When no reply came, or the endpoint is down.
            Rejected: When the endpoint rejects the request.
            UserError: When it rejects every request.
        """
        with self._slot():
            for sent in count():
                try:
                    return send()
                except Broken as broken:
                    if sent >= (retries if broken.passing else min(retries, 1)):
                        raise broken.last(str(broken)) from None
                    self._rest(sent, broken.wait_s)
                if self._pace.held:
                    raise Unreachable("stopped")
        raise AssertionError

    def _rest(self, sent: int, asked_s: float | None) -> None:
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**sent) * random.uniform(0.75, 1.0)
        self._pace.rest(pause if asked_s is None else min(LONGEST_ASKED_S, asked_s))

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """Waits until one more request may be sent, and records its success or failure.

        Raises:
            Unreachable: When the endpoint is down.
            UserError: When it rejects every request.
        """
        with self._pace.slot():
            self._outage.check()
            try:
                yield
            except Unreachable as error:
                if not self._pace.held:
                    self._outage.note(str(error))
                raise
            except Rejected as error:
                if not isinstance(error, Unsendable):
                    self._outage.over()
                    self._rejections.note(str(error))
                raise
            self._outage.over()
            self._rejections.over()
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
                future.exception()  # Waits. The error is no longer needed.
        self._pace.go_on()
