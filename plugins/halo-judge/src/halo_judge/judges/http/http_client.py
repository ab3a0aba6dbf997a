"""Sends requests to a scoring endpoint, and returns replies or kinds of failure.

It retries after connection errors, time-outs, 408, 409, 425, 429 and 5xx, and obeys Retry-After.
`requests` is imported here, inside the call that opens an endpoint.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halo_core.endpoints.deadline import Deadline
from halo_core.endpoints.proxies import check_socks, through
from halo_core.errors import UserError
from halo_core.redact import redact
from halo_judge.judges.endpoint.failures import (
    NEVER,
    NOT_ALLOWED,
    PASSING,
    Broken,
    Rejected,
    Unreachable,
    moved_to,
)
from halo_judge.judges.endpoint.json_body import read_json
from halo_judge.judges.endpoint.pace import Pace
from halo_judge.judges.endpoint.secret import Secret

if TYPE_CHECKING:
    import requests

JUDGE = "the judge http"
MESSAGE_LENGTH = 300
"""Maximum number of characters of a reply in a message."""
BODY_LENGTH = 10_000
"""Maximum number of characters that are kept of a body that is not JSON."""
LONGEST_WAIT_S = 120.0
_CONNECTION = re.compile(r"(?:<[^>]*>|\w+\([^)]*\)): ")


@dataclass(frozen=True)
class _Answer:
    """A complete response."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")


