"""A file that is interrupted while it is written is not left in part."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.cli import init
from halo_core.run.write_rows import _none_left
from halo_core.stop_flag import BySignal


def test_rows_that_are_interrupted_leave_no_part(tmp_path: Path) -> None:
    part = tmp_path / "rows.arrow.part"

    def interrupted() -> None:
        with _none_left(part):
            part.write_bytes(b"half")
            raise BySignal

    with pytest.raises(BySignal):
        interrupted()
    assert [*tmp_path.iterdir()] == []


def test_a_first_spec_that_is_interrupted_does_not_keep_the_next_one_from_being_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "spec.yaml"
    opened = Path.open

    class Half:
        def __enter__(self) -> Half:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def write(self, text: str) -> None:
            raise BySignal

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", lambda *given, **more: opened(*given, **more).close() or Half())
        with pytest.raises(BySignal):
            init._write(path, "name: toy\n")
    assert not path.exists()
    init._write(path, "name: toy\n")
    assert path.read_text() == "name: toy\n"
