"""The tags of a run for the commit of the current folder."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from halo_mlflow.runs import lifecycle


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asks git each time, which the other tests do once."""
    cached: Any = lifecycle._git
    monkeypatch.setattr(lifecycle, "_git", cached.__wrapped__)


def git(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *author, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.usefixtures("asked")
def test_a_run_has_the_commit_and_whether_files_of_it_were_changed(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert lifecycle.git_tags(tmp_path) == {}
    file = tmp_path / "file"
    file.write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "untracked").touch()
    commit = git(tmp_path, "rev-parse", "HEAD")
    tags = {"mlflow.source.git.commit": commit, "mlflow.source.git.dirty": "false"}
    assert lifecycle.git_tags(tmp_path) == tags
    file.write_text("another")
    assert lifecycle.git_tags(tmp_path) == {**tags, "mlflow.source.git.dirty": "true"}
