"""The session of the judge `gpt-4`: reads kept replies, and asks for the others concurrently.

A reply with a verdict is kept as paid. Any other reply is kept as evidence with its cost, and the
request is asked again: by the next run, and at once with a reminder if the model answered.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from halo_core.errors import UserError
from halo_core.judge import Comparison, Verdict
from halo_judge.judges.chat.certainty import Certainty, certainty
from halo_judge.judges.chat.chat_client import ChatClient
from halo_judge.judges.chat.completion import NoCompletion, Reply, stored_reply
from halo_judge.judges.chat.prices import Price, most_tokens
from halo_judge.judges.chat.reading import Reading, read_reply
from halo_judge.judges.chat.refused import advice_for
from halo_judge.judges.chat.request_form import Request, RequestForm
from halo_judge.judges.chat.template import says_the_same
from halo_judge.judges.endpoint.budget import Budget, CapReached
from halo_judge.judges.endpoint.failures import Broken, Rejected, Unreachable
from halo_judge.judges.endpoint.pace import Pace
from halo_judge.judges.endpoint.replies import StoredReply
from halo_judge.judges.endpoint.secret import read_key
from halo_judge.judges.endpoint.traffic import NoRequest, Traffic, open_traffic

JUDGE = "the judge gpt-4"
STEPS = 2
"""Number of times that a run asks for a verdict, before the comparison is unscored."""
Answered = tuple[Verdict, Certainty]
"""A verdict without an id, and how sure the judge is."""


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
        warn: Function that shows a warning.

    Raises:
        UserError: When the key or the package `openai` is missing.
        PathError: When replies cannot be saved.
    """
    key = read_key(api_key_env, JUDGE)
    pace = Pace(concurrency)
    client = ChatClient(
        form.base_url, key, timeout_s=timeout_s, retries=retries, pace=pace, judge=JUDGE
    )
    traffic_opening = open_traffic(
        shared, pace, "gpt-4", warn, fits=form.fits, advice=advice_for, judge=JUDGE
    )
    with closing(client), traffic_opening as traffic:
        # The path is relative, so that a moved workspace continues with the same account.
        account = os.path.relpath(folder, shared)
        budget = Budget(max_cost, traffic.store.spent(account))
        session = ChatSession(
            form,
            client,
            traffic,
            budget,
            account=account,
            price=price,
            weighted=weighted,
            retries=retries,
        )
        yield session
        session.warn_of_lacking_certainty(warn)


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
        retries: int,
    ) -> None:
        self._form = form
        self._template = form.template
        self._client = client
        self._traffic = traffic
        self._budget = budget
        self._account = account
        self._price = price
        self._weighted = weighted
        self._retries = retries
        self._verdicts = 0
        self._lacks: Counter[str] = Counter()

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
                for comparison, (verdict, sure) in answered:
                    self._verdicts += verdict.winner is not None
                    self._lacks[sure.lack] += 1
                    yield replace(verdict, id=comparison.id)
        except CapReached:
            raise self._cap_reached() from None

    def warn_of_lacking_certainty(self, warn: Callable[[str], None]) -> None:
        """Warns about verdicts whose certainty was asked for and is not known, with the reasons."""
        lacks = {reason: count for reason, count in self._lacks.items() if reason}
        if lacks:
            reasons = ", ".join(f"{reason} ({count})" for reason, count in lacks.items())
            warn(
                f"{sum(lacks.values())} of {self._verdicts} verdicts of {JUDGE} have no certainty: "
                f"{reasons}. The verdicts count, and win_weighted is the mean over the others"
            )

    def _request(self, comparison: Comparison) -> Request | NoRequest[Answered]:
        shown = self._template.shown(comparison)
        if says_the_same(shown):
            return NoRequest((Verdict("", "tie", "both texts are the same"), Certainty(None)))
        return self._form.request(shown)

    def _answer(self, key: str, request: Request) -> Answered:
        """Returns the verdict on a request, without an id. Runs in a thread."""
        # The store comes first: a paid reply is valid no matter who asked for it.
        replies = self._traffic.store.replies_to(key)
        for stored in replies:
            if (kept := self._kept(stored)) is not None:
                return self._verdict(*kept, replies)
        asked_before = _unfinished(replies)
        reading = Reading(None, "not asked")
        for step in range(STEPS):
            if step == 0 and asked_before is not None:
                reply, reading = asked_before, Reading(None, "")
            else:
                send = partial(self._pay, key, step, request, replies)
                try:
                    reply, reading = self._traffic.reply_to(send, retries=self._retries)
                except (Unreachable, Rejected) as error:
                    if step and isinstance(error, Rejected):
                        # The endpoint does not take the reminder: the next run begins again.
                        ended = StoredReply(request, {}, 0.0, str(error), last=True, calls=0)
                        self._keep(key, ended)
                    return self._verdict(Reading(None, f"not answered: {error}"), None, replies)
            if reading.winner is not None:
                return self._verdict(reading, reply, replies)
            request = self._form.ask_again(request, reply)
        return self._verdict(reading, None, replies)

    def _kept(self, stored: StoredReply) -> tuple[Reading, Reply] | None:
        """Returns the verdict in a stored reply with the reply; None without a verdict."""
        try:
            reply = stored_reply(stored.reply)
        except NoCompletion:  # An earlier version kept it.
            return None
        reading = read_reply(reply, self._template.answer)
        return None if stored.unusable or reading.winner is None else (reading, reply)

    def _pay(
        self, key: str, step: int, request: Request, replies: list[StoredReply]
    ) -> tuple[Reply, Reading]:
        """Sends the request, and saves the reply before anything else happens.

        Args:
            key: The key of the first request.
            step: 0 for the first request, 1 for the reminder.
            request: The request.
            replies: All earlier replies. The new reply is added.

        Raises:
            Broken: When the reply is not an answer.
        """
        price, messages = self._price, request["messages"]
        most = price.cost(most_tokens(messages), self._form.max_tokens) if price else 0.0
        repeated = sum(bool(r.unusable) and r.request == request for r in replies)
        self._budget.set_aside(most)
        cost: float | None = 0.0
        try:
            try:
                reply = self._client.ask(request, repeated=repeated)
            except Broken as broken:
                stored = StoredReply(request, {}, 0.0, str(broken), broken.body, step, calls=0)
                if broken.charged is not None:
                    cost = price.cost(*broken.charged) if price else None
                    stored = replace(stored, cost=cost, calls=1)
                self._keep(key, stored, replies)
                raise
            cost = self._cost(reply, messages)
            reading = read_reply(reply, self._template.answer)
            reason = "" if reading.winner is not None else reading.reason
            stored = StoredReply(request, reply, cost, reason, step=step, last=step + 1 == STEPS)
            self._keep(key, stored, replies)
        finally:
            self._budget.settle(most, cost or 0.0)
        return reply, reading

    def _keep(
        self, key: str, stored: StoredReply, replies: list[StoredReply] | None = None
    ) -> None:
        self._traffic.store.keep(key, stored, self._account)
        if replies is not None:
            replies.append(stored)

    def _cost(self, reply: Reply, messages: Sequence[Mapping[str, str]]) -> float | None:
        if self._price is None:
            return None
        tokens_in, tokens_out = reply["tokens_in"], reply["tokens_out"]
        if tokens_in is None or tokens_out is None:  # Without counts, use the maximum.
            tokens_in, tokens_out = most_tokens(messages), self._form.max_tokens
        return self._price.cost(tokens_in, tokens_out)

    def _verdict(
        self, reading: Reading, reply: Reply | None, replies: Sequence[StoredReply]
    ) -> Answered:
        paid = [stored for stored in replies if stored.calls]
        costs = [stored.cost for stored in paid if stored.cost is not None]
        cost = sum(costs) if len(costs) == len(paid) and paid else None
        calls = sum(stored.calls for stored in paid)
        sure = Certainty(None)
        if self._weighted and reply is not None:
            labels = self._template.answer.labels
            sure = certainty(reply["tokens"], reply["content"], reading.start, labels)
        said = Verdict("", reading.winner, reading.reason, sure.preference, calls, cost)
        return said, sure

    def _cap_reached(self) -> UserError:
        return UserError(
            f"max_cost is {self._budget.cap:g} dollars, {self._budget.spent:.4f} are spent, "
            "and the next request might pass it. All verdicts are kept; increase max_cost and "
            "run the same command again to continue",
            location=JUDGE,
        )


def _unfinished(replies: Sequence[StoredReply]) -> Reply | None:
    """Returns the first reply of a conversation that a run did not finish, if any."""
    first = None
    for stored in replies:
        if stored.last:
            first = None
        elif stored.reply:
            with suppress(NoCompletion):
                first = stored_reply(stored.reply)
    return first
