"""Databases of SQLite are checked as they are, without a change of any of their files."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from halo_core.workspace.databases import damage_of, read_only, readable


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A database whose writer was killed in a change, which is in the file in part."""
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    with closing(sqlite3.connect(there / "a.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE t (a)")
        db.execute("PRAGMA cache_size = 1")  # Changed pages go to the file early.
        db.execute("BEGIN")
        db.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 300)
        shutil.copytree(there, here)
    return here / "a.db"


def test_a_change_that_was_not_finished_is_no_damage(killed: Path) -> None:
    before = contents(killed.parent)
    assert set(before) == {"a.db", "a.db-journal"}
    with closing(read_only(killed)) as db, pytest.raises(sqlite3.OperationalError):
        db.execute("SELECT COUNT(*) FROM t")
    assert damage_of(killed) is None
    assert contents(killed.parent) == before


def test_a_change_that_was_not_finished_is_not_read_in_a_folder_that_cannot_be_written_to(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != killed.parent)
    before = contents(killed.parent)
    killed.chmod(0o400)
    with closing(read_only(killed)) as db, pytest.raises(sqlite3.OperationalError):
        db.execute("SELECT COUNT(*) FROM t")
    with readable(killed) as file, closing(sqlite3.connect(file)) as db:
        assert file != killed
        assert db.execute("SELECT COUNT(*) FROM t").fetchone() == (0,)
        db.execute("INSERT INTO t VALUES ('x')")
    assert contents(killed.parent) == before
    assert not file.exists()
