"""A password is planted in the environment; all that was written and sent is searched."""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest

PASSWORD = "pl4nted/se crët-zQxV"
PAIR = f"ann:{PASSWORD}"
BASIC = base64.b64encode(PAIR.encode("latin-1")).decode()
UTF_8 = base64.b64encode(PAIR.encode()).decode()
FORMS = [
    PASSWORD,
    quote(PASSWORD),
    quote(PASSWORD, safe=""),
    PASSWORD.replace(" ", "+"),
    json.dumps(PASSWORD)[1:-1],
    "pl4nted",
    "zQxV",
    BASIC[:-4],
    BASIC[6:-4],
    UTF_8[6:-4],
]
LEAKING = """
import base64
import os
from typing import ClassVar
from urllib.parse import quote

from pydantic import Field

from halo_core.stage import Product, Stage, StageResult


class Leaking(Stage):
    produces: ClassVar[Product] = "samples"
    fails: bool = Field(default=False, description="whether it fails")

    def run(self, context):
        secret = os.environ["PLANTED_PASSWORD"]
        encoded = base64.b64encode(f"ann:{secret}".encode()).decode()
        half = f"{secret[:8]}\\n{secret[8:]}"
        for form in (secret, quote(secret, safe=""), f"Authorization: Basic {encoded}", half):
            context.warn(f"no answer for {form}")
        if self.fails:
            raise OSError(f"http://ann:{secret}@host does not answer")
        (context.folder / "samples.jsonl").write_text("")
        return StageResult({"n": 1.0}, f"done with {secret}")
"""
SPEC = """
name: leaking
seed: 1
model: {hub: some/model, revision: main}
stages:
  answers: {use: "file:./leaking.py:Leaking"}
reports: []
tracking: [mlflow]
"""
WITHOUT_PAUSES = """
import sys
from halo_core import cli
from halo_core.tracking import send
send.LONGEST_PAUSE_S = 0
sys.exit(cli.call(sys.argv[1:]))
"""
"""`halo`, but `halo sync` tries again at once. Its pauses take 12 s for a server that refuses."""
VARIABLES = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


class Server:
    """A server that refuses everybody, and what it was sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.credentials: list[str | None] = []
        sent = self

        class Refusing(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                sent.credentials.append(self.headers.get("Authorization"))
                length = int(self.headers.get("Content-Length") or 0)
                sent.bodies.append(self.path.encode() + self.rfile.read(length))
                said = f"no such user: {self.headers.get('Authorization')}".encode()
                self.send_response(401)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_POST = do_PUT = do_PATCH = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
        self.host = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLFLOW_TRACKING_URI", *VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLANTED_PASSWORD", PASSWORD)
    (tmp_path / "leaking.py").write_text(LEAKING)
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path


@pytest.fixture
def halo_fork(warm: Any, tmp_path: Path) -> Callable[..., Any]:
    """Runs `halo` as `halo_process` does, but as a fork, and its tracker too; see `warm`."""

    def call(*arguments: str, env: Mapping[str, str] | None = None) -> Any:
        done = warm.run(
            [sys.executable, "-c", WITHOUT_PAUSES, *arguments],
            ready=(1,),
            imports=warm.MLFLOW,
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
            timeout=120,
        )
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return call


def check_nothing_planted(folder: Path, *said: str | bytes) -> None:
    """Checks that no file below a folder and no text has a form of the password."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".py"]
    assert len(files) > 5
    texts = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    texts |= {f"text {n}": t if isinstance(t, bytes) else t.encode() for n, t in enumerate(said)}
    found = [(name, f) for name, text in texts.items() for f in FORMS if f.encode() in text]
    assert found == []


@pytest.mark.slow(seconds=5)
@pytest.mark.parametrize("fails", ["false", "true"])
def test_a_planted_password_is_in_no_file_no_database_and_nothing_said(
    project: Path, halo_process: Callable[..., Any], halo_fork: Callable[..., Any], fails: str
) -> None:
    halo = halo_process if fails == "false" else halo_fork
    setting = ("--set", f"stages.answers.fails={fails}")
    said = [halo("run", "spec.yaml", *setting, *more) for more in ((), ("--debug",))]
    assert [done.code for done in said] == ([3, 3] if fails == "true" else [0, 0])
    assert (project / "workspace" / "mlflow.db").is_file()
    assert "***" in said[0].err
    check_nothing_planted(project, *(done.out + done.err for done in said))


