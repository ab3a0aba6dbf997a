"""The file of paid replies is checked when it is opened, and a message names the losses."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from halo_core.cli import call
from halo_core.errors import PathError
from halo_judge.judges.endpoint import damaged_replies
from halo_judge.judges.endpoint.replies import ReplyStore, StoredReply, request_key, stored_keys

COUNT = 40
REQUESTS = [{"prompt": f"{number} " * 200} for number in range(COUNT)]


def kept(number: int) -> StoredReply:
    return StoredReply(REQUESTS[number], {"text": f"reply {number}"}, 0.5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of 40 replies of half a dollar each, in a workspace."""
    folder = tmp_path / "cache" / "judge"
    store = ReplyStore(folder, pytest.fail)
    for number, request in enumerate(REQUESTS):
        store.keep(request_key(request), kept(number), "run")
    store.close()
    return folder / "replies.sqlite"


def opened_again(file: Path) -> tuple[dict[int, StoredReply], float, list[str]]:
    """Returns the replies in a file, what they cost, and the warnings when it is opened."""
    warnings: list[str] = []
    store = ReplyStore(file.parent, warnings.append)
    found = {n: store.replies_to(request_key(request)) for n, request in enumerate(REQUESTS)}
    spent = store.spent("run")
    store.close()
    return {n: replies[0] for n, replies in found.items() if replies}, spent, warnings


def verified(file: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    workspace = file.parent.parent.parent
    code = call(["verify", "--all", "--workspace", str(workspace), "--json"])
    found = [item["path"] for item in json.loads(capsys.readouterr().out)["damaged"]]
    assert code == bool(found)
    return found


def test_a_whole_file_is_opened_without_a_word(file, capsys):
    found, spent, warnings = opened_again(file)
    assert (found, spent, warnings) == ({n: kept(n) for n in range(COUNT)}, COUNT / 2, [])
    assert verified(file, capsys) == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def zeros_in_the_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = bytes(4096)
    path.write_bytes(content)


def other_letter(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"reply 7", b"reply 8"))


