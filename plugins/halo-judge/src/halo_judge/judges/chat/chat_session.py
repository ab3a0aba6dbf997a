"""The session of the judge `gpt-4`: reads kept replies, and asks for the others concurrently."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from halo_core.errors import UserError
from halo_core.judge import Comparison, Verdict
from halo_judge.judges.chat.certainty import preference
from halo_judge.judges.chat.chat_client import ChatClient, Request, RequestForm
from halo_judge.judges.chat.prices import Price, most_tokens
from halo_judge.judges.chat.template import Reading, read_reply, says_the_same
from halo_judge.judges.endpoint.budget import Budget, CapReached
from halo_judge.judges.endpoint.pace import Pace, Rejected, Unreachable
from halo_judge.judges.endpoint.replies import NoRequest, StoredReply, Traffic, open_traffic
from halo_judge.judges.endpoint.secret import read_key

JUDGE = "the judge gpt-4"
ATTEMPTS = 2
"""Number of attempts to get a verdict, before the comparison is unscored."""


@contextmanager
def open_session(
    form: RequestForm,
    folder: Path,
    shared: Path,
    *,
    api_key_env: str | None,
    concurrency: int,
    timeout_s: float,
    retries: int,
    weighted: bool,
    price: Price | None,
    max_cost: float | None,
    warn: Callable[[str], None],
) -> Iterator[ChatSession]:
    """Opens a session. On exit, it waits for requests in progress and keeps their replies.

    Args:
        form: The common part of the requests.
        folder: The stage's folder. It names the account, so `max_cost` applies to all its runs.
        shared: The folder of the replies.
        api_key_env: The environment variable of the key; None for no key.
        concurrency: Maximum number of concurrent requests.
        timeout_s: Maximum seconds for one request.
        retries: Number of times that a failed request is sent again.
        weighted: Whether to record the judge's certainty.
        price: Price of the model; None if not known.
        max_cost: Dollars that the account may spend; None for no limit.
        warn: Function that shows a warning, for example of damaged replies.

    Raises:
        UserError: When the key or the package `openai` is missing.
        PathError: When replies cannot be saved.
    """
    key = read_key(api_key_env, JUDGE)
    pace = Pace(concurrency)
    client = ChatClient(
        form.base_url, key, timeout_s=timeout_s, retries=retries, pace=pace, judge=JUDGE
    )
    with closing(client), open_traffic(shared, pace, "gpt-4", warn) as traffic:
        # The path is relative, so that a moved workspace continues with the same account.
        account = os.path.relpath(folder, shared)
        budget = Budget(max_cost, traffic.store.spent(account))
        yield ChatSession(
            form, client, traffic, budget, account=account, price=price, weighted=weighted
        )


class ChatSession:
    """The session that `open_session` opens."""

    def __init__(
        self,
        form: RequestForm,
        client: ChatClient,
        traffic: Traffic,
        budget: Budget,
        *,
        account: str,
        price: Price | None,
        weighted: bool,
    ) -> None:
        self._form = form
        self._template = form.template
        self._client = client
        self._traffic = traffic
        self._budget = budget
        self._account = account
        self._price = price
        self._weighted = weighted

    def compare(self, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
        """Yields one verdict per comparison, as replies arrive.

        Memory use does not grow with the number of comparisons.

        Raises:
            UserError: When the endpoint rejects all requests, or `max_cost` is reached. Requests in
                progress are first completed, yielded and kept.
        """
        try:
            answered = self._traffic.answer_all(comparisons, self._request, self._answer)
            with closing(answered):
                for comparison, verdict in answered:
                    yield replace(verdict, id=comparison.id)
        except CapReached:
            raise self._cap_reached() from None

    def _request(self, comparison: Comparison) -> Request | NoRequest[Verdict]:
        shown = self._template.shown(comparison)
        if says_the_same(shown):
            return NoRequest(Verdict("", "tie", "both texts are the same"))
        return self._form.request(shown)

    def _answer(self, key: str, request: Request) -> Verdict:
        """Returns the verdict on a request, without an id. Runs in a thread."""
        paid: list[StoredReply] = []
        reading = Reading(None, "not asked")
        for attempt in range(ATTEMPTS):
            try:
                # The store comes first: a paid reply is valid no matter who asked for it.
                stored = self._traffic.store.get(key, attempt) or self._pay(key, attempt, request)
            except (Unreachable, Rejected) as error:
                return _verdict(Reading(None, f"not answered: {error}"), paid)
            paid.append(stored)
            reading = read_reply(stored.reply, self._template.answer)
            if reading.winner is not None:
                labels = self._template.answer.labels
                sure = preference(stored.reply["tokens"], reading.start, labels)
                return _verdict(reading, paid, sure if self._weighted else None)
            request = self._form.ask_again(request, stored.reply)
        return _verdict(reading, paid)

    def _pay(self, key: str, attempt: int, request: Request) -> StoredReply:
        """Sends the request, and saves the reply before anything else happens."""
        price, messages = self._price, request["messages"]
        most = price.cost(most_tokens(messages), self._form.max_tokens) if price else 0.0
        with self._traffic.slot():
            self._budget.set_aside(most)
            cost: float | None = 0.0
            try:
                reply = self._client.ask(request["model"], messages, request["parameters"])
                cost = self._cost(reply, messages)
                stored = StoredReply(reply, cost)
                self._traffic.store.put(key, attempt, request, stored, self._account)
            finally:
                self._budget.settle(most, cost or 0.0)
        return stored

    def _cost(self, reply: dict[str, Any], messages: Sequence[dict[str, str]]) -> float | None:
        if self._price is None:
            return None
        tokens_in, tokens_out = reply["tokens_in"], reply["tokens_out"]
        if tokens_in is None or tokens_out is None:  # Without counts, use the maximum.
            tokens_in, tokens_out = most_tokens(messages), self._form.max_tokens
        return self._price.cost(tokens_in, tokens_out)

    def _cap_reached(self) -> UserError:
        return UserError(
            f"max_cost is {self._budget.cap:g} dollars, {self._budget.spent:.4f} are spent, "
            "and the next request might pass it. All verdicts are kept; with a higher max_cost "
            "the same command goes on",
            location=JUDGE,
        )


def _verdict(reading: Reading, paid: Sequence[StoredReply], sure: float | None = None) -> Verdict:
    costs = [stored.cost for stored in paid if stored.cost is not None]
    cost = sum(costs) if len(costs) == len(paid) and paid else None
    return Verdict("", reading.winner, reading.reason, sure, len(paid), cost)
