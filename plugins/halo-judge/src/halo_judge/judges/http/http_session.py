"""The session of the judge `http`: reads kept replies, and asks for the others concurrently."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

from halo_core.scoring_judge import Answer, Score
from halo_judge.judges.endpoint.pace import Pace, Rejected, Unreachable
from halo_judge.judges.endpoint.replies import StoredReply, Traffic, open_traffic
from halo_judge.judges.endpoint.secret import read_key
from halo_judge.judges.http.http_client import JUDGE, MESSAGE_LENGTH, HttpClient
from halo_judge.judges.prompt_text import answer_text, prompt_text

_PLACE = re.compile(r"\{(prompt|completion)\}")
ScoreOrReason = tuple[float | None, str]
"""A score, or None and the reason why there is none."""


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
    with closing(client), open_traffic(folder, pace, "http-judge", warn) as traffic:
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

    def _read(self, key: str, request: Mapping[str, Any]) -> ScoreOrReason:
        """Returns the result of a request. Runs in a thread."""
        stored = self._traffic.store.get(key, 0)
        try:
            reply = stored.reply["reply"] if stored else self._ask(key, request)
        except (Unreachable, Rejected) as error:
            return None, f"not answered: {error}"
        return number_at(reply, self._score)

    def _ask(self, key: str, request: Mapping[str, Any]) -> Any:
        with self._traffic.slot():
            reply = self._client.ask(request["body"])
            self._traffic.store.put(
                key, 0, request, StoredReply({"reply": reply}, None), account=""
            )
        return reply


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


def number_at(reply: Any, path: str) -> ScoreOrReason:
    """Returns the number at a path of a reply, or None and the reason why there is none.

    >>> number_at({"labels": [{"score": 0.25}]}, "labels.0.score")
    (0.25, '')
    """
    value = reply
    for part in path.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None, f"the reply has no {path!r}: {repr(reply)[:MESSAGE_LENGTH]}"
    if isinstance(value, int | float) and isfinite(value):
        return float(value), ""
    came = repr(value)[:MESSAGE_LENGTH]
    return None, f"{path!r} of the reply is {came}; expected a finite number"
