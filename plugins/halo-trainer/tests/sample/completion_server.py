"""A server for completions in the test's own process, and a stage that asks it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from halo_core.stage import StageContext
from halo_trainer.sample.options import Sample

ROWS = [{"prompt": [{"role": "user", "content": f"moo {i}"}], "completion": "x"} for i in range(5)]


class Server(ThreadingHTTPServer):
    """A server for completions that answers with the fields that vLLM documents.

    Attributes:
        asked: The requests, with the header of the key.
        keys: The Idempotency-Key of each.
        headers: All headers of each.
        answer: Makes the answer to a request, or a status and a body.
        byte_s: Seconds before each byte of the body of an answer.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[dict[str, Any], str]] = []
        self.keys: list[str | None] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Callable[[dict[str, Any]], Any] = of_vllm(end=None)
        self.byte_s = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.headers.append(dict(self.headers))
        self.server.keys.append(self.headers["Idempotency-Key"])
        self.server.asked.append((body, self.headers["Authorization"]))
        made = self.server.answer(body)
        status, answer = made if isinstance(made, tuple) else (200, made)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not self.server.byte_s:
            self.wfile.write(content)
            return
        with suppress(OSError):  # The client has gone away.
            for byte in content:
                time.sleep(self.server.byte_s)
                self.wfile.write(bytes([byte]))

    def log_message(self, *_: Any) -> None:
        pass


def completion(**choice: Any) -> dict[str, Any]:
    """Returns an answer with one choice."""
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "served",
        "choices": [{"index": 0, "text": " moo", "logprobs": None} | choice],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def of_vllm(end: int | None) -> Callable[[dict[str, Any]], Any]:
    """Returns answers with ids and log-probabilities, also of the token of the end, if any."""

    def answer(body: dict[str, Any]) -> Any:
        ids = [7, 5 + body["seed"] % 40, *([] if end is None else [end])]
        return completion(
            finish_reason="length" if end is None else "stop",
            token_ids=ids if body["return_token_ids"] else None,
            prompt_token_ids=body["prompt"],
            logprobs={"tokens": [""] * len(ids), "token_logprobs": [-0.5] * len(ids)},
        )

    return answer


def stage(url: str, endpoint: dict[str, Any] | None = None, **options: Any) -> Sample:
    """Returns a stage that asks a server for completions of at most 12 tokens."""
    given = {"url": url, "model": "served"} | (endpoint or {})
    asked = {"prompts": "test", "max_new_tokens": 12, "endpoint": given} | options
    return Sample.build(json.dumps(asked), {})


def read(context: StageContext) -> list[dict[str, Any]]:
    """Returns the samples of a finished stage."""
    return [json.loads(line) for line in (context.folder / "samples.jsonl").open()]
