"""Effects of calls on all other code, and the settings of libraries that a call imports."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch

from halo_core.testing.processes.effects import effects
from halo_core.testing.processes.global_settings import settings_now

LIBRARY = """
import os, warnings
os.environ["LIBRARY_THREADS"] = "1"
warnings.simplefilter("ignore")
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_library_with_settings.py").write_text(LIBRARY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "a_library_with_settings", raising=False)


@pytest.mark.usefixtures("library")
def test_settings_of_an_imported_library_are_no_effects_where_imports_are_allowed(
    tmp_path: Path,
) -> None:
    with effects([tmp_path], imports=True) as found:
        import a_library_with_settings  # noqa: F401

    assert not found.done
    assert "LIBRARY_THREADS" not in os.environ


@pytest.mark.usefixtures("library")
def test_settings_of_an_imported_library_are_effects_elsewhere(tmp_path: Path) -> None:
    with effects([tmp_path]) as found:
        import a_library_with_settings  # noqa: F401

    said = ["sets the environment variable LIBRARY_THREADS", "changes the filters of warnings"]
    assert list(found.done) == said


def test_settings_outside_of_imports_are_effects_where_imports_are_allowed() -> None:
    with effects(imports=True) as found:
        os.environ["A_CALL"] = "1"
        warnings.simplefilter("ignore")

    assert list(found.done) == [
        "sets the environment variable A_CALL",
        "changes the filters of warnings",
    ]


CHANGES: dict[str, tuple[Callable[[], object], str]] = {
    "gc": (gc.disable, "changes gc.isenabled() from True to False"),
    "thresholds": (lambda: gc.set_threshold(9, 9, 9), "changes gc.get_threshold() from"),
    "recursion": (lambda: sys.setrecursionlimit(50_000), "changes the limit of recursion from"),
    "signal": (
        lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        "changes the handler of SIGINT",
    ),
    "mask": (lambda: os.umask(0o077), "changes the mask of new files from"),
    "timeout": (lambda: socket.setdefaulttimeout(3.5), "changes socket.getdefaulttimeout() from"),
    "threads": (lambda: torch.set_num_threads(4), "changes torch's number of threads from"),
    "printing of torch": (
        lambda: torch.set_printoptions(precision=2),
        "changes torch's options for printing",
    ),
    "printing of numpy": (
        lambda: numpy.set_printoptions(precision=2),
        "changes numpy's options for printing",
    ),
    "dtype": (lambda: torch.set_default_dtype(torch.float64), "changes torch's default dtype from"),
    "gradients": (lambda: torch.set_grad_enabled(False), "changes torch's gradient mode from"),
}


NOT_AGAIN = ("mask", "timeout", "dtype", "gradients")
"""Settings that keep their values while a call is watched, because its results depend on them."""


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_setting_is_seen_and_set_back(name: str) -> None:
    change, said = CHANGES[name]
    now = settings_now(computes=True)
    with effects() as found:
        change()
    assert [each[: len(said)] for each in found.done] == [said]
    assert settings_now(computes=True) == now


@pytest.mark.parametrize("name", [name for name in CHANGES if name not in NOT_AGAIN])
def test_a_setting_that_an_earlier_call_has_changed_is_seen(name: str) -> None:
    change, said = CHANGES[name]
    with effects():
        change()
        with effects() as found:
            change()
    assert [each[: len(said)] for each in found.done] == [said]


def test_a_stage_may_choose_its_number_of_threads() -> None:
    with effects(starts=True) as found:
        torch.set_num_threads(torch.get_num_threads())
    assert not found.done


def test_signals_reach_their_handlers_while_a_call_is_watched() -> None:
    got: list[int] = []
    usual = signal.signal(signal.SIGINT, lambda number, _: got.append(number))
    try:
        with effects() as found:
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert (got, list(found.done)) == ([signal.SIGINT], [])
