"""`pytest --forks N` runs each test once, and says what pytest alone would say."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]

ONE = """\
import os
import signal
import warnings

import pytest


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    yield tmp_path_factory.mktemp("shared")
    with open("ended.txt", "a") as file:
        print(os.getpid(), file=file)


@pytest.fixture
def broken():
    yield
    raise ValueError("after the test")


@pytest.mark.parametrize("number", range(50))
def test_passes(number, shared):
    assert shared.exists()
    with open("ran.txt", "a") as file:
        print(number, os.getpid(), file=file)


def test_fails():
    print("said before it failed")
    assert 1 == 2


def test_warns():
    warnings.warn("look here", UserWarning)


def test_skips():
    pytest.skip("for a reason")


@pytest.mark.xfail
def test_fails_as_expected():
    assert False


def test_fixture_breaks(broken):
    pass


def test_ends_the_run():
    pytest.exit("it is enough")


def test_dies():
    os.kill(os.getpid(), signal.SIGKILL)


def test_after_the_death():
    pass
"""


@pytest.fixture
def pytest_in_forks(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_one.py").write_text(ONE)
    (tmp_path / "test_two.py").write_text("def test_other_file():\n    pass\n")
    (tmp_path / "pytest.ini").touch()
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    options = ["-p", "conftest", "-p", "no:cacheprovider", "-rs", "--forks", "2"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--basetemp={tmp_path / 'base'}", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_all_ends_of_tests_are_told(
    pytest_in_forks: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    said = pytest_in_forks.stdout
    assert pytest_in_forks.returncode == 1, said + pytest_in_forks.stderr
    summary = "3 failed, 54 passed, 1 skipped, 1 xfailed, 1 warning, 1 error in"
    assert summary in said.splitlines()[-1]
    for text in (
        "said before it failed",
        "assert 1 == 2",
        "UserWarning: look here",
        ": for a reason",
        "ValueError: after the test",
        "test_dies: the worker's process ended with SIGKILL within this test",
        "test_ends_the_run: the worker's process ended with exit code 1 within this test",
        "Exit: it is enough",
    ):
        assert text in said
    lines = [line.split() for line in (tmp_path / "ran.txt").read_text().splitlines()]
    assert sorted(int(number) for number, _ in lines) == list(range(50))
    assert len({pid for _, pid in lines}) == 2
    # Each fork ended what its tests shared, once. A killed one could not.
    ended = (tmp_path / "ended.txt").read_text().split()
    assert len(ended) == len(set(ended)) >= 1
    assert set(ended) <= {pid for _, pid in lines}


@pytest.fixture(scope="module")
def forked_workers() -> ModuleType:
    path = ROOT / "tests" / "forked_workers.py"
    spec = importlib.util.spec_from_file_location("forked_workers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "forked_workers", module)
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_each_test_is_in_one_share_and_each_share_in_order(
    count: int, forked_workers: ModuleType
) -> None:
    files = [*"a" * 3, *"b" * 50, *"c", *"d" * 100, *"e"]
    groups = forked_workers.units(files)
    assert all(len({files[test] for test in group}) == 1 for group in groups)
    assert max(map(len, groups)) == forked_workers.MOST_TESTS
    found = forked_workers.shares(groups, count)
    assert [test for share in found for group in share for test in group] == list(range(155))
    assert len(found) == min(count, len(groups))
    if count <= 3:
        sizes = [sum(map(len, share)) for share in found]
        assert max(sizes) - min(sizes) <= 2 * forked_workers.MOST_TESTS


def test_the_makefile_uses_forks_where_they_are_safe() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"filter Linux,.*--forks", makefile)
