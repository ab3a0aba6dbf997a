"""Sends requests to a scoring endpoint, and returns replies or kinds of failure.

It retries after connection errors, time-outs, 408, 409, 425, 429 and 5xx, and obeys Retry-After.
`requests` is imported here, inside the call that opens an endpoint.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from halo_core.errors import UserError
from halo_core.redact import redact
from halo_judge.judges.endpoint.pace import Pace, Rejected, Unreachable
from halo_judge.judges.endpoint.secret import Secret

if TYPE_CHECKING:
    import requests

JUDGE = "the judge http"
MESSAGE_LENGTH = 300
"""Maximum number of characters of a reply in a message."""
LONGEST_WAIT_S = 120.0
_AGAIN = (408, 409, 425, 429)
_FATAL = {
    401: "the endpoint does not take the key: check the variable that api_key_env names",
    403: "the key may not be used for this: check url and api_key_env",
    404: "nothing is at this address: check url",
    405: "nothing takes POST at this address: check url",
}


class HttpClient:
    """A client of one endpoint. Threads may share it.

    Args:
        url: The endpoint's address.
        key: The key; None for no key.
        key_header: The header of the key.
        key_prefix: The text before the key in its header.
        timeout_s: Maximum seconds for one request.
        retries: Number of times that a failed request is sent again.
        pace: The pace of requests, which every 429 slows down. While it is held, nothing is sent.

    Raises:
        UserError: When the package `requests` is missing.
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
            from requests.adapters import HTTPAdapter
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
        self._retries = retries
        self._pace = pace
        self._client = requests.Session()
        for scheme in ("http://", "https://"):
            self._client.mount(scheme, HTTPAdapter(pool_maxsize=pace.most))

    def close(self) -> None:
        """Closes all connections."""
        self._client.close()

    def ask(self, body: Any) -> Any:
        """Returns the parsed reply.

        Raises:
            Unreachable: When no reply came after all retries.
            Rejected: When the endpoint rejects this request.
            UserError: When it would reject every request: a wrong key or address.
        """
        for attempt in range(self._retries + 1):
            if self._pace.held:
                raise Unreachable("stopped")
            round_ = self._pace.round
            wait = min(LONGEST_WAIT_S, 0.5 * 2**attempt) * random.uniform(0.5, 1.0)
            try:
                response = self._send(body)
            except self._requests.RequestException as error:
                failure = self._words(error)
            else:
                if response.status_code == 429:
                    self._pace.slow_down(round_)
                if response.ok and not response.is_redirect:
                    return self._parsed(response)
                failure = self._failure(response)
                wait = self._asked_to_wait(response, wait)
            if attempt < self._retries:
                self._pause(wait)
        raise Unreachable(failure)

    def _pause(self, seconds: float) -> None:
        self._pace.rest(seconds)

    def _send(self, body: Any) -> requests.Response:
        return self._client.post(
            self._url,
            json=body,
            timeout=self._timeout_s,
            allow_redirects=False,  # The key must not go to another address.
            auth=self._authorise,  # Always set, so that ~/.netrc is not read.
        )

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key is not None:
            value = f"{self._key_prefix}{self._key.reveal()}"
            request.headers[self._key_header] = value
        return request

    def _parsed(self, response: requests.Response) -> Any:
        try:
            reply = json.loads(response.content)
            return reply if self._key is None else self._key.hide_in(reply)
        except (ValueError, RecursionError):
            raise Rejected(f"expected JSON, got {self._hidden(response.text)!r}") from None

    def _failure(self, response: requests.Response) -> str:
        """Returns the description of a temporary failure.

        Raises:
            Rejected: When the same request would fail again.
            UserError: When every request would fail.
        """
        code = response.status_code
        words = f"HTTP {code}: {self._hidden(response.text)}"
        if response.is_redirect:
            raise UserError(
                f"HTTP {code}: moved to {self._hidden(response.headers['location'])}; give that "
                "address as url",
                location=JUDGE,
            )
        if code in _FATAL:
            raise UserError(f"{words}; {_FATAL[code]}", location=JUDGE)
        if code in _AGAIN or code >= 500:
            return words
        raise Rejected(words)

    def _asked_to_wait(self, response: requests.Response, otherwise: float) -> float:
        from urllib3.exceptions import InvalidHeader
        from urllib3.util import Retry

        header = response.headers.get("Retry-After")
        try:
            asked = otherwise if header is None else Retry().parse_retry_after(header)
        except InvalidHeader:
            asked = otherwise
        return min(LONGEST_WAIT_S, asked)

    def _words(self, error: Exception) -> str:
        return self._hidden(f"{type(error).__name__}: {error}")

    def _hidden(self, text: str) -> str:
        text = redact(text if self._key is None else self._key.hide(text))
        return " ".join(text.split())[:MESSAGE_LENGTH]
