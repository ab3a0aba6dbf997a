from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from halo_core.errors import HaloError
from halo_core.plugins.discovery import discover
from halo_core.plugins.registry import import_target
from halo_core.tracking.carrier import Tracking
from halo_mlflow.options import MLflow
from halo_mlflow.runs.session import MLflowSession
from halo_mlflow.store.links import run_links
from halo_mlflow.store.store import choose_store


def test_the_uri_of_the_spec_comes_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment:1")
    assert choose_store("http://spec:1", tmp_path).uri == "http://spec:1"
    assert choose_store(None, tmp_path).uri == "http://environment:1"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert choose_store(None, tmp_path).uri == f"sqlite:///{tmp_path}/mlflow.db"


def test_artifacts_of_a_database_lie_in_the_workspace_and_of_a_server_where_it_says(
    tmp_path: Path,
) -> None:
    assert choose_store(None, tmp_path).artifacts == f"file://{tmp_path}/mlartifacts"
    assert choose_store("postgresql+psycopg2://u@h/db", tmp_path).artifacts is not None
    assert choose_store("http://host:5000", tmp_path).artifacts is None


def test_halo_check_writes_no_test_runs_to_the_store_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert MLflow().unchecked_rules() == {}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:sesame@host:5000")
    reason, _ = MLflow().unchecked_rules().values()
    assert reason.startswith("it would write runs of a test to the store in MLFLOW_TRACKING_URI")
    assert "sesame" not in reason
    # With an address of its own, somebody wants it to be checked there.
    assert MLflow(uri="http://localhost:5000").unchecked_rules() == {}


def test_a_relative_sqlite_file_is_below_the_current_folder_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert choose_store("sqlite:///x/y.db", tmp_path / "ws").uri == f"sqlite:///{tmp_path}/x/y.db"


def test_a_password_in_the_uri_is_never_shown(tmp_path: Path) -> None:
    store = choose_store("http://ann:sesame@host:5000", tmp_path)
    assert store.shown == "http://***@host:5000"
    assert "sesame" not in repr(store)
    assert "sesame" not in json.dumps(run_links(store, "1", "r"))


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns", "mlruns:sesame"])
def test_a_folder_is_no_store(uri: str) -> None:
    with pytest.raises(ValidationError, match="expected http://host:port") as raised:
        MLflow(uri=uri)
    assert raised.value.errors()[0]["msg"].count("sesame") == 0


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("http://localhost:5000 ", "contains a blank"),
        ("http://localhost:99999", "the port is not a number from 0 to 65535"),
        ("http://[::1", "Invalid IPv6 URL; expected http://host:port"),
        ("https://:5000", "names no host"),
        ("s3://bucket/runs", "MLflow has no store for s3://"),
        ("sqlite://runs.db", "expected sqlite:///file.db, or sqlite:////folder/file.db"),
        ("sqlite:///:memory:", "this database is lost with its process"),
        ("sqlite:////tmp", "/tmp is a folder; expected a file"),
        (f"sqlite:///{__file__}", "is not a database of SQLite; name another file"),
        ("mysql+pymysql://host/runs", "the Python package pymysql is not installed"),
        ("postgresql+nothing://host/runs", "SQLAlchemy cannot read it"),
    ],
)
def test_an_address_that_can_never_work_is_a_mistake(uri: str, problem: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(problem)):
        MLflow(uri=uri)


@pytest.mark.parametrize(
    "uri",
    [
        "http://[::1]:5000/mlflow",
        "databricks",
        "databricks://a",
        "sqlite:///new%20runs.db",
        "sqlite:////data/my runs/runs.db",
    ],
)
def test_an_address_that_may_work_is_none(uri: str) -> None:
    assert MLflow(uri=uri).uri == uri


