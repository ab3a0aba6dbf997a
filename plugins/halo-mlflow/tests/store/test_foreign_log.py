"""A log of another database next to that of the runs is set aside, and no run is hidden."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from halo_core.errors import DataError
from halo_mlflow.store.foreign_log import settle_log
from halo_mlflow.store.store import Store, settled_store
from halo_mlflow.ui.servable import servable


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database that is written as MLflow does, next to the log of another one."""
    path, other = tmp_path / "ws" / "mlflow.db", tmp_path / "other.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE runs (name)")
        db.execute("INSERT INTO runs VALUES ('mine')")
        db.commit()
    with closing(sqlite3.connect(other, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE runs (name)")
        path.with_name("mlflow.db-wal").write_bytes(Path(f"{other}-wal").read_bytes())
    return path


def runs(file: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(file)) as db:
        return db.execute("SELECT name FROM runs").fetchall()


def test_a_foreign_log_hides_the_runs_until_it_is_set_aside(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = file.with_name("mlflow.db-wal").read_bytes()
    assert settled_store(None, file.parent).database == file
    assert runs(file) == [("mine",)]
    assert file.with_name("mlflow.db-wal.aside-1").read_bytes() == log
    (record,) = caplog.records
    assert record.getMessage() == (
        f"mlflow: {file}-wal is that of another database: mlflow.db is written without a log. "
        "With it, SQLite would not show the runs in mlflow.db. It is kept as "
        "mlflow.db-wal.aside-1 and not used; no run is lost"
    )


def test_the_pages_show_the_runs_beside_a_foreign_log(file: Path) -> None:
    with servable(Store(f"sqlite:///{file}", None, file), file.parent):
        assert runs(file) == [("mine",)]


def test_a_foreign_log_of_a_database_of_others_is_refused_and_stays(file: Path) -> None:
    with pytest.raises(DataError, match=r"shows other runs than those in mlflow\.db") as raised:
        settle_log(file, own=False)
    assert f"mv {file}-wal {file}-wal.aside" in str(raised.value)
    assert file.with_name("mlflow.db-wal").exists()


def test_a_foreign_log_that_cannot_be_moved_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(DataError, match="Move it away: mv "):
        settled_store(None, file.parent)