@pytest.mark.parametrize("damage", [cut, zeros_in_the_middle, other_letter])
def test_readable_replies_of_a_damaged_file_are_kept_and_the_others_are_counted(
    file: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(file)
    damaged = file.read_bytes()
    assert verified(file, capsys) == [str(file)]
    assert file.read_bytes() == damaged
    found, spent, (warning,) = opened_again(file)
    assert 0 < len(found) < COUNT
    assert found == {n: kept(n) for n in found}
    assert spent == len(found) / 2
    assert warning.startswith(f"{file} is damaged (")
    assert f"{len(found)} replies in it could be read and are kept; all others are lost" in warning
    assert "asked and paid for again" in warning
    assert "no longer counts towards max_cost" in warning
    aside = file.with_name("replies.sqlite.damaged-1")
    assert aside.name in warning
    assert aside.read_bytes() == damaged
    assert opened_again(file) == (found, spent, [])
    assert verified(file, capsys) == []


def test_half_a_file_is_set_aside_with_a_warning(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    found, _, (warning,) = opened_again(file)
    assert len(found) < COUNT
    assert f"{len(found)} replies in it could be read" in warning


@pytest.mark.parametrize("content", [b"", bytes(9000), b"no database at all " * 500])
def test_a_file_without_any_reply_is_set_aside_with_a_warning(file, content):
    file.write_bytes(content)
    found, spent, (warning,) = opened_again(file)
    assert (found, spent) == ({}, 0)
    assert ("is empty" if not content else "is damaged (file is not a database)") in warning
    assert file.with_name("replies.sqlite.damaged-1").read_bytes() == content
    file.write_bytes(content)
    assert "replies.sqlite.damaged-2" in opened_again(file)[2][0]


def test_a_missing_file_is_noticed(file, capsys):
    file.unlink()
    assert verified(file, capsys) == [str(file)]
    found, _, (warning,) = opened_again(file)
    assert found == {}
    assert warning.startswith(
        f"{file} is gone, with all paid replies in it (40 when they were last counted)."
    )
    assert opened_again(file) == ({}, 0, [])


@pytest.mark.slow(seconds=6)
def test_no_bit_can_change_without_a_word(file, monkeypatch):
    # 256 ranges of keys split 40 replies as well as 4096 do, which take most of the time.
    monkeypatch.setattr(damaged_replies, "RANGES", 256)
    content = file.read_bytes()
    whole = {n: kept(n) for n in range(COUNT)}
    rng = random.Random(20)
    noticed = 0
    for _ in range(150):
        changed = bytearray(content)
        place = rng.randrange(len(content))
        changed[place] ^= 1 << rng.randrange(8)
        file.write_bytes(changed)
        found, _, warnings = opened_again(file)
        assert found == whole or (warnings and found == {n: whole[n] for n in found}), place
        noticed += bool(warnings)
        for aside in file.parent.glob("*damaged*"):
            aside.unlink()
    assert noticed > 30


def older(file: Path) -> None:
    """Makes the file as an older halo made it: without check values."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        # SQLite cannot drop the column of a view or an index; this table has neither.
        db.execute("ALTER TABLE replies DROP COLUMN crc")


def test_replies_of_an_older_halo_are_read_with_one_note(file):
    older(file)
    found, spent, (warning,) = opened_again(file)
    assert len(found) == COUNT
    assert spent == COUNT / 2
    assert "an older halo wrote 40 replies without check values" in warning
    assert opened_again(file)[2] == []


def test_a_reply_of_an_older_halo_that_is_no_json_is_asked_again_with_a_warning(file):
    older(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("UPDATE replies SET reply = '{' WHERE key = ?", (request_key(REQUESTS[3]),))
    found, _, (warning,) = opened_again(file)
    assert sorted(set(range(COUNT)) - set(found)) == [3]
    assert "1 of them are not JSON" in warning


def test_a_process_that_has_the_file_open_goes_on_with_the_new_one(file):
    first = ReplyStore(file.parent, pytest.fail)
    zeros_in_the_middle(file)
    saved = set(opened_again(file)[0])
    request = {"prompt": "one more"}
    first.keep(request_key(request), StoredReply(request, {"text": "more"}, 0.5), "run")
    first.close()
    assert stored_keys(file.parent, bool) == {
        request_key(request),
        *(request_key(REQUESTS[n]) for n in saved),
    }


def test_replies_are_in_the_file_itself_as_soon_as_they_are_kept(tmp_path):
    store = ReplyStore(tmp_path, pytest.fail)
    for number, request in enumerate(REQUESTS[:3]):
        store.keep(request_key(request), kept(number), "run")
    copy = tmp_path / "copy" / "replies.sqlite"
    copy.parent.mkdir()
    # As after a kill, with SQLite's log lost.
    copy.write_bytes((tmp_path / "replies.sqlite").read_bytes())
    store.close()
    assert len(stored_keys(copy.parent, bool)) == 3


def log_of_another(beside: Path, page: int = 4096) -> None:
    """Makes the log of another database, which a copy of a workspace may bring along."""
    other = beside.with_name("other")
    with closing(sqlite3.connect(other, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size={page}")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t (a)")
        db.executemany("INSERT INTO t VALUES (?)", [("y" * 500,)] * 30)
        log = other.with_name("other-wal").read_bytes()
    other.unlink()
    beside.write_bytes(log)


def log_of_small_pages(beside: Path) -> None:
    log_of_another(beside, page=1024)


def log_of_fewer(beside: Path) -> None:
    """Makes the log of another file of replies, which has fewer of them."""
    store = ReplyStore(beside.parent / "other", pytest.fail)
    store.keep(request_key(REQUESTS[0]), kept(0), "run")
    other = beside.parent / "other" / "replies.sqlite"
    with closing(sqlite3.connect(other, isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("VACUUM")
        beside.write_bytes(other.with_name(beside.name).read_bytes())
    store.close()


def rubbish(beside: Path) -> None:
    beside.write_bytes(random.Random(0).randbytes(32768))


def three_bytes(beside: Path) -> None:
    beside.write_bytes(b"abc")


@pytest.mark.parametrize(
    ("ending", "spoil", "words"),
    [
        ("-wal", rubbish, "log of SQLite does, so replies that were in it alone are lost"),
        ("-wal", three_bytes, "log of SQLite does, so replies that were in it alone are lost"),
        ("-wal", log_of_small_pages, "so replies that were in the log of this file alone are lost"),
        ("-wal", log_of_another, "40 replies in it could be read and are kept"),
        ("-wal", log_of_fewer, "which is that of another file, and 40 without it. 40 replies in"),
        ("-shm", rubbish, None),
        ("-shm", three_bytes, None),
        ("-journal", rubbish, "does not belong to replies.sqlite, which has no journal"),
        ("-journal", log_of_another, "does not belong to replies.sqlite, which has no journal"),
    ],
)
def test_a_spoiled_file_of_sqlite_costs_no_reply(
    file: Path, ending: str, spoil: Callable[[Path], None], words: str | None
) -> None:
    beside = file.with_name(file.name + ending)
    spoil(beside)
    spoiled = beside.read_bytes()
    if spoil not in (log_of_another, log_of_fewer) or ending == "-journal":
        assert len(stored_keys(file.parent, bool)) == COUNT
    found, spent, warnings = opened_again(file)
    assert (found, spent) == ({n: kept(n) for n in range(COUNT)}, COUNT / 2)
    assert len(warnings) == (words is not None)
    if words is not None:
        assert words in warnings[0]
        assert file.with_name(f"replies.sqlite.damaged-1{ending}").read_bytes() == spoiled
    assert opened_again(file) == (found, spent, [])


@pytest.mark.parametrize(("spoil", "ending"), [(log_of_fewer, ""), (log_of_small_pages, "-wal")])
def test_verify_finds_the_log_of_another_file_of_replies(file, spoil, ending, capsys):
    spoil(file.with_name(f"{file.name}-wal"))
    assert verified(file, capsys) == [f"{file}{ending}"]


def test_a_log_that_was_cut_is_named_and_the_rest_of_it_is_used(file, tmp_path, capsys):
    copy = tmp_path / "ws" / "cache" / "judge" / file.name
    copy.parent.mkdir(parents=True)
    store = ReplyStore(file.parent, pytest.fail)
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM replies").fetchone()
        for number in range(3):  # The reader keeps SQLite from moving these to the file.
            store.keep(f"{number}" * 64, kept(number), "other")
        for ending in ("", "-wal", "-shm"):
            copy.with_name(copy.name + ending).write_bytes(
                file.with_name(file.name + ending).read_bytes()
            )
    store.close()
    log = copy.with_name(f"{copy.name}-wal")
    log.write_bytes(log.read_bytes()[: -4120 * 2])
    assert verified(copy, capsys) == [str(log)]
    assert COUNT < len(stored_keys(copy.parent, bool)) < COUNT + 3
    _, _, (warning,) = opened_again(copy)
    assert f"{log} was cut: it has " in warning
    assert "replies that were in the missing part alone are lost" in warning
    assert opened_again(copy)[2] == []


@pytest.mark.parametrize(
    ("ending", "make", "kind"),
    [
        (ending, make, kind)
        for ending in ("", "-wal", "-shm", "-journal")
        for make, kind in (
            (Path.mkdir, "a folder"),
            (lambda path: path.symlink_to("nowhere"), "a link"),
            (os.mkfifo, "a pipe"),
        )
        if (ending, kind) != ("", "a link")  # The file itself may be a link to a file elsewhere.
    ],
)
def test_something_else_in_the_place_of_a_file_is_named(
    tmp_path: Path, ending: str, make: Callable[[Path], None], kind: str
) -> None:
    (tmp_path / "replies.sqlite").touch()
    path = tmp_path / f"replies.sqlite{ending}"
    path.unlink(missing_ok=True)
    make(path)
    for act in (lambda: ReplyStore(tmp_path, pytest.fail), lambda: stored_keys(tmp_path, bool)):
        with pytest.raises(PathError, match=rf"is {kind}; expected a file that SQLite") as raised:
            act()
        assert raised.value.location == str(path)


def test_fewer_replies_than_were_counted_are_noticed(file):
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("DELETE FROM replies WHERE key = ?", (request_key(REQUESTS[3]),))
    _, _, (warning,) = opened_again(file)
    assert warning.startswith(f"{file} holds 39 replies, but 40 when they were last counted.")
    assert "put it back" in warning
    assert opened_again(file)[2] == []


def test_a_plan_names_a_damaged_file_and_its_mend(file):
    file.write_bytes(bytes(9000))
    with pytest.raises(
        PathError, match=r"is damaged \(file is not a database\), so nothing more is asked"
    ):
        stored_keys(file.parent, bool)


def test_replies_in_a_folder_that_cannot_be_written_to_are_counted(file, monkeypatch):
    files = sorted(file.parent.iterdir())
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert len(stored_keys(file.parent, bool)) == COUNT
    # SQLite would have made a log and its index, or failed where it may not.
    assert sorted(file.parent.iterdir()) == files
