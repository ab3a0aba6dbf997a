"""Segments and stores on disk: reading returns the written values, or nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from halo_core.errors import DiskError
from halo_trainer.batch.packing import Scored
from halo_trainer.reference_store import segment as segments, store as stores
from halo_trainer.reference_store.segment import DamagedError, Logps, Segment, write_segment
from halo_trainer.reference_store.sequence_key import sequence_key
from halo_trainer.reference_store.store import ReferenceStore, segment_paths


def key(number: int) -> bytes:
    ids = np.array([number], dtype=np.int32)
    return sequence_key(Scored(ids, ids))


def logps(number: int) -> Logps:
    """A given number of values, from a generator with that seed."""
    return -np.random.Generator(np.random.PCG64(number)).random(number + 1, dtype=np.float32)


VALUES = {key(number): logps(number) for number in range(4)}


def open_store(folder: Path, warnings: list[str] | None = None, name: str = "k") -> ReferenceStore:
    store = ReferenceStore(folder, pytest.fail if warnings is None else warnings.append)
    store.use_key(name)
    return store


def fill(folder: Path, numbers: range = range(4)) -> None:
    store = open_store(folder)
    for number in numbers:
        store.add(key(number), logps(number))
    store.close()


def found(store: ReferenceStore, number: int) -> Logps | None:
    return store.read(key(number), number + 1)


def test_names_tell_prompt_from_completion_and_ids_from_each_other() -> None:
    def name(*parts: list[int]) -> bytes:
        return sequence_key(Scored(*(np.array(part, dtype=np.int32) for part in parts)))

    names = [name([1], [2, 3]), name([1, 2], [3]), name([1], [2, 4]), name([0, 1], [2, 3])]
    assert len(set(names)) == 4
    wide = Scored(np.array([1], dtype=np.int64), np.array([2, 3], dtype=np.int64))
    assert sequence_key(wide) == names[0]


def test_a_segment_gives_back_the_bits_of_each_sequence(tmp_path: Path) -> None:
    segment = Segment(write_segment(tmp_path, "k", VALUES))
    assert segment.store_key == "k"
    for row, (name, values) in enumerate(VALUES.items()):
        assert segment.keys[row].tobytes() == name
        assert np.array_equal(segment.read(row), values)
        assert segment.read(row).dtype == np.float32


def test_no_changed_byte_of_a_segment_gives_a_wrong_number(tmp_path: Path) -> None:
    path = write_segment(tmp_path, "k", VALUES)
    whole = path.read_bytes()
    noticed = 0
    for place in range(len(whole)):
        for flipped in (1, 128):
            changed = bytearray(whole)
            changed[place] ^= flipped
            path.unlink()
            path.write_bytes(changed)
            try:
                segment = Segment(path)
                assert segment.store_key == "k"
                for row, (name, values) in enumerate(VALUES.items()):
                    assert segment.keys[row].tobytes() == name
                    assert np.array_equal(segment.read(row), values)
            except DamagedError:
                noticed += 1
    # Only blanks between the header and the arrays may change without effect.
    assert noticed > 2 * len(whole) - 20


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:5],
        lambda whole: whole[:-1],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: bytes(len(whole)),
        lambda whole: whole[:-9] + bytes(9),
        lambda whole: whole + b"more",
    ],
    ids=["empty", "begun", "one byte short", "half", "zeros", "zeros at the end", "longer"],
)
def test_a_damaged_segment_is_removed_with_a_warning_and_its_values_are_missing(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    fill(tmp_path, range(2))
    (path,) = segment_paths(tmp_path)
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(damage(whole))
    warnings: list[str] = []
    store = open_store(tmp_path, warnings)
    for number in range(2):
        values = found(store, number)
        assert values is None or np.array_equal(values, logps(number))
    assert found(store, 1) is None
    assert len(warnings) == 1
    assert str(path) in warnings[0]
    assert "is damaged" in warnings[0]
    assert "computed again" in warnings[0]
    assert not path.exists()
    store.add(key(1), logps(1))
    store.close()
    again = open_store(tmp_path)
    assert np.array_equal(found(again, 1), logps(1))


def test_a_segment_that_is_gone_is_only_missing(tmp_path: Path) -> None:
    fill(tmp_path)
    (path,) = segment_paths(tmp_path)
    path.unlink()
    assert found(open_store(tmp_path), 1) is None
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(FileNotFoundError):
        Segment(path)


def test_a_segment_that_may_not_be_read_is_kept_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)

    def forbidden(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(stores, "Segment", forbidden)
    warnings: list[str] = []
    store = open_store(tmp_path, warnings)
    assert found(store, 1) is None
    store._look()
    assert len(warnings) == 1
    assert "cannot be read: Permission denied" in warnings[0]
    assert len(list(segment_paths(tmp_path))) == 1


def test_values_of_another_key_are_not_found(tmp_path: Path) -> None:
    fill(tmp_path)
    assert found(open_store(tmp_path, name="other"), 1) is None
    assert found(open_store(tmp_path), 1) is not None


def test_values_of_another_length_are_not_given(tmp_path: Path) -> None:
    fill(tmp_path)
    assert open_store(tmp_path).read(key(2), 2) is None


def test_values_that_are_not_finite_are_not_kept(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.add(key(1), np.array([0.0, np.nan], dtype=np.float32))
    store.close()
    assert list(segment_paths(tmp_path)) == []


def test_hits_and_misses_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, range(2))
    store = open_store(tmp_path)
    for number in range(4):
        found(store, number)
    assert (store.hits, store.misses) == (2, 2)
    assert store.size >= 3 * 4


def test_a_store_finds_what_another_process_writes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "LOOK_S", 0.0)
    one, other = open_store(tmp_path), open_store(tmp_path)
    one.add(key(1), logps(1))
    assert found(other, 1) is None
    one.flush()
    assert np.array_equal(found(other, 1), logps(1))
    other.add(key(2), logps(2))
    other.flush()
    assert np.array_equal(found(one, 2), logps(2))


def test_two_writers_of_the_same_sequence_do_no_harm(tmp_path: Path) -> None:
    one, other = open_store(tmp_path), open_store(tmp_path)
    for store in (one, other):
        store.add(key(1), logps(1))
        store.close()
    assert len(list(segment_paths(tmp_path))) == 2
    assert np.array_equal(found(open_store(tmp_path), 1), logps(1))


def test_a_second_copy_is_found_if_the_first_is_damaged(tmp_path: Path) -> None:
    for _ in range(2):
        write_segment(tmp_path, "k", VALUES)
    path = next(segment_paths(tmp_path))
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    warnings: list[str] = []
    store = open_store(tmp_path, warnings)
    assert np.array_equal(found(store, 3), logps(3))
    assert len(warnings) == 1


def test_new_values_are_written_when_there_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "BUFFER_BYTES", 20)
    store = open_store(tmp_path)
    counts = []
    for number in range(5):
        store.add(key(number), logps(number))
        counts.append(len(list(segment_paths(tmp_path))))
    assert counts == [0, 0, 1, 1, 2]
    assert np.array_equal(found(store, 0), logps(0))


def test_new_values_are_written_after_some_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "BUFFER_S", -1.0)
    store = open_store(tmp_path)
    store.add(key(1), logps(1))
    assert len(list(segment_paths(tmp_path))) == 1


@pytest.mark.parametrize("place", ["check_room", "save", "put_in_place"])
def test_a_full_disk_ends_the_writing_with_one_warning(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, range(2))

    def full(*_: object) -> None:
        raise DiskError("full") if place == "check_room" else OSError(28, "No space left on device")

    monkeypatch.setattr(segments, place, full)
    warnings: list[str] = []
    store = open_store(tmp_path, warnings)
    for number in (2, 3):
        store.add(key(number), logps(number))
        store.flush()
    assert len(warnings) == 1
    assert "nothing more is written to the reference store" in warnings[0]
    assert np.array_equal(found(store, 1), logps(1))
    assert found(store, 2) is None
    store.close()
    assert len(list(segment_paths(tmp_path))) == 1
    # Nothing incomplete is left.
    assert not list(tmp_path.glob(".*.safetensors.*"))


def test_a_store_that_cannot_be_made_only_warns(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    warnings: list[str] = []
    store = open_store(tmp_path / "file" / "store", warnings)
    store.add(key(1), logps(1))
    assert found(store, 1) is None
    store.close()
    assert len(warnings) == 1


KILLED = """\
import os, pathlib, signal, sys
import numpy as np
from halo_trainer.reference_store import segment
from halo_trainer.reference_store.store import ReferenceStore

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

store = ReferenceStore(pathlib.Path(sys.argv[1]), print)
store.use_key("k")
store.add(bytes(32), np.zeros(3, np.float32))
store.flush()
store.add(bytes([1]) * 32, np.zeros(3, np.float32))
segment.put_in_place = killed
store.flush()
"""


def test_a_writer_that_is_killed_leaves_whole_segments_only(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=120, text=True
    )
    assert done.returncode == -9
    store = open_store(tmp_path)
    assert store.has(bytes(32))
    assert not store.has(bytes([1]) * 32)


def test_a_segment_has_the_permissions_of_a_new_file(tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    path = write_segment(tmp_path / "store", "k", VALUES)
    assert path.stat().st_mode == (tmp_path / "new").stat().st_mode
