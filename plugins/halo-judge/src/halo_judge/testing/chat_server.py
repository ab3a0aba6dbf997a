"""A server on this machine with the chat-completions API and planned faults.

    with ChatServer(lambda body: "Better: A", faults=planned_faults(0.3, seed=1)) as server:
        ask(server.base_url)
    assert max(server.paid.values()) == 1

It needs only the standard library. It counts complete answers with status 200 as paid.
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from halo_core.hashing import short_hash
from halo_judge.testing.deviations import BY_NAME
from halo_judge.testing.odd_answers import Answer, answer_of

Fault = str
"""A kind of fault: the name of a `Deviation`, see `halo_judge.testing.deviations`."""
FAULTS: tuple[Fault, ...] = (
    "429", "500", "503", "timeout", "drop", "cut", "not-json",
    "empty", "garbage", "length", "refusal",
)  # fmt: skip
"""The faults of `planned_faults`. They may be gone when the same request is sent again.

======================  ===========================================================
`429`                   too many requests, with Retry-After
`500` `503`             the endpoint has an error
`timeout`               nothing comes, until the client gives up
`drop`                  the connection is closed without an answer
`cut`                   the connection is closed in the middle of the answer
`not-json`              200, but the body is a page of HTML
`empty`                 a completion without text
`garbage`               a completion without a verdict
`length`                a completion that was cut off at `max_tokens`
`refusal`               the model refuses
======================  ===========================================================

