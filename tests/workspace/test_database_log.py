"""A log of SQLite that was cut, is damaged or is that of another database has a sign."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from halo_core.cli import call
from halo_core.workspace.database_files import INDEX, LOG, beside
from halo_core.workspace.database_log import log_fault, move_log_aside

ROWS = 40


def killed(folder: Path, *, log: bool = True, page: int = 4096, rows: int = ROWS) -> Path:
    """Makes a database as a killed process leaves it, with all rows in its log if it has one."""
    there = folder / "there"
    there.mkdir(parents=True)
    with closing(sqlite3.connect(there / "a.db", isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size={page}")
        db.execute(f"PRAGMA journal_mode={'WAL' if log else 'DELETE'}")
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("CREATE TABLE t (a)")
        db.executemany("INSERT INTO t VALUES (?)", [("x" * 900,)] * rows)
        shutil.copytree(there, folder, dirs_exist_ok=True)
    shutil.rmtree(there)
    return folder / "a.db"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return killed(tmp_path / "ws")


def cut(file: Path, size: int) -> None:
    log = beside(file, LOG)
    log.write_bytes(log.read_bytes()[:size])


def count(file: Path) -> int:
    with closing(sqlite3.connect(file)) as db:
        return int(db.execute("SELECT COUNT(*) FROM t").fetchone()[0])


def test_the_log_of_a_killed_process_has_no_fault(file: Path) -> None:
    assert log_fault(file) is None
    assert log_fault(file.with_name("missing")) is None
    # A kill can come after the header of a frame.
    beside(file, LOG).open("ab").write(bytes(24))
    assert log_fault(file) is None
    assert count(file) == ROWS
    assert log_fault(file) is None


def test_a_working_process_has_no_fault_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA wal_autocheckpoint=5")  # The log begins again several times.
        db.execute("CREATE TABLE t (a)")
        for _ in range(30):
            db.execute("INSERT INTO t VALUES (?)", ("x" * 3000,))
            assert log_fault(path) is None
    assert log_fault(path) is None


def test_every_cut_that_loses_a_page_has_a_sign(file: Path) -> None:
    whole = beside(file, LOG).read_bytes()
    frames = (len(whole) - 32) // 4120
    for lost in range(1, frames):
        cut(file, len(whole) - lost * 4120)
        assert log_fault(file) == (
            f"was cut: it has {frames - lost} pages, and its index lists {frames}"
        )
    cut(file, 31)
    assert log_fault(file) == "is damaged: it does not begin as a log of SQLite does"
    beside(file, INDEX).unlink()
    cut(file, 0)
    beside(file, LOG).write_bytes(whole[:-100])
    assert log_fault(file) == "was cut: it ends in the middle of a page"


def test_pages_that_are_in_the_database_already_are_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t (a)")
        db.execute("INSERT INTO t VALUES (1)")
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        copy = shutil.copytree(tmp_path, tmp_path / "copy") / "a.db"
    cut(copy, 32 + 4120)
    assert log_fault(copy) is None
    assert count(copy) == 1


def without_log(file: Path, tmp_path: Path) -> str:
    other = killed(tmp_path / "without", log=False)
    shutil.copy(other, file)
    return "is that of another database: a.db is written without a log"


def other_pages(file: Path, tmp_path: Path) -> str:
    shutil.copy(beside(killed(tmp_path / "other", page=1024), LOG), beside(file, LOG))
    return "is that of another database: it has pages of 1024 bytes, and a.db has pages of 4096"


def other_salt(file: Path, tmp_path: Path) -> str:
    shutil.copy(beside(killed(tmp_path / "other"), LOG), beside(file, LOG))
    return "is that of another database: its index is that of a log with another salt"


@pytest.mark.parametrize("spoil", [without_log, other_pages, other_salt])
def test_the_log_of_another_database_has_a_sign_and_verify_names_it(
    file: Path, tmp_path: Path, spoil: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = spoil(file, tmp_path)
    assert (log_fault(file) or "").startswith(words)
    before = {path.name: path.read_bytes() for path in file.parent.iterdir()}
    assert call(["verify", "--all", "--workspace", str(file.parent), "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["damaged"]
    assert found["path"] == f"{file}-wal"
    assert found["what"].startswith(words)
    assert {path.name: path.read_bytes() for path in file.parent.iterdir()} == before


def test_a_log_that_is_set_aside_is_kept_and_the_database_is_shown(tmp_path: Path) -> None:
    file = killed(tmp_path / "ws", log=False)
    other = killed(tmp_path / "other", rows=3)
    for number in (1, 2):
        shutil.copy(beside(other, LOG), beside(file, LOG))
        assert move_log_aside(file) == file.with_name(f"a.db-wal.aside-{number}")
        assert file.with_name(f"a.db-wal.aside-{number}").read_bytes() == (
            beside(other, LOG).read_bytes()
        )
        assert count(file) == ROWS


def test_any_changed_bit_in_the_header_of_a_log_is_damage(file: Path) -> None:
    content = beside(file, LOG).read_bytes()
    for place in range(32):
        changed = bytearray(content)
        changed[place] ^= 1
        beside(file, LOG).write_bytes(changed)
        assert (log_fault(file) or "").startswith("is damaged"), place
