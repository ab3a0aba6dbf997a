from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.errors import HaloError, PathError
from halo_mlflow.options import MLflow
from halo_mlflow.runs.session import MLflowSession
from halo_mlflow.store.store import choose_store
from halo_mlflow.ui.pages import start_pages
from halo_mlflow.ui.servable import servable
from halo_mlflow.ui.server import served, server_command, server_environment
from halo_mlflow.ui.waiting import Waiting

CHROMIUM = "/usr/bin/chromium"
SHOTS = "HALO_SCREENSHOTS"
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_ui_without_runs_says_to_run_something_first(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert call(["ui", "--workspace", str(tmp_path)]) == 2
    assert (
        f"{tmp_path}/mlflow.db: no runs are tracked here yet; "
        "first: halo run examples/quickstart.yaml" in capsys.readouterr().err
    )


def test_ui_names_a_free_port_when_the_port_is_taken(tracked_run: Any, capsys: Captured) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ["--workspace", str(tracked_run.workspace), "--port", str(port)]
        assert call(["ui", *arguments]) == 2
    told = capsys.readouterr().err
    assert f"cannot listen on port {port} of 127.0.0.1" in told
    assert "another one, for example: --port" in told


def test_ui_of_a_server_names_the_server_without_its_password(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:sesame@host:5000")
    assert call(["ui", "--workspace", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "runs are tracked on the server http://***@host:5000" in told


def test_ui_says_when_mlflow_is_missing(
    tracked_run: Any, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert call(["ui", "--workspace", str(tracked_run.workspace)]) == 3
    assert "MLflow is not installed: pip install halo-mlflow" in capsys.readouterr().err


def test_ui_on_other_hosts_needs_a_password(
    tracked_run: Any, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_AUTH_ADMIN_PASSWORD", raising=False)
    arguments = ["ui", "--workspace", str(tracked_run.workspace), "--host", "0.0.0.0"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert call(arguments) == 2
    assert "set MLFLOW_AUTH_ADMIN_PASSWORD" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "mlflow" or None)
    assert call(arguments) == 2
    assert "pip install 'mlflow[auth]'" in capsys.readouterr().err


def test_only_other_hosts_are_served_with_authentication() -> None:
    assert "basic-auth" not in server_command("127.0.0.1", 5000)
    assert server_command("0.0.0.0", 5000)[-2:] == ["--app-name", "basic-auth"]
    allowed = server_command("127.0.0.1", 5001)[-1]
    assert allowed == "127.0.0.1:5001,localhost:5001,::1:5001"


def test_the_server_is_light_and_gets_the_store_by_its_environment(tmp_path: Path) -> None:
    store = choose_store("postgresql://ann:sesame@host/runs", tmp_path)
    environment = server_environment(store, {"MLFLOW_DISABLE_TELEMETRY": "false"})
    assert environment["MLFLOW_BACKEND_STORE_URI"] == store.uri
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "false"
    assert server_environment(store, {})["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert not any("sesame" in word for word in server_command("127.0.0.1", 5000))


def test_a_server_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such table')"]
    with (
        pytest.raises(HaloError, match=r"exit code 1; it said:\nno such table"),
        served(command, os.environ, tmp_path, "http://127.0.0.1:9", lambda: False),
    ):
        pass


def test_a_server_is_waited_for_as_long_as_it_lives_unless_a_limit_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", "import time; print('migrating', flush=True); time.sleep(600)"]
    seconds: list[float] = []
    log, now = tmp_path / "mlflow-server.log", [0.0]

    def sleep(seconds: float) -> None:
        """Lets the clock continue after the server has said something."""
        end = time.monotonic() + 120
        while not log.read_text():
            assert time.monotonic() < end
            time.sleep(0.02)
        now[0] += seconds

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr("halo_mlflow.ui.server.time", clock)
    with (
        pytest.raises(HaloError, match=r"within 2.5 s; .*--timeout.*it said:\nmigrating"),
        served(
            command,
            os.environ,
            tmp_path,
            "http://127.0.0.1:9",
            lambda: False,
            waited=seconds.append,
            limit_s=2.5,
        ),
    ):
        pass
    assert len(seconds) == 2


def test_waiting_says_each_ten_seconds_without_a_terminal_and_names_the_log(
    tmp_path: Path, capsys: Captured
) -> None:
    waiting = Waiting(tmp_path / "mlflow-server.log")
    for seconds in range(1, 22):
        waiting.tell(float(seconds))
    waiting.end()
    log = f"; its output is in {tmp_path}/mlflow-server.log"
    assert capsys.readouterr().err.splitlines() == [
        "starting MLflow ...",
        f"starting MLflow ... 10 s{log}",
        f"starting MLflow ... 20 s{log}",
    ]


def test_the_pages_are_those_of_all_experiments_and_open_their_views(
    tracked_run: Any, send: Callable[..., Any], client: Any
) -> None:
    store = choose_store(None, tracked_run.workspace)
    assert start_pages(store, "http://h") == {
        "all experiments": "http://h/#/experiments?workflowType=machine_learning"
    }
    tracked_run.start()
    send()
    client.create_run(client.create_experiment("of somebody else"), start_time=1)
    page = "http://h/#/experiments/{}/runs?workflowType=machine_learning{}&compareRunsMode=CHART"
    pages = start_pages(store, "http://h")
    assert list(pages.items()) == [
        ("halo/toy", page.format(1, "&viewStateShareKey=halo")),
        ("of somebody else", page.format(2, "")),
    ]


def test_a_database_that_cannot_be_written_to_is_shown_as_a_copy(
    tracked_run: Any,
    send: Callable[..., Any],
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracked_run.start()
    send()
    old, moved = tracked_run.workspace, tmp_path / "moved"
    with closing(sqlite3.connect(old / "mlflow.db")) as database, database:
        # The fixture's tables were made elsewhere.
        place = f"file://{old}/mlartifacts/0"
        query = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0"
        database.execute(query, (place,))
    shutil.copytree(old, moved)
    shutil.rmtree(old)
    before = {path: path.read_bytes() for path in moved.rglob("*") if path.is_file()}
    monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(moved))
    with servable(choose_store(None, moved), moved) as (store, folder):
        assert store.file == folder / "mlflow.db"
        assert list(start_pages(store, "http://h")) == ["halo/toy"]
        with closing(sqlite3.connect(store.file)) as database:
            ((place,),) = database.execute("SELECT artifact_uri FROM runs")
        assert place.startswith(f"file://{moved}/mlartifacts/")
        # A moved workspace is corrected in the copy alone.
        assert {path: path.read_bytes() for path in moved.rglob("*") if path.is_file()} == before
    assert not folder.exists()
    assert capsys.readouterr().err == (
        f"{moved}/mlflow.db cannot be written to, so the pages show a copy of it as it is now; "
        "changes on them are lost at the end\n"
    )


def test_a_copy_without_room_for_it_is_an_error_that_names_both_places(
    tracked_run: Any, send: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked_run.start()
    send()
    file = tracked_run.workspace / "mlflow.db"

    def fails(*given: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr("halo_mlflow.ui.servable.readable", fails)
    with (
        pytest.raises(PathError, match=r"copied to .*halo-ui-.*: database or disk is full"),
        servable(choose_store(None, tracked_run.workspace), tracked_run.workspace),
    ):
        pass
    assert file.is_file()


@pytest.mark.parametrize(
    ("ending", "spoil", "words"),
    [
        (
            "",
            lambda path: path.write_bytes(b"no database " * 500),
            "is not a SQLite database (file",
        ),
        ("-journal", os.mkdir, "mlflow.db-journal: is a folder; expected a file that SQLite made"),
        ("-journal", os.mkfifo, "mlflow.db-journal: is a pipe; expected a file that SQLite made"),
    ],
)
def test_a_spoiled_database_is_named(
    tmp_path: Path, capsys: Captured, ending: str, spoil: Callable[[Path], None], words: str
) -> None:
    (tmp_path / "mlflow.db").touch()
    spoil(tmp_path / f"mlflow.db{ending}")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert call(["ui", "--workspace", str(tmp_path), "--port", str(port)]) == 2
    assert words in capsys.readouterr().err


@pytest.fixture
def served_run(
    tracked_run: Any, send: Callable[..., Any], free_port: int
) -> Iterator[tuple[str, dict[str, str], subprocess.Popen[str]]]:
    """`halo ui` on a whole run: its address, the run's links, and its process."""
    tracked_run.write_whole()
    told = send().describe()
    links = {"run": told["url"], **told["links"]}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "halo_core.cli", "ui", "--json"),
            *("--port", str(free_port), "--workspace", str(tracked_run.workspace)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = ""
    while "Ctrl-C" not in told:
        line = process.stderr.readline()
        assert line, told
        told += line
    base = f"http://127.0.0.1:{free_port}"
    yield (
        base,
        {name: link.replace("http://127.0.0.1:5000", base) for name, link in links.items()},
        process,
    )
    # Not killed, because its server would stay.
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)


@pytest.mark.slow(seconds=10)
def test_ui_serves_until_ctrl_c_and_ends_well(
    served_run: tuple[str, dict[str, str], subprocess.Popen[str]],
) -> None:
    base, _, process = served_run
    with urllib.request.urlopen(f"{base}/health", timeout=60) as answer:
        assert answer.read() == b"OK"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert json.loads(out)["url"] == base
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{base}/health", timeout=60)


@pytest.mark.slow(seconds=10)
@pytest.mark.skipif(not shutil.which(CHROMIUM), reason=f"no {CHROMIUM} on this machine")
def test_the_pages_show_the_run_its_curves_and_its_answers(
    served_run: tuple[str, dict[str, str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    _, links, _ = served_run
    shots = Path(os.environ.get(SHOTS, tmp_path))
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(60_000)

        def show(name: str, *texts: str) -> None:
            page.goto("about:blank")  # Between hash routes, or the page would not change.
            page.goto(links[name])
            for text in texts:
                page.get_by_text(text).first.wait_for()
            page.screenshot(path=shots / f"mlflow-{name}.png")

        show("run", "kto-b0.1-s2", "win rate 0.6 against target", "answer/win rate", "train/loss")
        show("compare", "kto-b0.1-s2", "answer/win rate", "Did they learn?")
        show("answers", "Hello?", "Hi")
        show("verdicts", "Hello?", "verdict", "win")
        browser.close()


@pytest.mark.slow(seconds=10)
@pytest.mark.skipif(not shutil.which(CHROMIUM), reason=f"no {CHROMIUM} on this machine")
def test_the_comparisons_link_opens_the_same_runs_next_to_each_other(
    served_run: tuple[str, dict[str, str], subprocess.Popen[str]], tracked_run: Any, tmp_path: Path
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    base, _, _ = served_run
    other = tracked_run.folder.with_name("toy-ffffff")
    shutil.copytree(tracked_run.folder, other, ignore=shutil.ignore_patterns("mlflow.json"))
    session = MLflowSession(MLflow(), other, tracked_run.workspace)
    session.handle(tracked_run.events)
    session.close()
    found = MLflow().compare_runs([tracked_run.folder, other], tracked_run.workspace)
    link = str(found["url"])
    shots = Path(os.environ.get(SHOTS, tmp_path))
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(60_000)
        page.goto(link.replace("http://127.0.0.1:5000", base))
        page.get_by_text("Comparing 2 Runs from 1 Experiment").first.wait_for()
        page.get_by_text("kto-b0.1-s2").nth(1).wait_for()
        page.screenshot(path=shots / "mlflow-comparison.png")
        browser.close()
