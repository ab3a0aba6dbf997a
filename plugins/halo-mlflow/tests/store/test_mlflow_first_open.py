from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from halo_core.errors import DataError
from halo_mlflow.store import first_open
from halo_mlflow.store.first_open import holds_rows, make_database
from halo_mlflow.store.store import choose_store, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEPT = 12
"""Number of migrations between two incomplete databases that are kept for repair."""

SEEDED_MOMENTS_S = [random.Random(seed).uniform(0, 2.0) for seed in range(4)]


class KilledError(BaseException):
    """Simulates a kill: nothing catches it."""


@pytest.fixture(scope="module")
def half_made(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, bool]]:
    """Databases after each migration, and whether one of them was given content."""

    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    folder = tmp_path_factory.mktemp("half")
    database, seen = folder / "mlflow.db", []

    def before(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "alembic_version" in statement and not statement.lstrip().startswith("SELECT"):
            copy = folder / f"{len(seen)}.db"
            shutil.copy(database, copy)
            seen.append((copy, holds_rows(copy)))
            if len(seen) % KEPT != 1:
                copy.unlink()

    event.listen(Engine, "before_cursor_execute", before)
    try:
        with first_open._without_waiting(database):
            SqlAlchemyStore(f"sqlite:///{database}", "artifacts").engine.dispose()
    finally:
        event.remove(Engine, "before_cursor_execute", before)
    return seen


def test_a_database_holds_nothing_at_any_of_its_migrations(
    half_made: list[tuple[Path, bool]],
) -> None:
    assert len(half_made) > 60
    assert [path.name for path, holds in half_made if holds] == []


@pytest.mark.slow(seconds=3)
def test_a_half_made_database_is_made_anew(
    half_made: list[tuple[Path, bool]], tmp_path: Path
) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    kept = [path for path, _ in half_made if path.exists()]
    assert len(kept) > 4
    for path in kept[1::2]:
        workspace = tmp_path / path.stem
        workspace.mkdir()
        shutil.copy(path, workspace / "mlflow.db")
        # MLflow's own error about it.
        with pytest.raises(Exception, match=r"already exists|out-of-date|duplicate|no such"):
            SqlAlchemyStore(f"sqlite:///{workspace / 'mlflow.db'}", "artifacts")
        SqlAlchemyStore._engine_map.pop(f"sqlite:///{workspace / 'mlflow.db'}").dispose()
        _works(connect(choose_store(None, workspace), timeout_s=5))


def _works(client: MlflowClient) -> None:
    experiment = client.create_experiment("tried")
    run = client.create_run(experiment)
    assert [found.info.run_id for found in client.search_runs([experiment])] == [run.info.run_id]


def test_an_empty_file_is_made_a_database(tmp_path: Path, migrated: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    assert not holds_rows(tmp_path / "mlflow.db")
    assert holds_rows(migrated)


@pytest.mark.slow(seconds=3)
def test_the_place_is_empty_until_the_database_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "mlflow.db"

    def killed(path: Path, _: Path) -> None:
        assert path == tmp_path / "mlflow.db.making"
        assert not database.exists()
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(first_open, "put_in_place", killed)
        with pytest.raises(KilledError):
            make_database(database, "artifacts")
    assert not database.exists()
    _works(connect(choose_store(None, tmp_path), timeout_s=5))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock"]


def test_what_was_tracked_is_never_made_anew(tmp_path: Path, migrated: Path) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copy(migrated, database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'of-another-mlflow'")
    before = database.read_bytes()
    make_database(database, "artifacts")
    assert database.read_bytes() == before


@pytest.mark.slow(seconds=3)
def test_a_locked_database_is_left_alone(tmp_path: Path, migrated: Path) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copy(migrated, database)
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert holds_rows(database)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to be looked at " * 9)
    with pytest.raises(DataError) as raised:
        connect(choose_store(None, tmp_path), timeout_s=5)
    assert str(raised.value) == (
        f"{tmp_path}/mlflow.db: is not a SQLite database (file is not a database); expected one "
        "that MLflow created. Restore it, or move it away and send the runs again: halo sync RUN"
    )


OPENS = """\
import sys
from pathlib import Path
import mlflow.store.tracking.sqlalchemy_store
from halo_mlflow.store.store import choose_store, connect
print("ready", flush=True)
connect(choose_store(None, Path(sys.argv[1])), timeout_s=5)
"""
OPENED_BY_MLFLOW = """\
import sys
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
print("ready", flush=True)
SqlAlchemyStore(f"sqlite:///{sys.argv[1]}/mlflow.db", "artifacts")
"""


@pytest.mark.slow(seconds=3)
@pytest.mark.parametrize("script", [OPENS, OPENED_BY_MLFLOW])
@pytest.mark.parametrize("moment_s", SEEDED_MOMENTS_S)
def test_a_database_can_be_used_after_a_kill(
    warm: Any, tmp_path: Path, script: str, moment_s: float
) -> None:
    child = warm.start(
        [sys.executable, "-c", script, str(tmp_path)],
        imports=warm.MLFLOW,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    with child, child.stdout:
        assert child.stdout.readline() == "ready\n"
        time.sleep(moment_s)
        os.kill(child.pid, signal.SIGKILL)
    _works(connect(choose_store(None, tmp_path), timeout_s=5))


SENDS = """\
import sys
from pathlib import Path
from halo_core.tracking.carrier import Tracking
from halo_mlflow.options import MLflow
uri, run, workspace = sys.argv[1:]
print("ready", flush=True)
input()
with Tracking({"mlflow": MLflow(uri=uri)}, Path(run), Path(workspace), print) as tracking:
    tracking.close(120.0)
print(tracking.describe()["mlflow"].get("run_id"))
"""


@pytest.mark.slow(seconds=3)
def test_four_runs_that_start_on_a_fresh_store_at_once_all_arrive(
    warm: Any, tmp_path: Path, new_run: Callable[[Path], Any]
) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'shared' / 'runs.db'}"
    runs = [new_run(tmp_path / f"ws{number}") for number in range(4)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = []
    for run in runs:
        run.write_whole()
        command = [sys.executable, "-c", SENDS, uri, str(run.folder), str(run.workspace)]
        started.append(warm.start(command, ready=(1,), imports=warm.MLFLOW, **pipes))
    assert [process.stdout.readline() for process in started] == ["ready\n"] * 4
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    ids = [process.communicate()[0].splitlines()[-1] for process in started]
    client = MlflowClient(uri)
    assert len(set(ids)) == 4
    assert {client.get_run(id_).info.status for id_ in ids} == {"FINISHED"}
    assert {client.get_run(id_).data.metrics["answer/win rate"] for id_ in ids} == {0.6}
