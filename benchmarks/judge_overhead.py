"""Measures the overhead of the judge `gpt-4` over the plain `openai` client in time and memory.

    python benchmarks/judge_overhead.py [--comparisons 10000] [--runs 5] [--latency-ms 100]

A server in its own process answers every request after a fixed time. Two clients make the same
comparisons at the same concurrency. Each runs in a fresh process, and they take turns, so that a
change of the machine's load affects both:

plain   a pool of threads, each with `client.chat.completions.create(...)` and `json.loads` of the
        answer; texts and verdicts are kept only in memory
ours    the stage `judge`: both orders of each prompt, templates, hashes, every reply in the store,
        every verdict in its file, metrics

For memory there is a third client, `session`: the judge alone, with comparisons that are made when
they are read, and verdicts that are not kept. The stage also keeps all texts and verdicts in
memory.

The measurement starts after the imports and ends with the last verdict. Memory is the peak growth
of the process in that time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

LIMIT = 1.05
"""Maximum ratio of our time to that of the plain client."""
MODEL = "gpt-4-0613"
WORDS = "a cow in the meadow says moo and then it thinks about the grass".split()

_ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 0,
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": '{"comparison": "A is to the point, B repeats itself.", "verdict": "A"}',
            },
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 500, "completion_tokens": 20, "total_tokens": 520},
}


class _Answering(asyncio.Protocol):
    """The part of HTTP/1.1 that is needed. Each request gets the same answer after some time."""

    body = json.dumps(_ANSWER).encode()
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
        + str(len(body)).encode()
        + b"\r\n\r\n"
        + body
    )

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.came += data
        head, end, rest = self.came.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(rest) >= length:
            self.came = rest[length:]
            loop = asyncio.get_running_loop()
            loop.call_later(self.latency_s, self._send)

    def _send(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.answer)


async def serve(latency_s: float) -> None:
    """Prints its port, then answers until it is stopped."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Answering(latency_s), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def texts(number: int) -> tuple[str, str, str]:
    """Returns a prompt and two completions of realistic length (about 900 characters)."""
    turned = WORDS[number % len(WORDS) :] + WORDS[: number % len(WORDS)]
    said = " ".join(turned * 14)
    return f"Question {number}: what does a cow say?", f"{number} {said}", f"{said} {number}"


def plain(base_url: str, folder: Path, comparisons: int, concurrency: int) -> Callable[[], None]:
    """Returns the work of the plain client."""
    import openai

    client = openai.OpenAI(api_key="none", base_url=base_url)
    system = "You compare two answers. " + "Be impartial, and weigh help, harm and length. " * 25
    asked = [texts(number) for number in range(comparisons // 2)]
    orders = [o for prompt, a, b in asked for o in ((prompt, a, b), (prompt, b, a))]

    def ask(order: tuple[str, str, str]) -> str:
        prompt, a, b = order
        user = f"{prompt}\n\nAnswer A:\n{a}\n\nAnswer B:\n{b}\n\nReply with a JSON object."
        reply = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "system", "content": system}, {"role": "user", "content": user}],
            temperature=0.0,
            max_tokens=400,
        )
        verdict: str = json.loads(reply.choices[0].message.content or "")["verdict"]
        return verdict

    def run() -> None:
        with ThreadPoolExecutor(concurrency) as threads:
            verdicts = list(threads.map(ask, orders))
        assert verdicts == ["A"] * len(orders)

    return run


