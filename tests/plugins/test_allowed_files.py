"""A spec may only name Python files in its folder, or where the caller of halo allows it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.plugins.allowed_files import VARIABLE, allow, allowed_folders

Halo = Callable[..., Any]
CODE = """
from pathlib import Path
from typing import ClassVar

from halo_core.data import DataInfo, DataSource, Loaded
from halo_core.stage import Product, Stage, StageResult

Path({ran!r}).touch()


class Given(Stage):
    produces: ClassVar[Product] = "samples"

    def run(self, context):
        (context.folder / "samples.jsonl").write_text("")
        return StageResult({{"n": 1.0}}, "done")


class Rows(DataSource):
    def inspect(self):
        return DataInfo("binary", (), "1")

    def load(self, split):
        prompt = [{{"role": "user", "content": "hello"}}]
        return Loaded([{{"prompt": prompt, "completion": "hi", "desirable": True}}])
"""
SPEC = """
name: given
seed: 1
model: {{hub: some/model, revision: main}}
stages:
  answers: {{use: "file:{file}:Given"}}
reports: []
"""


@pytest.fixture(autouse=True)
def nothing_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with a Python file that leaves the file `ran` when it is imported."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "given.py").write_text(CODE.format(ran=str(tmp_path / "ran")))
    (tmp_path / "specs").mkdir()
    return folder


def spec(tmp_path: Path, file: object) -> str:
    path = tmp_path / "specs" / "spec.yaml"
    path.write_text(SPEC.format(file=file))
    return str(path)


def refused(tmp_path: Path, done: Any) -> bool:
    """Returns whether a command refused the file and did not run it."""
    folder = tmp_path / "outside"
    return (
        done.code == 2
        and f"the file {folder / 'given.py'} is outside of the spec's folder" in done.err
        and f"--allow-file {folder} or in the variable HALO_FILES" in done.err
        and not (tmp_path / "ran").exists()
    )


@pytest.mark.parametrize("command", ["run", "plan", "validate", "doctor", "data"])
@pytest.mark.parametrize("file", ["../outside/given.py", "{}/outside/given.py"])
def test_a_file_outside_of_the_spec_s_folder_is_refused_before_it_runs(
    halo: Halo, tmp_path: Path, outside: Path, command: str, file: str
) -> None:
    assert refused(tmp_path, halo(command, spec(tmp_path, file.format(tmp_path))))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_to_the_outside_is_refused(
    halo: Halo, tmp_path: Path, outside: Path, kind: str
) -> None:
    if kind == "file":
        (tmp_path / "specs" / "given.py").symlink_to(outside / "given.py")
        file = "./given.py"
    else:
        (tmp_path / "specs" / "inside").symlink_to(outside)
        file = "./inside/given.py"
    assert refused(tmp_path, halo("run", spec(tmp_path, file)))


def test_a_file_in_the_spec_s_folder_or_below_needs_nothing(
    halo: Halo, tmp_path: Path, outside: Path
) -> None:
    (tmp_path / "specs" / "below").mkdir()
    (outside / "given.py").rename(tmp_path / "specs" / "below" / "given.py")
    assert halo("run", spec(tmp_path, "./below/given.py")).code == 0


def test_a_folder_is_allowed_by_option_or_variable(
    halo: Halo, tmp_path: Path, outside: Path
) -> None:
    path = spec(tmp_path, "../outside/given.py")
    assert halo("run", path, "--allow-file", str(outside)).code == 0
    other = {VARIABLE: os.pathsep.join([str(tmp_path / "specs"), str(outside)])}
    assert halo("run", path, env=other).code == 0
    (tmp_path / "ran").unlink(missing_ok=True)
    beside = tmp_path / "out"  # A name that begins alike is another folder.
    beside.mkdir()
    assert refused(tmp_path, halo("validate", path, "--allow-file", str(beside)))


def test_a_file_that_a_suite_sets_is_checked_too(halo: Halo, tmp_path: Path, outside: Path) -> None:
    path = tmp_path / "specs" / "suite.yaml"
    text = SPEC.format(file=outside / "given.py")
    path.write_text(f"{text}matrix:\n  size: {{a: {{seed: 2}}, b: {{seed: 3}}}}\n")
    assert refused(tmp_path, halo("plan", str(path)))
    assert halo("run", str(path), "--allow-file", str(outside)).code == 0


def test_a_judge_s_function_is_checked_too(halo: Halo, tmp_path: Path, outside: Path) -> None:
    pytest.importorskip("halo_judge")
    text = SPEC.format(file="./own.py").replace(
        "reports:",
        f'  win: {{use: judge, judge: {{use: python, function: "file:{outside}/given.py:Rows"}}, '
        "of: answers, against: target}\nreports:",
    )
    (tmp_path / "specs" / "own.py").write_text((outside / "given.py").read_text())
    path = tmp_path / "specs" / "spec.yaml"
    path.write_text(text)
    done = halo("validate", str(path))
    assert done.code == 2
    assert f"win.judge.function: the file {outside / 'given.py'} is outside of" in done.err


def test_a_file_that_is_typed_on_the_command_line_needs_nothing(
    halo: Halo, tmp_path: Path, outside: Path
) -> None:
    done = halo("data", f"file:{outside}/given.py:Rows")
    assert done.code == 0, done.err


def test_a_file_of_set_is_checked_too(halo: Halo, tmp_path: Path, outside: Path) -> None:
    setting = f"stages.answers.use=file:{outside}/given.py:Given"
    assert refused(tmp_path, halo("validate", spec(tmp_path, "./x.py"), "--set", setting))


def test_what_is_no_folder_cannot_be_allowed(halo: Halo, tmp_path: Path, outside: Path) -> None:
    done = halo("plan", spec(tmp_path, "./x.py"), "--allow-file", str(tmp_path / "none"))
    assert done.code == 2
    assert f"--allow-file {tmp_path}/none: no such folder" in done.err
    odd = tmp_path / f"a{os.pathsep}b"
    odd.mkdir()
    done = halo("plan", spec(tmp_path, "./x.py"), "--allow-file", str(odd))
    assert done.code == 2
    assert "rename the folder" in done.err


def test_a_folder_is_listed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, "")
    allow([str(tmp_path), str(tmp_path)])
    assert allowed_folders() == [tmp_path]
