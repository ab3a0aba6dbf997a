"""The session of the judge `http`: reads kept replies, and asks for the others concurrently.

A reply with a number is kept and not asked for again. Any other is kept as evidence, and the
request is sent again, once after a pause and by the next run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from halo_core.scoring_judge import Answer, Score
from halo_judge.judges.endpoint.failures import Broken, Rejected, Unreachable
from halo_judge.judges.endpoint.pace import Pace
from halo_judge.judges.endpoint.replies import StoredReply
from halo_judge.judges.endpoint.secret import read_key
from halo_judge.judges.endpoint.traffic import Traffic, open_traffic
from halo_judge.judges.http.http_client import JUDGE, HttpClient
from halo_judge.judges.http.number_path import NumberOrReason, number_at
from halo_judge.judges.prompt_text import answer_text, prompt_text

_PLACE = re.compile(r"\{(prompt|completion)\}")


@contextmanager
def open_session(
    url: str,
    body: Mapping[str, Any],
    score: str,
    folder: Path,
    *,
    api_key_env: str | None,
    key_header: str,
    key_prefix: str,
    concurrency: int,
    timeout_s: float,
    retries: int,
    warn: Callable[[str], None],
) -> Iterator[HttpSession]:
    """Opens a session. On exit, it waits for requests in progress and keeps their replies.

    Args:
        url: The address to send completions to.
        body: The body to send, with places for the prompt and the completion (`fill_places`).
        score: Path of the number in a reply (`number_at`).
        folder: The folder of the replies.
        api_key_env: The environment variable of the key; None for no key.
        key_header: The header of the key.
        key_prefix: The text before the key in its header.
        concurrency: Maximum number of concurrent requests.
        timeout_s: Maximum seconds for one request.
        retries: Number of times that a failed request is sent again.
        warn: Function that shows a warning, for example of damaged replies.

    Raises:
        UserError: When the key or the package `requests` is missing.
        PathError: When replies cannot be saved.
    """
    key = None if api_key_env is None else read_key(api_key_env, JUDGE)
    pace = Pace(concurrency)
    client = HttpClient(
        url,
        key,
        key_header=key_header,
        key_prefix=key_prefix,
        timeout_s=timeout_s,
        retries=retries,
        pace=pace,
    )
    traffic_opening = open_traffic(
        folder,
        pace,
        "http-judge",
        warn,
        fits=lambda request: request["url"] == url,
        advice=lambda words: "; check url, body and score",
        judge=JUDGE,
    )
    with closing(client), traffic_opening as traffic:
        yield HttpSession(url, body, score, client, traffic)


class HttpSession:
    """The session that `open_session` opens."""

    def __init__(
        self, url: str, body: Mapping[str, Any], score: str, client: HttpClient, traffic: Traffic
    ) -> None:
        self._url = url
        self._body = body
        self._score = score
        self._client = client
        self._traffic = traffic

    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        """Yields one score per answer, as replies arrive.

        Raises:
            UserError: When the endpoint rejects all requests.
        """
        answered = self._traffic.answer_all(answers, self._request, self._read)
        with closing(answered):
            for answer, (value, reason) in answered:
                yield Score(answer.id, value, reason)

    def _request(self, answer: Answer) -> dict[str, Any]:
        return {"url": self._url, "body": fill_places(self._body, answer)}

    def _read(self, key: str, request: Mapping[str, Any]) -> NumberOrReason:
        """Returns the result of a request. Runs in a thread."""
        for stored in self._traffic.store.replies_to(key):
            # Earlier versions also kept replies without a number as if they were usable.
            if not stored.unusable and (kept := self._number(stored.reply["reply"]))[0] is not None:
                return kept
        send = partial(self._ask, key, request)
        try:
            # Other failures are retried by the client, which obeys Retry-After.
            return self._traffic.reply_to(send, retries=self._client.retries)
        except NoNumber as error:
            return None, str(error)
        except (Unreachable, Rejected) as error:
            return None, f"not answered: {error}"

    def _number(self, reply: Any) -> NumberOrReason:
        return number_at(reply, self._score)

    def _ask(self, key: str, request: Mapping[str, Any]) -> NumberOrReason:
        try:
            reply = self._client.ask(request["body"])
            number, reason = self._number(reply)
            if number is None:
                passing = isinstance(reply, Mapping) and bool(reply.get("error"))
                last = Unreachable if passing else NoNumber
                raise Broken(reason, reply, passing=passing, last=last)
        except Broken as broken:
            stored = StoredReply(request, {}, None, str(broken), broken.body, last=True, calls=0)
            self._traffic.store.keep(key, stored, account="")
            raise
        self._traffic.store.keep(key, StoredReply(request, {"reply": reply}, None), account="")
        return number, ""


class NoNumber(Rejected):
    """Raised for a reply that has no number at the path."""


def fill_places(body: Any, answer: Answer) -> Any:
    """Returns a JSON tree with the prompt and the completion in their places.

    >>> fill_places({"text": "A: {completion}"}, Answer("1", [], "Moo."))
    {'text': 'A: Moo.'}
    """
    if isinstance(body, Mapping):
        return {name: fill_places(value, answer) for name, value in body.items()}
    if isinstance(body, list):
        return [fill_places(value, answer) for value in body]
    if not isinstance(body, str):
        return body
    messages = [dict(message) for message in answer.prompt]
    if body == "{messages}":
        return messages
    if body == "{conversation}":
        said = {"role": "assistant", "content": answer.completion, **(answer.fields or {})}
        return [*messages, said]
    if body == "{tools}":
        return [dict(tool) for tool in answer.tools or ()]
    parts = {
        "prompt": prompt_text(answer.prompt, answer.tools),
        "completion": answer_text(answer.completion, answer.fields),
    }
    # Done in one pass, so that a text with "{completion}" stays unchanged.
    return _PLACE.sub(lambda place: parts[place.group(1)], body)