def ours(base_url: str, folder: Path, comparisons: int, concurrency: int) -> Callable[[], None]:
    """Returns the work of the stage."""
    import openai  # noqa: F401

    from halo_core.feedback import prompt_id
    from halo_core.testing.context import stage_context
    from halo_judge.judge_stage.options import JudgeStage
    from halo_judge.judges.chat.options import GPT4
    from halo_judge.judges.longest import Longest

    def write_samples(name: str, count: int) -> Path:
        samples = folder / name
        samples.mkdir()
        with (samples / "samples.jsonl").open("w") as file:
            for number in range(count):
                write_sample(file, number)
        return samples

    def write_sample(file: TextIO, number: int) -> None:
        question, a, b = texts(number)
        prompt = [{"role": "user", "content": question}]
        line = {"prompt_id": prompt_id(prompt), "prompt": prompt, "completion": a}
        file.write(json.dumps({**line, "target": b, "tokens": 180}) + "\n")

    # Judging a few comparisons first imports the libraries for the metrics.
    few = stage_context(folder / "few", id_="few", inputs={"of": write_samples("few-of", 5)})
    JudgeStage(judge=Longest(), of="answers").run(few)
    samples = write_samples("of", comparisons // 2)
    judge = GPT4(base_url=base_url, api_key_env=None, concurrency=concurrency)
    stage = JudgeStage(judge=judge, of="answers")

    def run() -> None:
        context = stage_context(folder / "win", id_="win", inputs={"of": samples})
        metrics = stage.run(context).metrics
        assert metrics["calls"] == comparisons
        assert metrics["flip"] == 1.0

    return run


class Lazy(Sequence[Any]):
    """Comparisons that are made when they are read, so that they take no memory."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: Any) -> Any:
        from halo_core.judge import Comparison

        if place >= self._count:
            raise IndexError(place)
        prompt, a, b = texts(place // 2)
        shown = (a, b) if place % 2 == 0 else (b, a)
        return Comparison(str(place), [{"role": "user", "content": prompt}], *shown)


def session(base_url: str, folder: Path, comparisons: int, concurrency: int) -> Callable[[], None]:
    """Returns the work of the judge's session alone, whose verdicts are not kept."""
    import openai  # noqa: F401

    from halo_core.judge import JudgeContext
    from halo_judge.judges.chat.options import GPT4

    judge = GPT4(base_url=base_url, api_key_env=None, concurrency=concurrency)

    def run() -> None:
        with judge.open(JudgeContext(folder, folder)) as opened:
            assert all(verdict.winner == "A" for verdict in opened.compare(Lazy(comparisons)))

    return run


CLIENTS = {"plain": plain, "ours": ours, "session": session}


class Memory:
    """Watches the resident memory of this process."""

    def __init__(self) -> None:
        self.before = self.peak = self._now()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @staticmethod
    def _now() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.peak = max(self.peak, self._now())

    def growth(self) -> int:
        """Returns the growth in bytes."""
        self._over.set()
        return max(self.peak, self._now()) - self.before


def client(name: str, base_url: str, comparisons: int, concurrency: int) -> dict[str, float]:
    """Runs a client in this process and returns its time and memory."""
    with tempfile.TemporaryDirectory() as folder:
        run = CLIENTS[name](base_url, Path(folder), comparisons, concurrency)
        memory = Memory()
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        took = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        return took | {"memory": memory.growth() / 2**20}


def measured(name: str, base_url: str, comparisons: int, concurrency: int) -> dict[str, float]:
    """Runs a client in its own process."""
    command = [sys.executable, __file__, "--client", name, "--base-url", base_url]
    command += ["--comparisons", str(comparisons), "--concurrency", str(concurrency)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    took: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return took


def compare_speed(base_url: str, options: argparse.Namespace) -> None:
    """Prints the time of both clients, which take turns."""
    taken: dict[str, list[dict[str, float]]] = {"plain": [], "ours": []}
    for _ in range(options.runs):
        for name, runs in taken.items():
            runs.append(measured(name, base_url, options.comparisons, options.concurrency))
            print(f"  {name:6} {runs[-1]}", file=sys.stderr, flush=True)
    medians = {
        name: {what: statistics.median(run[what] for run in runs) for what in runs[0]}
        for name, runs in taken.items()
    }
    print(f"{'client':8}{'wall s':>9}{'CPU s':>9}{'CPU ms each':>13}{'memory MiB':>12}")
    for name, took in medians.items():
        each = 1000 * took["cpu"] / options.comparisons
        print(f"{name:8}{took['wall']:9.2f}{took['cpu']:9.2f}{each:13.3f}{took['memory']:12.1f}")
    for what, title in (("wall", "wall time"), ("cpu", "CPU time")):
        pairs = zip(taken["ours"], taken["plain"], strict=True)
        ratio = statistics.median(mine[what] / theirs[what] for mine, theirs in pairs)
        print(f"{title}: ours takes {ratio:.3f} of the plain client's (wanted: {LIMIT})")


def compare_memory(base_url: str, options: argparse.Namespace) -> None:
    """Prints how memory grows with the number of comparisons."""
    print(f"\nmemory, MiB{'comparisons':>14}" + "".join(f"{name:>10}" for name in CLIENTS))
    for share in (10, 2, 1):
        count = options.comparisons // share
        took = [measured(name, base_url, count, options.concurrency) for name in CLIENTS]
        print(f"{count:25}" + "".join(f"{each['memory']:10.1f}" for each in took), flush=True)


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--comparisons", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--latency-ms", type=float, default=100.0)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--client", choices=[*CLIENTS, "server"], help=argparse.SUPPRESS)
    parser.add_argument("--base-url", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> None:
    """Runs the benchmark, or one client in its own process."""
    options = read_options(sys.argv[1:])
    if options.client == "server":
        asyncio.run(serve(options.latency_ms / 1000))
    elif options.client:
        took: dict[str, Any] = client(
            options.client, options.base_url, options.comparisons, options.concurrency
        )
        print(json.dumps(took))
    else:
        command = [sys.executable, __file__, "--client", "server"]
        command += ["--latency-ms", str(options.latency_ms)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            base_url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
            print(
                f"Python {platform.python_version()}, {os.cpu_count()} cores, "
                f"{options.comparisons} comparisons, {options.concurrency} at once, "
                f"answers after {options.latency_ms:g} ms, {options.runs} runs, medians"
            )
            compare_speed(base_url, options)
            compare_memory(base_url, options)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
