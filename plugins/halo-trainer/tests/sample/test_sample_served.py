"""Completions from a real server that shares no code with halo: `transformers serve`."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from halo_core.rows import DataSet
from halo_core.stage import ModelInput, StageContext
from halo_models.load import load_tokenizer
from halo_trainer.sample.options import Sample

pytestmark = [pytest.mark.slow(seconds=25), pytest.mark.timeout(600)]
ROWS = [{"prompt": [{"role": "user", "content": f"moo {i}"}], "completion": "x"} for i in range(3)]


@pytest.fixture
def url(tiny_model: ModelInput, tmp_path: Path) -> Iterator[str]:
    from transformers.utils.import_utils import is_serve_available

    if not is_serve_available():
        pytest.skip("needs fastapi, uvicorn and openai: pip install 'transformers[serving]'")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    code = "from transformers.cli.transformers import main; main()"
    options = ["serve", tiny_model.path, "--device", "cpu", "--host", "127.0.0.1"]
    log = tmp_path / "serve.log"
    with log.open("w") as written:
        server = subprocess.Popen(
            [sys.executable, "-c", code, *options, "--port", str(port)],
            stdout=written,
            stderr=written,
        )
    try:
        end = time.monotonic() + 300
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, ConnectionError, TimeoutError):
        return False


def test_a_served_model_writes_the_most_probable_tokens_as_halo_does(
    url: str,
    tiny_model: ModelInput,
    make_data: Callable[..., DataSet],
    make_context: Callable[..., StageContext],
) -> None:
    given = {"prompts": "test", "max_new_tokens": 8, "temperature": 0.0}
    endpoint = {"url": url, "model": tiny_model.path, "server": "other", "prompts": "text"}
    made = {}
    warnings: list[str] = []
    for name, options in {"here": {"device": "cpu"}, "served": {"endpoint": endpoint}}.items():
        data = {"prompts": make_data("demonstration", ROWS, name=f"set-{name}")}
        models = {"from": tiny_model}
        context = make_context(data=data, models=models, name=name, warnings=warnings)
        Sample.build(json.dumps(given | options), {}).run(context)
        made[name] = [json.loads(line) for line in (context.folder / "samples.jsonl").open()]
    tokenizer = load_tokenizer(tiny_model, None)
    # The server leaves control tokens out of its texts.
    expected = [tokenizer.decode(s["token_ids"], skip_special_tokens=True) for s in made["here"]]
    assert [sample["completion"] for sample in made["served"]] == expected
    assert any(expected)
    assert [s["prompt_id"] for s in made["served"]] == [s["prompt_id"] for s in made["here"]]
    assert [warning[:14] for warning in warnings] == ["3 of 3 samples"] * 2