Only `empty` to `refusal` are completions and paid.
"""
HEADERS = 200
"""Number of headers of a head that never ends. The client gives up before."""
COMPLETIONS: frozenset[Fault] = frozenset({"empty", "garbage", "length", "refusal"})

Body = Mapping[str, Any]
"""The JSON of a request."""
FaultPlan = Callable[[Body, int], Fault | None]
"""Function from a request, and the number of earlier equal requests, to its fault."""


@dataclass(frozen=True)
class ChatReply:
    """A completion.

    Attributes:
        content: The text.
        tokens: The tokens. Each has its text, and (text, natural log-probability) of the most
            probable tokens at its position. They are sent if log-probabilities were requested.
    """

    content: str
    tokens: Sequence[tuple[str, Sequence[tuple[str, float]]]] = field(default_factory=tuple)


def planned_faults(share: float, *, seed: int, kinds: Sequence[Fault] = FAULTS) -> FaultPlan:
    """Returns a plan in which a share of replies fails, with all kinds equally likely.

    The n-th repetition of a request always has the same fault, in any order of requests. A
    conversation with an assistant's message does not get a second useless completion.

    Args:
        share: Share of requests that fail, in [0, 1).
        seed: Seed of the choice of faults.
        kinds: The faults to choose from.
    """

    def plan(body: Body, times: int) -> Fault | None:
        draw = random.Random(f"{seed} {request_name(body)} {times}")
        if draw.random() >= share:
            return None
        again = any(message["role"] == "assistant" for message in body["messages"])
        fit = [kind for kind in kinds if not (again and kind in COMPLETIONS)]
        return draw.choice(fit) if fit else None

    return plan


def request_name(body: Body) -> str:
    """Returns the hash of a request."""
    return short_hash(json.dumps(body, sort_keys=True))


class ChatServer:
    """The server, as a context manager that listens on a free port of 127.0.0.1.

    Args:
        reply: Function that returns the completion for a request.
        faults: Function that chooses the fault of a request. Default: no faults.
        key: The required key. Default: any key.
        retry_after_s: The Retry-After seconds of every answer that is not a completion.
        delay_s: Seconds before each answer.
        not_taken: Parameters that the model rejects. A request with one gets a 400.
        repeats_key: Whether errors repeat the key that was sent, as for some endpoints.
        remembers: Whether completions are kept by the Idempotency-Key of their request, and
            repeated for free for the same key, as some gateways do.

    Attributes:
        requests: The bodies of all requests, in order of arrival.
        paid: Number of completions sent for each request, by its name.
        faults_met: Number of times that each fault occurred.
        kept: The paid completion of each Idempotency-Key; see `remembers`.
        most_at_once: The largest number of requests that were answered at the same time.
    """

    def __init__(
        self,
        reply: Callable[[Body], str | ChatReply],
        *,
        faults: FaultPlan | None = None,
        key: str | None = None,
        retry_after_s: float = 0.01,
        delay_s: float = 0.0,
        not_taken: Sequence[str] = (),
        repeats_key: bool = False,
        remembers: bool = False,
    ) -> None:
        self.reply = reply
        self.faults = faults or (lambda body, times: None)
        self.key = key
        self.retry_after_s = retry_after_s
        self.delay_s = delay_s
        self.not_taken = not_taken
        self.repeats_key = repeats_key
        self.remembers = remembers
        self.kept: dict[str, Answer] = {}
        self.requests: list[Body] = []
        self.paid: Counter[str] = Counter()
        self.faults_met: Counter[Fault] = Counter()
        self.most_at_once = 0
        self._unknown: set[Fault] = set()
        self._came: Counter[str] = Counter()
        self._at_once = 0
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self._http = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def base_url(self) -> str:
        """The address for a client."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        if self._unknown and error is None:
            raise ValueError(
                f"the plan of faults named {sorted(self._unknown)}; expected None or a name in "
                f"halo_judge.testing.DEVIATIONS: {', '.join(BY_NAME)}"
            )

    def take(self, body: Body) -> Fault | None:
        """Records a request and returns its fault. For the handler."""
        name = request_name(body)
        with self._lock:
            fault = self.faults(body, self._came[name])
            self._came[name] += 1
            self.requests.append(body)
            if fault is not None and fault not in BY_NAME:
                self._unknown.add(fault)
                fault = "500"
            if fault is not None:
                self.faults_met[fault] += 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        return fault

    def pay(self, body: Body) -> None:
        """Records that a completion is about to be sent. For the handler."""
        with self._lock:
            self.paid[request_name(body)] += 1

    def over(self) -> None:
        """Records the end of a request. For the handler."""
        with self._lock:
            self._at_once -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], chat: ChatServer) -> None:
        self.chat = chat
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Prints no traceback for a client that disconnected."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing."""

    def do_POST(self) -> None:
        """Answers one request."""
        chat = self.server.chat
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        sent = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if chat.key is not None and sent != chat.key:
            return self._error(401, f"Incorrect API key provided: {sent}")
        if not self.path.endswith("/chat/completions"):
            return self._error(404, f"no such address: {self.path}")
        for name in chat.not_taken:
            if name in body:
                return self._error(400, f"Unsupported parameter: '{name}'", param=name)
        fault = chat.take(body)
        try:
            if chat.delay_s:
                chat.closing.wait(chat.delay_s)
            kept = chat.kept.get(self.headers.get("Idempotency-Key", ""))
            self._send(self._answer(body, fault) if kept is None else kept)
        finally:
            chat.over()

    def _answer(self, body: Body, fault: Fault | None) -> Answer:
        """Returns the answer to a request, and counts it if it is paid."""
        deviation = None if fault is None else BY_NAME[fault]
        good = self._completion(body)
        answer = answer_of(good) if deviation is None else deviation.answer(good)
        chat = self.server.chat
        if deviation is None or deviation.paid:
            chat.pay(body)  # This comes first, because the receiver may read the count at once.
            if chat.remembers and "Idempotency-Key" in self.headers:
                chat.kept[self.headers["Idempotency-Key"]] = answer
            return answer
        after = {"Retry-After": f"{chat.retry_after_s:g}"}
        return replace(answer, headers={**after, **answer.headers})

    def _completion(self, body: Body) -> dict[str, Any]:
        said = self.server.chat.reply(body)
        reply = said if isinstance(said, ChatReply) else ChatReply(said)
        wanted = body.get("logprobs") and reply.tokens
        logprobs = {"content": [_token(*token) for token in reply.tokens]} if wanted else None
        words_in = sum(len(message["content"].split()) for message in body["messages"])
        words_out = len(reply.content.split())
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": reply.content},
            "finish_reason": "stop",
            "logprobs": logprobs,
        }
        return {
            "id": f"chatcmpl-{request_name(body)}",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [choice],
            "usage": {
                "prompt_tokens": words_in,
                "completion_tokens": words_out,
                "total_tokens": words_in + words_out,
            },
        }

    def _error(self, status: int, message: str, *, param: str | None = None) -> None:
        error = {"message": message, "type": "planned", "code": None, "param": param}
        self._send(answer_of({"error": error}, status=status))

    def _send(self, answer: Answer) -> None:
        chat = self.server.chat
        if answer.silent or answer.hangs_up:
            if answer.silent:
                chat.closing.wait(60)
            self.close_connection = True
            return
        body = answer.body
        if chat.repeats_key and answer.status != 200:
            body = _with_key(body, self.headers.get("Authorization", ""))
        length = len(body) if answer.length is None else answer.length
        headers = {"Content-Type": "application/json", "Content-Length": str(length)}
        headers |= answer.headers
        if length < 0:
            del headers["Content-Length"]
        self.wfile.write(answer.before)
        self.send_response(answer.status)
        if answer.head_s:
            self._send_slow_head(answer.head_s)
            return
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for part in [body[i : i + 1] for i in range(len(body))] if answer.byte_s else [body]:
            if answer.byte_s and chat.closing.wait(answer.byte_s):
                break
            self.wfile.write(part)
            self.wfile.flush()
        if length != len(body):
            self.close_connection = True

    def _send_slow_head(self, pause_s: float) -> None:
        """Sends headers one by one until the client goes away."""
        self.close_connection = True
        self.flush_headers()
        for number in range(HEADERS):
            if self.server.chat.closing.wait(pause_s):
                return
            self.wfile.write(f"X-{number}: still here\r\n".encode())


def _with_key(body: bytes, sent: str) -> bytes:
    """Returns the body of an error that repeats what was sent as the key."""
    error = json.loads(body)
    error["error"]["message"] += f"; you sent {sent}"
    return json.dumps(error).encode()


def _token(text: str, top: Sequence[tuple[str, float]]) -> dict[str, Any]:
    ranked = [{"token": other, "logprob": logprob} for other, logprob in top]
    own = next((logprob for other, logprob in top if other == text), 0.0)
    return {"token": text, "logprob": own, "top_logprobs": ranked}
