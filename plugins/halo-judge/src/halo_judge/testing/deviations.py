"""A table of odd replies of chat endpoints, from public reports about real ones.

Each `Deviation` makes an odd answer of the completion that the endpoint would have sent, and says
what a judge must do with it. `ChatServer` sends them by name:

    ChatServer(reply, faults=lambda body, times: "trickle")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from halo_judge.testing.odd_answers import ANSWERS, Answer, Completion

Kind = Literal[
    "content", "finish", "error body", "log-probabilities", "status", "timing", "encoding", "proxy"
]
Outcome = Literal["read", "unscored", "stops"]
"""The right reaction: use the reply, leave the comparison unscored and ask again, or stop."""


@dataclass(frozen=True)
class Deviation:
    """An odd answer.

    Attributes:
        name: Its name.
        kind: The part of an answer that is odd.
        outcome: The right reaction of a judge.
        paid: Whether it is a completion that the endpoint charges for.
        what: Description of the answer.
        answer: Returns the answer for the completion that would have been sent.
    """

    name: str
    kind: Kind
    outcome: Outcome
    paid: bool
    what: str
    answer: Callable[[Completion], Answer]


TABLE = """
parts              | content           | read     | paid | a list of parts
thinking-part      | content           | read     | paid | a list of parts, the first with thoughts
parsed             | content           | read     | paid | the JSON object itself
half-emoji         | content           | read     | paid | half of an emoji
thoughts           | content           | read     | paid | thoughts in <think> before the answer
thoughts-closed    | content           | read     | paid | thoughts with a closing mark alone
nested-thoughts    | content           | read     | paid | thoughts that quote thoughts
thoughts-open      | content           | unscored | paid | thoughts that never end
fence              | content           | read     | paid | a code fence with JSON in capitals
broken-line        | content           | read     | paid | a line end within a text of the JSON
blanks             | content           | read     | paid | blanks around the label
turn-end           | content           | read     | paid | the mark that ends a turn
null-content       | content           | unscored | paid | null
image              | content           | unscored | paid | a part that is an image
empty              | content           | unscored | paid | an empty text
garbage            | content           | unscored | paid | a text without a verdict
refusal            | content           | unscored | paid | a refusal
length             | finish            | unscored | paid | cut off at max_tokens
finish-error       | finish            | unscored |      | finish_reason 'error', without a text
content-filter     | finish            | unscored | paid | stopped by a filter
no-finish          | finish            | read     | paid | no reason
text-counts        | finish            | read     | paid | counts of tokens as texts
odd-counts         | finish            | read     | paid | counts of tokens that are none
no-usage           | finish            | read     | paid | no counts of tokens
error-200          | error body        | unscored |      | status 200 with an error object
loading            | error body        | unscored |      | status 200: the model is loading
wrong-path         | error body        | stops    |      | status 200: an unknown path
no-choices         | error body        | unscored | paid | status 200 without choices
null-message       | error body        | unscored | paid | status 200 with a message that is null
list               | error body        | unscored |      | status 200 with a list
not-json           | error body        | unscored |      | status 200 with a web page
no-body            | error body        | unscored |      | status 200 without a body
events             | error body        | unscored |      | status 200 with a stream of events
no-alternatives    | log-probabilities | read     | paid | top_logprobs is null
tokens-of-thoughts | log-probabilities | read     | paid | tokens of thoughts come first
byte-tokens        | log-probabilities | read     | paid | tokens that are single bytes
other-tokens       | log-probabilities | read     | paid | tokens of another text
no-numbers         | log-probabilities | read     | paid | texts and huge numbers
list-of-numbers    | log-probabilities | read     | paid | a list of numbers
204                | status            | unscored |      | 204, without a body
400                | status            | unscored |      | 400: this request is invalid
400-parameter      | status            | stops    |      | 400: a parameter is not accepted
402                | status            | stops    |      | 402: the account has no credit
403                | status            | unscored |      | 403: the text is flagged
404                | status            | stops    |      | 404: nothing is at this path
405                | status            | stops    |      | 405: the path takes no POST
413                | status            | unscored |      | 413: the request is too large
422                | status            | unscored |      | 422: the request is invalid
429                | status            | unscored |      | 429: too many requests
429-quota          | status            | stops    |      | 429: the quota is used up
500                | status            | unscored |      | 500: the endpoint has an error
501                | status            | stops    |      | 501: not implemented
503                | status            | unscored |      | 503: the endpoint is busy
529                | status            | unscored |      | 529: overloaded, with a web page
redirect           | status            | stops    |      | 307: moved to another address
api-version        | status            | stops    |      | 400: Azure's api-version is missing
early-hints        | status            | read     | paid | 103 before the reply
timeout            | timing            | unscored |      | nothing
trickle            | timing            | unscored |      | a body byte by byte
slow-head          | timing            | unscored |      | headers one by one, without an end
drop               | timing            | unscored |      | a closed connection
cut                | timing            | unscored |      | a connection closed within the body
retry-tomorrow     | timing            | unscored |      | 429 with Retry-After: 86400
utf-16             | encoding          | read     | paid | UTF-16
byte-order-mark    | encoding          | read     | paid | UTF-8 with a byte-order mark
latin-1            | encoding          | read     | paid | Latin-1, as the header says
odd-charset        | encoding          | read     | paid | an encoding that is not one of texts
not-utf-8          | encoding          | read     | paid | bytes that are not UTF-8
gzip               | encoding          | read     | paid | a compressed body
not-gzip           | encoding          | unscored |      | a body that only claims to be compressed
no-length          | encoding          | read     | paid | a body without a length
proxy-407          | proxy             | stops    |      | 407: the proxy wants a password
proxy-502          | proxy             | unscored |      | 502: a web page of the proxy
"""
"""The table: name, kind, outcome, whether it is paid, and what comes.

A dead proxy and a SOCKS proxy are not in it, because they need no server.
"""


def _deviation(row: str) -> Deviation:
    name, kind, outcome, paid, what = (cell.strip() for cell in row.split("|"))
    return Deviation(
        name, cast(Kind, kind), cast(Outcome, outcome), bool(paid), what, ANSWERS[name]
    )


DEVIATIONS: tuple[Deviation, ...] = tuple(map(_deviation, TABLE.strip().splitlines()))
BY_NAME: Mapping[str, Deviation] = {deviation.name: deviation for deviation in DEVIATIONS}