def test_a_store_of_another_package_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    def registered(group: str, name: str) -> list[str]:
        return ["its store"] if (group, name) == ("mlflow.tracking_store", "own") else []

    monkeypatch.setattr("halo_mlflow.address.entry_points", registered)
    assert MLflow(uri="own://runs").uri == "own://runs"
    with pytest.raises(ValidationError, match="MLflow has no store for other"):
        MLflow(uri="other://runs")


def test_the_tracker_is_found_by_its_name() -> None:
    assert import_target(discover().find("tracker", "mlflow")) is MLflow


def test_a_dead_server_raises_at_once_without_the_password(
    fake_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fake_run.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:sesame@127.0.0.1:{port}")
    session = MLflowSession(MLflow(), fake_run.folder, fake_run.workspace)
    with pytest.raises(HaloError) as raised:
        session.handle(fake_run.events)
    assert str(raised.value).startswith(f"http://***@127.0.0.1:{port}: ")
    assert "sesame" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert session.describe() == {
        "label": "MLflow",
        "store": f"http://***@127.0.0.1:{port}",
    }


def test_a_server_that_never_answers_is_given_up_after_the_time_out(fake_run: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        fake_run.start()
        session = MLflowSession(MLflow(uri=uri, timeout_s=1), fake_run.folder, fake_run.workspace)
        with pytest.raises(HaloError, match=r"timed out|Timeout|Max retries"):
            session.handle(fake_run.events)


@pytest.fixture
def failing_server() -> Iterator[tuple[str, list[str]]]:
    """A server that answers every request with 503, and its requests."""
    asked: list[str] = []

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(503)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Busy)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_a_failing_server_is_asked_once_per_attempt(
    fake_run: Any, failing_server: tuple[str, list[str]]
) -> None:
    uri, asked = failing_server
    fake_run.start()
    session = MLflowSession(MLflow(uri=uri), fake_run.folder, fake_run.workspace)
    with pytest.raises(HaloError, match="503"):
        session.handle(fake_run.events)
    assert len(asked) == 1


def test_tracking_to_a_dead_server_warns_and_names_sync(
    fake_run: Any, failing_server: tuple[str, list[str]]
) -> None:
    uri, _ = failing_server
    fake_run.write_whole()
    warnings: list[str] = []
    trackers = {"mlflow": MLflow(uri=uri)}
    with Tracking(trackers, fake_run.folder, fake_run.workspace, warnings.append) as tracking:
        tracking.close()
    assert warnings[-1] == (
        f"mlflow: not everything reached mlflow; halo sync {fake_run.folder} sends the rest"
    )
    assert tracking.describe() == {"mlflow": {"label": "MLflow", "store": uri}}


def test_what_a_dead_server_missed_is_sent_to_a_database_later(
    tracked_run: Any, client: Any, failing_server: tuple[str, list[str]]
) -> None:
    tracked_run.write_whole()
    for options in (MLflow(uri=failing_server[0]), MLflow()):
        trackers = {"mlflow": options}
        with Tracking(trackers, tracked_run.folder, tracked_run.workspace, print) as tracking:
            tracking.close()
    run = client.get_run(tracking.describe()["mlflow"]["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["answer/win rate"] == 0.6


OPENS = """
import pathlib, sys
from halo_mlflow.store.store import choose_store, connect
sys.stdin.read()
client = connect(choose_store(None, pathlib.Path()), timeout_s=5)
print(len(client.search_experiments()))
"""


@pytest.mark.slow
def test_four_processes_may_open_a_new_database_at_once(tmp_path: Path, warm: Any) -> None:
    # Forks of a process that has imported MLflow. They begin when their inputs end.
    options: dict[str, Any] = {
        "cwd": tmp_path,
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "text": True,
    }
    command = [sys.executable, "-c", OPENS]
    opening = [warm.start(command, imports=warm.MLFLOW, **options) for _ in range(4)]
    for process in opening:
        process.stdin.close()
    assert [process.stdout.read() for process in opening] == ["1\n"] * 4
    assert [process.wait(60) for process in opening] == [0] * 4
