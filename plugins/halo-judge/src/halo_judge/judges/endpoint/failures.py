"""How a request can fail: for now, for ever, or only this one.

======================  ======================================================================
`Unreachable`           nothing came, or the endpoint is busy or ill; a later run asks again
`Broken`                something came that holds no answer; the same request is sent again
`Rejected`              the endpoint rejects this request, and perhaps no other one
`UserError`             the endpoint rejects every request; the stage stops
======================  ======================================================================

A rejection may be due to one text (too long, filtered) or to what all requests have in common (a
parameter, the form of the messages). Only the other requests can tell, see `Rejections`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from halo_core.errors import UserError


class Unreachable(Exception):
    """Raised when no reply came after all retries. Nothing was paid, and it may be asked again."""


class Rejected(Exception):
    """Raised when the endpoint rejects this request but not others, for example if it is long."""


class Unsendable(Rejected):
    """Raised for a request that cannot be sent at all, which is not the endpoint's doing."""


class Broken(Exception):
    """Raised for a reply that holds no answer. The request is sent again after a pause.

    Args:
        reason: A text with the reply and the expected form.
        body: The reply, to be kept as evidence: a JSON tree or a text.
        passing: Whether the endpoint says that it has an error. Then the request is sent as often
            as after any failure; otherwise once more.
        charged: Numbers of tokens in and out that the endpoint charged for it, if any.
        wait_s: Seconds that the endpoint asks to wait; None if it does not say.
        last: The class of error if it never holds one.
    """

    def __init__(
        self,
        reason: str,
        body: Any,
        *,
        passing: bool = False,
        charged: tuple[int, int] | None = None,
        wait_s: float | None = None,
        last: type[Unreachable] | type[Rejected] = Unreachable,
    ) -> None:
        super().__init__(reason)
        self.body = body
        self.passing = passing
        self.charged = charged
        self.wait_s = wait_s
        self.last = last


PASSING = (408, 409, 425, 429)
"""Statuses besides 5xx that may be gone when the same request is sent again."""
NEVER: Mapping[int, str] = {
    401: "the endpoint does not take the key: check the variable that api_key_env names",
    402: "the account at the endpoint has no credit: add credit, and the same command continues",
    404: "nothing is at this address: check {address}",
    405: "nothing takes POST at this address: check {address}",
    407: "the proxy wants a user and a password: write them into the address of the proxy",
    410: "the model or the address is gone: check {address}",
    415: "the endpoint takes no JSON: check {address}",
    426: "the endpoint wants another protocol: check {address}",
    501: "the endpoint does not know this request: check {address}",
    505: "the endpoint does not know this version of HTTP: check {address}",
}
"""Advice by status, for statuses with which an endpoint rejects every request."""
NOT_ALLOWED = "the key may not be used for this, or the text is not allowed: check {address}"
"""Advice for a 403, which can be due to the key or to the text of one request."""


def moved_to(location: str, address: str) -> str:
    """Returns what to do about a redirect, which is not followed because the key would follow.

    Args:
        location: The address that it names.
        address: The option with the address.
    """
    if not location:
        return f"a redirect to an address that it does not name; check {address}"
    return f"moved to {location}; give that address as {address}"


MOST_REJECTIONS = 8
"""Number of rejected requests after which an endpoint that never answered is given up."""


class Rejections:
    """Notices an endpoint that rejects every request. Threads share it.

    Args:
        ever_answered: Returns whether a reply of an earlier run shows that the endpoint answers
            such requests. It is called once, when many were rejected.
        advice: Returns what to do, for the words of a rejection.
        judge: The judge's name, for the message.
    """

    def __init__(
        self, ever_answered: Callable[[], bool], advice: Callable[[str], str], judge: str
    ) -> None:
        self._ever_answered = ever_answered
        self._advice = advice
        self._judge = judge
        self._lock = threading.Lock()
        self._answered = False
        self._count = 0

    def over(self) -> None:
        """Notes an answer: from now on, a rejection is due to its own request."""
        self._answered = True

    def note(self, words: str) -> None:
        """Counts a rejection.

        Raises:
            UserError: When `MOST_REJECTIONS` requests were rejected and none was ever answered.
        """
        with self._lock:
            if self._answered:
                return
            self._count += 1
            if self._count < MOST_REJECTIONS:
                return
            if self._ever_answered():
                self._answered = True
                return
        raise UserError(
            f"the endpoint answered none of the first {MOST_REJECTIONS} requests: {words}"
            f"{self._advice(words)}",
            location=self._judge,
        )