class HttpClient:
    """A client of one endpoint. Threads may share it.

    Args:
        url: The endpoint's address.
        key: The key; None for no key.
        key_header: The header of the key.
        key_prefix: The text before the key in its header.
        timeout_s: Maximum seconds from the beginning of a request to the last byte of its reply.
        retries: Number of times that a failed request is sent again.
        pace: The pace of requests, which every 429 slows down. While it is held, nothing is sent.

    Attributes:
        retries: Number of times that a failed request is sent again.

    Raises:
        UserError: When the package `requests` is missing, or a proxy of the environment cannot be
            used.
    """

    def __init__(
        self,
        url: str,
        key: Secret | None,
        *,
        key_header: str,
        key_prefix: str,
        timeout_s: float,
        retries: int,
        pace: Pace,
    ) -> None:
        try:
            import requests

            from halo_judge.judges.http.bounded_reads import bounded_adapter
        except ModuleNotFoundError as error:
            raise UserError(
                f"needs the package requests ({error}): pip install 'halo-judge[http]'",
                location=JUDGE,
            ) from None
        self._requests = requests
        self._url = url
        self._key = key
        self._key_header = key_header
        self._key_prefix = key_prefix
        self._timeout_s = timeout_s
        self.retries = retries
        self._pace = pace
        check_socks(url, "socks", "requests[socks]", JUDGE)
        self._deadline = Deadline(timeout_s, "timeout_s")
        self._client = requests.Session()
        for scheme in ("http://", "https://"):
            self._client.mount(scheme, bounded_adapter(self._deadline, pace.most))

    def close(self) -> None:
        """Closes all connections."""
        self._client.close()

    def ask(self, body: Any) -> Any:
        """Returns the parsed reply.

        Raises:
            Unreachable: When no reply came after all retries.
            Broken: When a reply came that is not JSON.
            Rejected: When the endpoint rejects this request.
            UserError: When it would reject every request: a wrong key or address.
        """
        for attempt in range(self.retries + 1):
            if self._pace.held:
                raise Unreachable("stopped")
            round_ = self._pace.round
            wait = min(LONGEST_WAIT_S, 0.5 * 2**attempt) * random.uniform(0.5, 1.0)
            try:
                answer = self._send(body)
            except self._requests.RequestException as error:
                failure = self._no_reply(error)
            else:
                if answer.status == 429:
                    self._pace.slow_down(round_)
                if 200 <= answer.status < 300:
                    return self._parsed(answer)
                failure = self._failure(answer)
                wait = self._asked_to_wait(answer, wait)
            if attempt < self.retries:
                self._pause(wait)
        raise Unreachable(failure)

    def _pause(self, seconds: float) -> None:
        self._pace.rest(seconds)

    def _send(self, body: Any) -> _Answer:
        wrong = self._requests.exceptions
        self._deadline.begin()
        try:
            response = self._client.post(
                self._url,
                json=body,
                timeout=self._timeout_s,
                allow_redirects=False,  # The key must not go to another address.
                auth=self._authorise,  # Always set, so that ~/.netrc is not read.
            )
        except (wrong.Timeout, wrong.ConnectionError) as error:
            if isinstance(error, wrong.ConnectTimeout) or self._deadline.left() > 0:
                raise
            raise wrong.ReadTimeout(self._deadline.words()) from error
        return _Answer(response.status_code, response.headers, response.content)

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key is not None:
            value = f"{self._key_prefix}{self._key.reveal()}"
            request.headers[self._key_header] = value
        return request

    def _parsed(self, answer: _Answer) -> Any:
        try:
            reply = read_json(answer.content)
            return reply if self._key is None else self._key.hide_in(reply)
        except (ValueError, RecursionError):
            text = answer.text if self._key is None else self._key.hide(answer.text)
            reason = f"expected JSON, got {self._hidden(answer.text)!r}"
            raise Broken(reason, text[:BODY_LENGTH]) from None

    def _failure(self, answer: _Answer) -> str:
        """Returns the description of a temporary failure.

        Raises:
            Rejected: When the same request would fail again.
            UserError: When every request would fail.
        """
        code = answer.status
        words = f"HTTP {code}: {self._hidden(answer.text)}"
        if 300 <= code < 400:
            where = moved_to(self._hidden(answer.headers.get("location", "")), "url")
            raise UserError(f"HTTP {code}: {where}", location=JUDGE)
        if code in NEVER:
            proxy = through(self._url) if code == 407 else ""
            raise UserError(f"{words}; {NEVER[code].format(address='url')}{proxy}", location=JUDGE)
        if code in PASSING or code >= 500:
            return f"{words}{through(self._url)}"
        if code == 403:
            raise Rejected(f"{words}; {NOT_ALLOWED.format(address='api_key_env and url')}")
        raise Rejected(words)

    def _no_reply(self, error: requests.RequestException) -> str:
        """Returns why no reply came.

        Raises:
            UserError: When none would ever come.
        """
        words = f"{self._words(error)}{through(self._url)}"
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            advice = "name the file of its certificate authority in REQUESTS_CA_BUNDLE"
            raise UserError(f"{words}; {advice}", location=JUDGE)
        if "407" in words and through(self._url):
            raise UserError(f"{words}; {NEVER[407]}", location=JUDGE)
        wrong = self._requests.exceptions
        if isinstance(error, wrong.InvalidURL | wrong.InvalidSchema):
            raise UserError(f"{words}; check url and the proxy", location=JUDGE)
        return words

    def _asked_to_wait(self, answer: _Answer, otherwise: float) -> float:
        from urllib3.exceptions import InvalidHeader
        from urllib3.util import Retry

        header = answer.headers.get("Retry-After")
        try:
            asked = otherwise if header is None else Retry().parse_retry_after(header)
        except (InvalidHeader, ValueError, OverflowError):  # No time, or one that no clock has.
            asked = otherwise
        return min(LONGEST_WAIT_S, asked)

    def _words(self, error: Exception) -> str:
        # The innermost error says what happened; the outer ones repeat the address.
        inner: object = error
        for name in ("args", "reason", "original_error"):
            deeper = getattr(inner, name, None)
            inner = (deeper[0] if deeper else inner) if name == "args" else deeper or inner
        words = _CONNECTION.sub("", str(inner))
        return self._hidden(f"{type(error).__name__}: {words}")

    def _hidden(self, text: str) -> str:
        text = redact(text if self._key is None else self._key.hide(text))
        return " ".join(text.split())[:MESSAGE_LENGTH]
