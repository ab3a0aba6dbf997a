"""The session of the judge `gpt-4`: what is kept is read, the rest is asked, many at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from halo_core.errors import UserError
from halo_core.judge import Comparison, Verdict
from halo_judge.budget import Budget, CapReached
from halo_judge.endpoint import Endpoint
from halo_judge.gpt4 import GPT4
from halo_judge.outage import Outage, Rejected, Unreachable
from halo_judge.pace import Pace
from halo_judge.prices import most_tokens
from halo_judge.reading import Reading, read_reply
from halo_judge.reply_store import Kept, ReplyStore, request_key
from halo_judge.requests import Request, make_request, re_ask
from halo_judge.secret import read_key
from halo_judge.weighting import preference

JUDGE = "the judge gpt-4"
ATTEMPTS = 2
"""A reply without a verdict is asked for once more, and then it is unscored."""


@contextmanager
def open_session(judge: GPT4, folder: Path, shared: Path) -> Iterator[ChatSession]:
    """Opens a session; on leaving, requests under way are waited for and their replies kept.

    Args:
        judge: The options.
        folder: The stage's; names its account, so that `max_cost` holds over all its runs.
        shared: Where the replies are kept.

    Raises:
        UserError: When the key or the package `openai` is missing.
    """
    key = read_key(judge.api_key_env, JUDGE)
    pace = Pace(judge.concurrency)
    endpoint = Endpoint(
        judge.base_url,
        key,
        timeout_s=judge.timeout_s,
        retries=judge.retries,
        pace=pace,
        judge=JUDGE,
    )
    store = ReplyStore(shared)
    threads = ThreadPoolExecutor(judge.concurrency, thread_name_prefix="gpt-4")
    try:
        account = os.path.relpath(folder, shared)
        yield ChatSession(judge, endpoint, store, threads, pace, account)
    finally:
        threads.shutdown(wait=True, cancel_futures=True)
        endpoint.close()
        store.close()


@dataclass(frozen=True)
class _Task:
    """A request that the threads have, and the comparisons that wait for it."""

    ids: list[str]
    future: Future[Verdict]


class ChatSession:
    """See `open_session`."""

    def __init__(
        self,
        judge: GPT4,
        endpoint: Endpoint,
        store: ReplyStore,
        threads: ThreadPoolExecutor,
        pace: Pace,
        account: str,
    ) -> None:
        self._judge = judge
        self._template = judge.read_template()
        self._price = judge.price()
        self._endpoint = endpoint
        self._store = store
        self._threads = threads
        self._pace = pace
        self._account = account
        self._budget = Budget(judge.max_cost, store.spent(account))
        self._outage = Outage(judge.concurrency)

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        """Yields one verdict per comparison, as the replies come.

        What it holds does not grow with their number.

        Raises:
            UserError: When the endpoint takes no request of ours, or `max_cost` is reached; what
                was under way is waited for, yielded and kept.
        """
        rest = iter(comparisons)
        done: SimpleQueue[str] = SimpleQueue()
        under_way: dict[str, _Task] = {}
        capped = False
        try:
            while True:
                while len(under_way) < 2 * self._judge.concurrency and not capped:
                    comparison = next(rest, None)
                    if comparison is None:
                        break
                    shown = self._template.shown(comparison)
                    if shown.a == shown.b:
                        yield Verdict(comparison.id, "tie", "both texts are the same")
                        continue
                    self._start(shown, under_way, done)
                if not under_way:
                    break
                task = under_way.pop(done.get())
                try:
                    verdict = task.future.result()
                except CapReached:
                    capped = True
                    continue
                for id_ in task.ids:
                    yield _named(verdict, id_)
        finally:
            self._leave([task.future for task in under_way.values()])
        if capped:
            raise self._cap_reached()

    def _start(
        self, shown: Comparison, under_way: dict[str, _Task], done: SimpleQueue[str]
    ) -> None:
        """Gives a comparison to the threads, unless the same one is under way."""
        request = make_request(self._judge, self._template, shown)
        key = request_key(request)
        if key in under_way:
            under_way[key].ids.append(shown.id)
            return
        future = self._threads.submit(self._verdict, key, request)
        under_way[key] = _Task([shown.id], future)
        # The key alone: a callback that held the task would keep both until garbage is collected.
        future.add_done_callback(lambda _: done.put(key))

    def _leave(self, futures: Sequence[Future[Verdict]]) -> None:
        if futures:
            self._endpoint.leave()
        for future in futures:
            future.cancel()
        for future in futures:
            if not future.cancelled():
                future.exception()  # Waits; what it raises has no reader any more.

    def _verdict(self, key: str, request: Request) -> Verdict:
        """Returns the verdict on a request, without an id; runs in a thread."""
        paid: list[Kept] = []
        reading = Reading(None, "not asked")
        for attempt in range(ATTEMPTS):
            try:
                kept = self._store.get(key, attempt) or self._pay(key, attempt, request)
            except (Unreachable, Rejected) as error:
                return _verdict(Reading(None, f"not answered: {error}"), paid)
            paid.append(kept)
            reading = read_reply(kept.reply, self._template.answer)
            if reading.winner is not None:
                sure = preference(kept.reply["tokens"], reading.start, self._template.answer.labels)
                return _verdict(reading, paid, sure if self._judge.weighted else None)
            request = re_ask(request, kept.reply, self._template)
        return _verdict(reading, paid)

    def _pay(self, key: str, attempt: int, request: Request) -> Kept:
        """Asks, and keeps the reply before anything else happens."""
        self._outage.check()
        price, messages = self._price, request["messages"]
        most = price.cost(most_tokens(messages), self._judge.max_tokens) if price else 0.0
        with self._pace.slot():
            self._budget.set_aside(most)
            cost: float | None = 0.0
            try:
                reply = self._ask(request)
                cost = self._cost(reply, messages)
                kept = Kept(reply, cost)
                self._store.put(key, attempt, request, kept, self._account)
            finally:
                self._budget.settle(most, cost or 0.0)
        self._pace.speed_up()
        return kept

    def _ask(self, request: Request) -> dict[str, Any]:
        try:
            reply = self._endpoint.ask(request["model"], request["messages"], request["parameters"])
        except Unreachable as error:
            self._outage.note(str(error))
            raise
        self._outage.over()
        return reply

    def _cost(self, reply: dict[str, Any], messages: Sequence[dict[str, str]]) -> float | None:
        if self._price is None:
            return None
        tokens_in, tokens_out = reply["tokens_in"], reply["tokens_out"]
        if tokens_in is None or tokens_out is None:  # Not counted by the endpoint: the most.
            tokens_in, tokens_out = most_tokens(messages), self._judge.max_tokens
        return self._price.cost(tokens_in, tokens_out)

    def _cap_reached(self) -> UserError:
        return UserError(
            f"max_cost is {self._judge.max_cost:g} dollars, {self._budget.spent:.4f} are spent, "
            "and the next request might pass it. All verdicts are kept; with a higher max_cost "
            "the same command goes on",
            location=JUDGE,
        )


def _verdict(reading: Reading, paid: Sequence[Kept], sure: float | None = None) -> Verdict:
    costs = [kept.cost for kept in paid if kept.cost is not None]
    cost = sum(costs) if len(costs) == len(paid) and paid else None
    return Verdict("", reading.winner, reading.reason, sure, len(paid), cost)


def _named(verdict: Verdict, id_: str) -> Verdict:
    return Verdict(
        id_, verdict.winner, verdict.reason, verdict.preference, verdict.calls, verdict.cost
    )
