from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from transformers.utils import import_utils

from halo_core.cli import call
from halo_core.stage import ModelInput
from halo_trainer.chat.server_program import without_secrets


def test_a_model_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["serve", "nothing", "--workspace", str(tmp_path)]) == 2
    assert "no run or suite 'nothing'" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(
    tiny_model: ModelInput,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(import_utils, "is_serve_available", lambda: True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ["serve", tiny_model.path, "--port", port, "--workspace", str(tmp_path)]
        assert call(arguments) == 2
    err = capsys.readouterr().err
    assert f"cannot listen at 127.0.0.1:{port}" in err
    assert "Choose another --port" in err


def test_a_server_that_is_not_installed_is_named_with_its_extra(
    tiny_model: ModelInput,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(import_utils, "is_serve_available", lambda: False)
    assert call(["serve", tiny_model.path, "--workspace", str(tmp_path)]) == 2
    assert "pip install 'halo-trainer[serve]'" in capsys.readouterr().err


def test_the_server_prints_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "open sesame")
    written = io.BytesIO()
    before = io.TextIOWrapper(written, "utf-8")
    stream = without_secrets(before)
    print("GET /v1?key=open%20sesame HTTP/1.1 404", file=stream)
    assert written.getvalue() == b"GET /v1?key=*** HTTP/1.1 404\n"


@pytest.mark.slow
def test_ctrl_c_while_the_server_is_imported_ends_it_without_a_traceback(tmp_path: Path) -> None:
    """The program begins as `halo serve` starts it: with a Ctrl-C that waits for its handler."""
    for module in ("huggingface_hub", "transformers"):
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text("import time\nprint(1)\ntime.sleep(60)\n")
    begin = (
        "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]); {}"
        "os.execv(sys.executable, [sys.executable, '-m', 'halo_trainer.chat.server_program'])"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    for early in ("os.kill(os.getpid(), signal.SIGINT); ", ""):
        with subprocess.Popen(
            [sys.executable, "-c", begin.format(early)],
            env=os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stdout is not None
            if not early:
                assert server.stdout.readline() == "1\n"
                server.send_signal(signal.SIGINT)
            _, said = server.communicate(timeout=60)
        assert (server.returncode, said) == (130, "")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_endpoint_answers_and_ends_with_ctrl_c(
    warm: Any, tiny_model: ModelInput, tmp_path: Path
) -> None:
    if not import_utils.is_serve_available():
        pytest.skip("needs the extra serve: pip install 'halo-trainer[serve]'")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "halo_core.cli", "serve", tiny_model.path]
    options = ["--port", str(port), "--device", "cpu", "--workspace", str(tmp_path)]
    with warm.start([*command, *options], stdout=subprocess.DEVNULL) as server:
        try:
            body = {
                "model": tiny_model.path,
                "messages": [{"role": "user", "content": "hello"}],
                "max_tokens": 4,
            }
            answer = ask(f"http://127.0.0.1:{port}/v1/chat/completions", body, server)
            assert answer["choices"][0]["message"]["role"] == "assistant"
            server.send_signal(signal.SIGINT)
            assert server.wait(timeout=200) == 130
        finally:
            server.kill()


def ask(url: str, body: object, server: subprocess.Popen[bytes]) -> Any:
    end = time.monotonic() + 240
    while True:
        try:
            headers = {"Content-Type": "application/json"}
            with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=60) as reply:
                return json.load(reply)
        except URLError:
            assert server.poll() is None
            assert time.monotonic() < end
            time.sleep(0.5)
