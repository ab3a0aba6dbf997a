"""A limit of time counts the work and the sleep of code, and no wait for a processor."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from halo_core.check.rule import Rule, run_rule
from halo_core.testing.processes import patience as module
from halo_core.testing.processes.patience import Patience


@pytest.fixture
def busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with very many programs for each processor. Looks are close together."""
    monkeypatch.setattr(module, "busy", lambda: 100.0)
    monkeypatch.setattr(module, "MOST", 100.0)
    monkeypatch.setattr(module, "LOOK_S", 0.05)


def seconds_until_over(seconds: float, process: int | None = None) -> float:
    begun = time.monotonic()
    patience = Patience(seconds, process)
    while (left := patience.left()) > 0:
        assert time.monotonic() - begun < 10
        time.sleep(left)
    return time.monotonic() - begun


@contextmanager
def child_that(work: str) -> Iterator[int]:
    child = os.fork()
    if not child:
        signal.alarm(10)
        while True:
            time.sleep(10 if work == "sleeps" else 0)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_the_limit_is_as_given_on_a_quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "busy", lambda: 1.0)
    with child_that("works"):
        assert 0.1 <= seconds_until_over(0.1) < 5


@pytest.mark.usefixtures("busy_machine")
def test_code_that_sleeps_gets_no_more_time_on_a_busy_machine() -> None:
    with child_that("sleeps") as child:
        assert 0.1 <= seconds_until_over(0.1) < 5
        assert 0.1 <= seconds_until_over(0.1, child) < 5


@pytest.mark.usefixtures("busy_machine")
def test_code_that_waits_for_a_working_process_gets_more_time_on_a_busy_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "busy", lambda: 5.0)
    with child_that("works"):
        assert seconds_until_over(0.1) >= 0.5


def test_a_wait_for_a_processor_does_not_count_up_to_ten_times_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = time.monotonic()
    monkeypatch.setattr(module, "_work", lambda _: (0.0, time.monotonic() - begun))
    assert seconds_until_over(0.05) >= 0.5


@pytest.mark.usefixtures("busy_machine")
def test_a_rule_that_sleeps_is_ended_on_a_busy_machine_as_on_a_quiet_one() -> None:
    begun = time.monotonic()
    found = run_rule("loss x", Rule("slow", lambda _: time.sleep(9), 0.1), object())
    assert found.state == "fail"
    assert found.reason.startswith("it takes longer than 0.1 s; expected less")
    assert time.monotonic() - begun < 5
