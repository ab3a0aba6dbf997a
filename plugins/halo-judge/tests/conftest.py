"""Judges to test the stage with, and samples for them to judge."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

import halo_core.cli
from halo_core.feedback import prompt_id
from halo_core.judge import Comparison, Judge, JudgeContext, Verdict
from halo_core.stage import StageContext
from halo_core.testing.context import stage_context


@pytest.fixture(autouse=True, scope="session")
def _one_authority(tmp_path_factory):
    """Lets clients read one certificate, and not all of the machine's: their servers have none."""
    import certifi

    first, end, _ = Path(certifi.where()).read_text(encoding="utf-8").partition("-----END CERT")
    file = tmp_path_factory.mktemp("authority") / "one.pem"
    file.write_text(f"{first}{end}IFICATE-----\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield


class Scripted(Judge):
    """Answers each comparison with the result of a function, and records the comparisons."""

    asked: ClassVar[list[Comparison]] = []
    opened: ClassVar[list[JudgeContext]] = []

    says: Callable = Field(description="Comparison to a winner, a reason or an error.")

    def open(self, context):
        self.opened.append(context)
        return nullcontext(_Session(self))


class _Session:
    def __init__(self, judge):
        self.judge = judge

    def compare(self, comparisons):
        for comparison in comparisons:
            self.judge.asked.append(comparison)
            said = self.judge.says(comparison)
            if isinstance(said, Exception):
                raise said
            if said != "nothing":
                yield said if isinstance(said, Verdict) else Verdict(comparison.id, said, "why")


@pytest.fixture
def scripted():
    """Makes a scripted judge that has not been asked anything."""

    def make(says: Callable) -> Scripted:
        Scripted.asked.clear()
        Scripted.opened.clear()
        return Scripted(says=says)

    return make


def sample(number: int, completion: str, target: str | None, tokens: int = 3) -> dict:
    """A line of samples.jsonl for the prompt ``q<number>``."""
    prompt = [{"role": "user", "content": f"q{number}"}]
    return {
        "prompt_id": prompt_id(prompt),
        "prompt": prompt,
        "completion": completion,
        "target": target,
        "tokens": tokens,
        "target_tokens": None if target is None else tokens + 1,
        "token_ids": [1] * tokens,
        "finish": "stop",
    }


@pytest.fixture
def judge_context(tmp_path):
    """Makes the context of a judge stage `win` over given samples; call it again to resume."""

    def make(samples: list[dict], against: list[dict] | None = None, **more) -> StageContext:
        inputs = {"of": _write(tmp_path / "of", samples)}
        if against is not None:
            inputs["against"] = _write(tmp_path / "against", against)
        return stage_context(tmp_path / "win", id_="win", inputs=inputs, **more)

    return make


def _write(folder: Path, samples: list[dict]) -> Path:
    folder.mkdir(exist_ok=True)
    lines = [json.dumps(line) + "\n" for line in samples]
    (folder / "samples.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def make_sample():
    return sample


_FIXED = """
import json
from typing import ClassVar

from pydantic import Field

from halo_core.feedback import prompt_id
from halo_core.stage import Product, Stage, StageResult


class Fixed(Stage):
    produces: ClassVar[Product] = "samples"
    count: int = Field(default=4, ge=1, description="Prompts.")

    def run(self, context):
        with (context.folder / "samples.jsonl").open("w") as file:
            for i in range(self.count):
                prompt = [{"role": "user", "content": f"q{i}"}]
                texts = {"completion": "x" * (3 + i % 5), "target": "y" * (2 + i % 7)}
                line = {"prompt_id": prompt_id(prompt), "prompt": prompt, "tokens": 3, **texts}
                file.write(json.dumps(line) + "\\n")
        return StageResult({"n": self.count}, "fixed texts")
"""
_SPEC = """
name: judged
seed: 1
model: {hub: some/model, revision: main}
stages:
  answers: {use: "file:./fixed.py:Fixed", count: COUNT}
  win: {use: judge, judge: JUDGE, of: answers, against: target}
"""


class Judged:
    """A folder with a spec that judges fixed texts, for processes of `halo`."""

    def __init__(self, folder: Path, warm) -> None:
        self.folder = folder
        self._warm = warm
        self._imports = warm.JUDGE
        folder.mkdir()
        (folder / "fixed.py").write_text(_FIXED, encoding="utf-8")

    def write(self, base_url: str, count: int, tracking: str = "", **options) -> None:
        """Writes the spec; options are the judge's."""
        if tracking:
            self._imports = (*self._warm.JUDGE, *self._warm.MLFLOW)
        judge = {"use": "gpt-4", "base_url": base_url, "timeout_s": 60.0, "retries": 8, **options}
        spec = _SPEC.replace("COUNT", str(count)).replace("JUDGE", json.dumps(judge))
        (self.folder / "spec.yaml").write_text(spec + tracking, encoding="utf-8")

    def start(self, *arguments: str) -> subprocess.Popen:
        """Starts `halo` with the spec after the first argument, as a fork; see `warm`."""
        code = "import sys, halo_core.cli; sys.exit(halo_core.cli.call(sys.argv[1:]))"
        command, *rest = arguments
        return self._warm.start(
            [sys.executable, "-c", code, command, "spec.yaml", *rest],
            ready=(2,),  # the writer of its page, and its tracker
            imports=self._imports,
            cwd=self.folder,
            env=dict(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def halo(self, *arguments: str) -> tuple[int, str, str]:
        """Returns the exit code, stdout and stderr of `halo`."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=200)
        return process.returncode, out, err

    def halo_here(self, *arguments: str) -> int:
        """Returns the exit code of `halo` in this process."""
        command, *rest = arguments
        with contextlib.chdir(self.folder):
            return halo_core.cli.call([command, "spec.yaml", *rest])

    def records(self) -> list[dict]:
        """Returns the lines of the one file of verdicts."""
        (path,) = (self.folder / "workspace").rglob("verdicts.jsonl")
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def judged(tmp_path, warm):
    """Makes a folder with a spec that judges fixed texts."""
    return lambda name="project": Judged(tmp_path / name, warm)


class _Server(ThreadingHTTPServer):
    """Answers with the result of a function of the body: a reply, or (status, headers, text)."""

    daemon_threads = True

    def __init__(self, says):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.says = says
        self.bodies = []
        self.headers = []
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/score"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.headers.append(dict(self.headers))
        said = self.server.says(body)
        if said == "hang up":
            self.close_connection = True
            self.connection.close()
            return
        status, headers, text = said if isinstance(said, tuple) else (200, {}, json.dumps(said))
        raw = text.encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """Serves the results of a function of the bodies, and records bodies and headers."""
    servers = []

    def go(says):
        server = _Server(says)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield go
    for server in servers:
        server.shutdown()
        server.server_close()
