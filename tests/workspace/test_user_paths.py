"""Paths from specs: which are possible, and what is said about the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.errors import PathError
from halo_core.workspace.user_paths import user_path


def test_a_relative_path_is_relative_to_the_folder(tmp_path: Path) -> None:
    assert user_path("a/../b.txt", tmp_path) == tmp_path / "b.txt"
    assert user_path("/b.txt", tmp_path) == Path("/b.txt")
    assert user_path("~", tmp_path) == Path.home()


def test_a_name_like_an_address_is_a_path_where_there_is_such_a_file(tmp_path: Path) -> None:
    (tmp_path / "s3:").mkdir()
    (tmp_path / "s3:" / "rows.jsonl").touch()
    assert user_path("s3:/rows.jsonl", tmp_path) == tmp_path / "s3:" / "rows.jsonl"
    with pytest.raises(PathError, match="is an address"):
        user_path("s3:/rows.jsonl", tmp_path / "s3:")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\0b", "contains the character \\\\0; expected a path"),
        ("~nobody-has-this-name/x", "begins with the name of a user who does not exist"),
        ("x" * 300, "contains a name of 300 bytes; expected at most 255"),
        ("\u4e16" * 100, "contains a name of 300 bytes"),
        ("y/" * 3000, r"is a path of [\d,]+ bytes; expected at most 4095"),
    ],
)
def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PathError, match=message) as caught:
        user_path(text, tmp_path)
    assert len(str(caught.value)) < 500
