"""Sends requests to an OpenAI-compatible endpoint, and returns replies or kinds of failure.

The `openai` client retries after connection errors, time-outs, 408, 409, 429 and 5xx, and obeys
Retry-After. It is imported here, inside the call that opens an endpoint. Requests use its `post`,
which sends a body unchanged, because the checks and conversions of `chat.completions.create` take a
quarter of the client's time.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from halo_core.endpoints.bounded_reads import tracer
from halo_core.endpoints.deadline import Deadline
from halo_core.endpoints.proxies import check_socks, proxy_of, through, unusable_proxy
from halo_core.endpoints.sent_headers import drop_foreign_headers, is_openai
from halo_core.errors import UserError
from halo_core.redact import redact
from halo_judge.judges.chat.completion import NoCompletion, Reply, read_completion
from halo_judge.judges.chat.refused import (
    WEB_PAGE,
    WRONG_ADDRESS,
    quota_is_used_up,
    refused,
    says_wrong_address,
    words_of,
)
from halo_judge.judges.chat.request_form import Request
from halo_judge.judges.endpoint.failures import NEVER, Broken, Unreachable, Unsendable
from halo_judge.judges.endpoint.json_body import can_replace, read_json
from halo_judge.judges.endpoint.pace import Pace
from halo_judge.judges.endpoint.replies import request_key
from halo_judge.judges.endpoint.secret import Secret

if TYPE_CHECKING:
    import httpx2
    import openai

BODY_LENGTH = 10_000
"""Maximum number of characters that are kept of a body that holds no answer."""


class ChatClient:
    """A client of one endpoint. Threads may share it.

    Args:
        base_url: The endpoint's address.
        key: The endpoint's key.
        timeout_s: Maximum seconds from the beginning of a request to the last byte of its reply.
        retries: Number of times that a failed request is sent again.
        pace: The pace of requests, which every 429 slows down. While it is held, nothing is sent.
        judge: The judge's name, for messages.

    Raises:
        UserError: When the package `openai` is missing, or a proxy of the environment cannot be
            used.
    """

    def __init__(
        self, base_url: str, key: Secret, *, timeout_s: float, retries: int, pace: Pace, judge: str
    ) -> None:
        try:
            import httpcore2
            import httpx2
            import openai
        except ModuleNotFoundError as error:
            raise UserError(
                f"needs the package openai ({error}): pip install 'halo-judge[openai]'",
                location=judge,
            ) from None
        self._openai = openai
        self._answer: type[httpx2.Response] = httpx2.Response
        self._deadline = Deadline(timeout_s, "timeout_s")
        self._trace = tracer(self._deadline, httpcore2.ReadTimeout)
        self._key = key
        self._judge = judge
        self._base_url = base_url
        self._pace = pace
        self._sent = threading.local()
        check_socks(base_url, "socksio", "httpx2[socks]", judge)
        self._client = openai.OpenAI(
            api_key=key.reveal(),
            base_url=base_url,
            timeout=timeout_s,
            max_retries=retries,
            http_client=self._http_client(),
        )

    def _http_client(self) -> httpx2.Client:
        import httpx2

        hooks: dict[str, list[Callable[[Any], None]]] = {}
        hooks |= {"request": [self._before], "response": [self._after]}
        # A redirect is not followed, because the texts and the key would go to another address.
        options: dict[str, Any] = {"event_hooks": hooks, "follow_redirects": False}
        try:
            return self._openai.DefaultHttpxClient(**options)
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            # The client makes a connection for each proxy of the environment, needed or not.
            if (proxy := proxy_of(self._base_url)) is not None:
                why = f"cannot be used ({self._key.hide(str(error))})"
                raise unusable_proxy(proxy, why, self._judge) from None
            direct = httpx2.HTTPTransport(limits=self._openai.DEFAULT_CONNECTION_LIMITS)
            return self._openai.DefaultHttpxClient(**options, transport=direct)

    def close(self) -> None:
        """Closes all connections."""
        self._client.close()

    def _before(self, request: Any) -> None:
        if self._pace.held:
            raise self._openai.OpenAIError("stopped")  # An error of this class is not retried.
        if not is_openai(self._base_url):
            drop_foreign_headers(request, self._key.reveal())
        self._sent.round = self._pace.round
        self._deadline.begin()
        request.extensions["trace"] = self._trace

    def _after(self, response: Any) -> None:
        if not can_replace(response.charset_encoding):
            response.encoding = "utf-8"
        code = response.status_code
        if code == 429:
            self._pace.slow_down(self._sent.round)
        # The client would send these again, although it does not help.
        if code == 429 or (code in NEVER and code >= 500):
            response.read()
            if code != 429 or quota_is_used_up(response):
                words = f"Error code: {code}"
                raise self._openai.APIStatusError(words, response=response, body=response.text)

    def ask(self, request: Request, *, repeated: int) -> Reply:
        """Returns the reply to a request.

        The same request always has the same Idempotency-Key. An endpoint that supports it repeats
        for free a reply that was lost on the way or in a killed process. A request that got a reply
        that cannot be used has another one, because the same reply would not help.

        Args:
            request: The request.
            repeated: Number of replies to it that could not be used.

        Raises:
            Unreachable: When no reply came after all retries.
            Broken: When a reply came that holds no answer.
            Rejected: When the endpoint rejects this request, or it cannot be sent.
            UserError: When it rejects every request: a wrong key, model, address or parameter.
        """
        openai = self._openai
        body = {"model": request["model"], "messages": list(request["messages"])}
        body |= request["parameters"]
        key = request_key(body)
        options: Any = {"headers": {"Idempotency-Key": f"{key}-{repeated}" if repeated else key}}
        try:
            answer = self._client.post(
                "/chat/completions", cast_to=self._answer, body=body, options=options
            )
        except openai.APIStatusError as error:
            words = words_of(error, self._key.hide)
            raise refused(error, words, self._base_url, self._judge, self._key.hide) from None
        except UnicodeEncodeError as error:  # The text of a prompt or completion holds it.
            half = f"\\u{ord(error.object[error.start]):04x}"
            raise Unsendable(
                f"the text holds {half}, half of a surrogate pair, and cannot be sent"
            ) from None
        except openai.OpenAIError as error:
            raise self._unreachable(error) from None
        return self._reply(answer)

    def _reply(self, answer: httpx2.Response) -> Reply:
        try:
            body = self._key.hide_in(read_json(answer.content, answer.charset_encoding))
        except ValueError:
            text = self._key.hide(answer.text)[:BODY_LENGTH]
            got = words_of(text) or "an empty reply"
            reason = f"expected a chat completion, got {got}"
            if got.startswith(WEB_PAGE):
                reason = f"{reason}; {WRONG_ADDRESS}"
            raise Broken(reason, text, wait_s=_asked_to_wait(answer)) from None
        except RecursionError:
            raise Broken("expected a chat completion, got JSON in too many levels", "") from None
        try:
            return read_completion(body)
        except NoCompletion as error:
            if error.passing and says_wrong_address(str(error)):
                words = redact(f"{error}; {WRONG_ADDRESS}")
                raise UserError(words, location=self._judge) from None
            kept = body if len(json.dumps(body)) <= BODY_LENGTH else json.dumps(body)[:BODY_LENGTH]
            raise Broken(
                redact(str(error)),
                kept,
                passing=error.passing,
                charged=error.charged,
                wait_s=_asked_to_wait(answer),
            ) from None

    def _unreachable(self, error: openai.OpenAIError) -> Exception:
        words = self._key.hide(f"{self._base_url}: {words_of(error, self._key.hide)}")
        proxy = through(self._base_url)
        advice = ""
        if "CERTIFICATE_VERIFY_FAILED" in words:
            advice = "name the file of its certificate authority in SSL_CERT_FILE"
        elif "407" in words and proxy:
            advice = NEVER[407]
        if advice:
            return UserError(f"{words}; {advice}{proxy}", location=self._judge)
        return Unreachable(f"{words}{proxy}")


def _asked_to_wait(answer: httpx2.Response) -> float | None:
    """Returns the seconds of a Retry-After header; None if there is none."""
    try:
        return max(0.0, float(answer.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