@pytest.mark.slow(seconds=5)
def test_the_password_of_the_environment_is_used_and_never_written(
    project: Path, halo_fork: Callable[..., Any], server: Server
) -> None:
    address = {"MLFLOW_TRACKING_URI": f"http://ann:{PASSWORD}@{server.host}"}
    done = halo_fork("run", "spec.yaml", env=address)
    assert done.code == 0
    assert set(server.credentials) == {f"Basic {BASIC}"}
    assert "the server wants credentials in MLFLOW_TRACKING_USERNAME and" in done.err
    assert f"http://***@{server.host}" in done.err
    check_nothing_planted(project, done.out + done.err, *server.bodies)

    again = halo_fork("sync", "leaking", env=address)
    assert again.code == 1
    assert "(set now: MLFLOW_TRACKING_URI)" in again.err
    apart = {
        "MLFLOW_TRACKING_URI": f"http://{server.host}",
        "MLFLOW_TRACKING_USERNAME": "ann",
        "MLFLOW_TRACKING_PASSWORD": PASSWORD,
    }
    server.credentials.clear()
    third = halo_fork("sync", "leaking", env=apart)
    assert set(server.credentials) == {f"Basic {UTF_8}"}
    forgotten = halo_fork("sync", "leaking")
    assert forgotten.code == 1
    assert (
        f"this run was sent to http://{server.host}, whose address was in MLFLOW_TRACKING_URI, "
        "which is not set now"
    ) in forgotten.err
    assert not (project / "workspace" / "mlflow.db").exists()
    texts = [done.out + done.err for done in (again, third, forgotten)]
    check_nothing_planted(project, *texts, *server.bodies)


@pytest.mark.parametrize(
    "address",
    [
        "http://ann:{}@host:5000",
        "http://{}@host:5000",
        "https://host/?token={}",
        "postgresql+psycopg2://ann:{}@host/runs",
    ],
)
@pytest.mark.parametrize("more", [(), ("--json",), ("--debug",)])
@pytest.mark.parametrize("place", ["spec", "--set"])
def test_a_password_in_a_spec_is_a_mistake_that_names_the_variables(
    project: Path,
    halo: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    more: tuple[str, ...],
    place: str,
) -> None:
    monkeypatch.delenv("PLANTED_PASSWORD")
    address = address.format(PASSWORD)
    setting = ["--set", f"tracking=[{{use: mlflow, uri: '{address}'}}]"]
    if place == "spec":
        text = SPEC.replace("[mlflow]", f"[{{use: mlflow, uri: '{address}'}}]")
        (project / "spec.yaml").write_text(text)
        setting = []
    done = halo("run", "spec.yaml", *setting, *more)
    assert done.code == 2
    for name in VARIABLES:
        assert name in done.out + done.err
    assert not any(form in done.out + done.err for form in FORMS)
    assert not (project / "workspace").exists()


def test_the_value_of_a_secret_variable_in_a_spec_is_a_mistake(
    project: Path, halo: Callable[..., Any]
) -> None:
    done = halo("run", "spec.yaml", "--set", f"model.revision='{PASSWORD}'")
    assert done.code == 2
    assert (
        "model.revision: holds the secret that is in the environment variable PLANTED_PASSWORD"
    ) in done.err
    assert not any(form in done.out + done.err for form in FORMS)
    assert not (project / "workspace").exists()


@pytest.mark.slow(seconds=5)
def test_sync_takes_the_password_of_an_older_record_from_the_environment(
    project: Path, halo_fork: Callable[..., Any], server: Server
) -> None:
    plain = ("--set", f"tracking=[{{use: mlflow, uri: 'http://{server.host}'}}]")
    assert halo_fork("run", "spec.yaml", *plain).code == 0
    (record,) = (project / "workspace" / "runs").glob("*/run.json")
    text = record.read_text().replace("http://127", f"http://ann:{PASSWORD}@127")
    tree = json.loads(text)
    del tree["crc"]
    record.write_text(json.dumps(tree))
    server.credentials.clear()
    done = halo_fork("sync", "leaking")
    assert set(server.credentials) == {None}
    assert "MLFLOW_TRACKING_TOKEN (none of them is set)" in done.err
    halo_fork("sync", "leaking", env={"MLFLOW_TRACKING_TOKEN": "t0kent0ken"})
    assert "Bearer t0kent0ken" in server.credentials
    done = halo_fork("run", "spec.yaml", *plain)
    assert "took passwords or tokens out of the records of 1 earlier runs" in done.err
    check_nothing_planted(project / "workspace" / "runs")
