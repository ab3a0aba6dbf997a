"""The quickstart, with few steps, uses no network but this machine's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FORBID = '''
"""Forbids addresses of other machines in each process of Python, and writes them down."""
import os
import sys

OWN = ("localhost", "127.0.0.1", "::1", b"localhost", b"127.0.0.1", b"::1", "", None)


def forbid(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if not isinstance(address, tuple) or address[0] in OWN[:6]:
            return
        found = address[0]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        found = arguments[0]
        if found in OWN:
            return
    else:
        return
    with open(os.environ["FORBIDDEN_ADDRESSES"], "a") as file:
        file.write(f"{event} {found!r} {sys.argv}\\n")
    raise OSError(f"a test forbids {event} {found!r}")


sys.addaudithook(forbid)
'''
FEW = [
    *("model.scratch.config.num_hidden_layers=1", "model.scratch.config.hidden_size=32"),
    *("data.corpus.size=100", "data.train.size=64"),
    *(f"stages.{stage}.steps=2" for stage in ("base", "sft", "kto")),
    *(f"stages.{stage}.warmup_steps=1" for stage in ("base", "sft", "kto")),
    *(
        f"stages.{stage}-answers.{option}=4"
        for stage in ("base", "sft", "kto")
        for option in ("n", "max_new_tokens")
    ),
]


@pytest.fixture
def forbidding(tmp_path: Path) -> dict[str, str]:
    """Returns the environment in which addresses of other machines are forbidden."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(FORBID)
    path = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(path),
        "FORBIDDEN_ADDRESSES": str(tmp_path / "forbidden.txt"),
    }


def test_the_forbidding_finds_an_address_of_another_machine(
    forbidding: dict[str, str], tmp_path: Path
) -> None:
    for code in (
        "socket.create_connection(('192.0.2.1', 80), timeout=1)",
        "socket.getaddrinfo('example.org', 80)",
        "socket.socket().bind(('0.0.0.0', 0))",
    ):
        command = [sys.executable, "-c", f"import socket; {code}"]
        done = subprocess.run(
            command, env={**os.environ, **forbidding}, capture_output=True, check=False, timeout=60
        )
        assert b"a test forbids socket." in done.stderr
    assert len((tmp_path / "forbidden.txt").read_text().splitlines()) == 3


@pytest.mark.slow(seconds=15)
@pytest.mark.timeout(600)
def test_the_quickstart_needs_no_other_machine(
    halo_process: Callable[..., Any], forbidding: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("halo_trainer")
    pytest.importorskip("mlflow")
    settings = [word for setting in FEW for word in ("--set", setting)]
    spec = ROOT / "examples" / "quickstart.yaml"
    done = halo_process("run", str(spec), *settings, env=forbidding)
    assert done.code == 0, done.err
    assert (tmp_path / "workspace" / "mlflow.db").is_file()
    assert "not everything reached" not in done.err
    assert not (tmp_path / "forbidden.txt").exists(), (tmp_path / "forbidden.txt").read_text()
