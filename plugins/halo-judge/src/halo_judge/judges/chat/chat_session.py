"""The session of the judge `gpt-4`: what is kept is read, the rest is asked, many at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from halo_core.errors import UserError
from halo_core.judge import Comparison, Verdict
from halo_judge.judges.chat.chat_client import Endpoint
from halo_judge.judges.chat.options import GPT4
from halo_judge.judges.chat.prices import most_tokens
from halo_judge.judges.chat.replies import Reading, preference, read_reply
from halo_judge.judges.chat.requests import Request, make_request, re_ask
from halo_judge.judges.endpoint.budget import Budget, CapReached
from halo_judge.judges.endpoint.pace import Pace, Rejected, Unreachable
from halo_judge.judges.endpoint.reply_store import Kept
from halo_judge.judges.endpoint.secret import read_key
from halo_judge.judges.endpoint.traffic import Settled, Traffic, open_traffic

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
        PathError: When replies cannot be kept.
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
    with closing(endpoint), open_traffic(shared, pace, "gpt-4") as traffic:
        yield ChatSession(judge, endpoint, traffic, account=os.path.relpath(folder, shared))


class ChatSession:
    """See `open_session`."""

    def __init__(self, judge: GPT4, endpoint: Endpoint, traffic: Traffic, *, account: str) -> None:
        self._judge = judge
        self._template = judge.read_template()
        self._price = judge.price()
        self._endpoint = endpoint
        self._traffic = traffic
        self._account = account
        self._budget = Budget(judge.max_cost, traffic.store.spent(account))

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        """Yields one verdict per comparison, as the replies come.

        What it holds does not grow with their number.

        Raises:
            UserError: When the endpoint takes no request of ours, or `max_cost` is reached; what
                was under way is waited for, yielded and kept.
        """
        try:
            answered = self._traffic.answered(comparisons, self._request, self._verdict)
            with closing(answered):
                for comparison, verdict in answered:
                    yield replace(verdict, id=comparison.id)
        except CapReached:
            raise self._cap_reached() from None

    def _request(self, comparison: Comparison) -> Request | Settled[Verdict]:
        shown = self._template.shown(comparison)
        if shown.a == shown.b:
            return Settled(Verdict("", "tie", "both texts are the same"))
        return make_request(self._judge, self._template, shown)

    def _verdict(self, key: str, request: Request) -> Verdict:
        """Returns the verdict on a request, without an id; runs in a thread."""
        paid: list[Kept] = []
        reading = Reading(None, "not asked")
        for attempt in range(ATTEMPTS):
            try:
                kept = self._traffic.store.get(key, attempt) or self._pay(key, attempt, request)
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
        price, messages = self._price, request["messages"]
        most = price.cost(most_tokens(messages), self._judge.max_tokens) if price else 0.0
        with self._traffic.slot():
            self._budget.set_aside(most)
            cost: float | None = 0.0
            try:
                reply = self._endpoint.ask(request["model"], messages, request["parameters"])
                cost = self._cost(reply, messages)
                kept = Kept(reply, cost)
                self._traffic.store.put(key, attempt, request, kept, self._account)
            finally:
                self._budget.settle(most, cost or 0.0)
        return kept

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
