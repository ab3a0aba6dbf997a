"""The session of the judge `http`: what is kept is read, the rest is asked, many at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

from halo_core.scoring_judge import Answer, Score
from halo_judge.judges.endpoint.pace import Pace, Rejected, Unreachable
from halo_judge.judges.endpoint.reply_store import Kept
from halo_judge.judges.endpoint.secret import read_key
from halo_judge.judges.endpoint.traffic import Traffic, open_traffic
from halo_judge.judges.http.http_client import JUDGE, MESSAGE_LENGTH, HttpEndpoint
from halo_judge.judges.http.options import HttpJudge
from halo_judge.judges.prompt_text import prompt_text

_PLACE = re.compile(r"\{(prompt|completion)\}")
Read = tuple[float | None, str]
"""A score, or None and why there is none."""


@contextmanager
def open_session(judge: HttpJudge, folder: Path) -> Iterator[HttpSession]:
    """Opens a session; on leaving, requests under way are waited for and their replies kept.

    Raises:
        UserError: When the key or the package `requests` is missing.
        PathError: When replies cannot be kept.
    """
    key = None if judge.api_key_env is None else read_key(judge.api_key_env, JUDGE)
    pace = Pace(judge.concurrency)
    endpoint = HttpEndpoint(judge, key, pace)
    with closing(endpoint), open_traffic(folder, pace, "http-judge") as traffic:
        yield HttpSession(judge, endpoint, traffic)


class HttpSession:
    """See `open_session`."""

    def __init__(self, judge: HttpJudge, endpoint: HttpEndpoint, traffic: Traffic) -> None:
        self._judge = judge
        self._endpoint = endpoint
        self._traffic = traffic

    def score(self, answers: Sequence[Answer]) -> Iterator[Score]:
        """Yields one score per answer, as the replies come.

        Raises:
            UserError: When the endpoint takes no request of ours.
        """
        answered = self._traffic.answered(answers, self._request, self._read)
        with closing(answered):
            for answer, (value, reason) in answered:
                yield Score(answer.id, value, reason)

    def _request(self, answer: Answer) -> dict[str, Any]:
        return {"url": self._judge.url, "body": filled(self._judge.body, answer)}

    def _read(self, key: str, request: Mapping[str, Any]) -> Read:
        """Returns what a request gives; runs in a thread."""
        kept = self._traffic.store.get(key, 0)
        try:
            reply = kept.reply["reply"] if kept else self._ask(key, request)
        except (Unreachable, Rejected) as error:
            return None, f"not answered: {error}"
        return number_at(reply, self._judge.score)

    def _ask(self, key: str, request: Mapping[str, Any]) -> Any:
        with self._traffic.slot():
            reply = self._endpoint.ask(request["body"])
            self._traffic.store.put(key, 0, request, Kept({"reply": reply}, None), account="")
        return reply


def filled(body: Any, answer: Answer) -> Any:
    """Returns a JSON tree with the prompt and the completion in their places.

    >>> filled({"text": "A: {completion}"}, Answer("1", [], "Moo."))
    {'text': 'A: Moo.'}
    """
    if isinstance(body, Mapping):
        return {name: filled(value, answer) for name, value in body.items()}
    if isinstance(body, list):
        return [filled(value, answer) for value in body]
    if not isinstance(body, str):
        return body
    messages = [{"role": m["role"], "content": m["content"]} for m in answer.prompt]
    if body == "{messages}":
        return messages
    if body == "{conversation}":
        return [*messages, {"role": "assistant", "content": answer.completion}]
    parts = {"prompt": prompt_text(answer.prompt), "completion": answer.completion}
    # In one pass: a text that holds "{completion}" stays as it is.
    return _PLACE.sub(lambda place: parts[place.group(1)], body)


def number_at(reply: Any, path: str) -> Read:
    """Returns the number at a place of a reply, or None and why there is none.

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
