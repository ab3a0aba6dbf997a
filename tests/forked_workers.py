"""Runs the tests in forks of the process that collected them: `pytest --forks 3`.

A worker of pytest-xdist is a new process. It imports torch and transformers and collects all tests,
which takes ten seconds of a processor for each worker, and sends five messages per test. A fork has
all of it at once, and sends one message per test.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
import types
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, NoReturn

import pytest
from _pytest._io import TerminalWriter

MOST_TESTS = 20
"""Most tests of a file that a worker takes at one time."""

PATIENCE_S = 20
"""Seconds for which workers may finish their tests after a run was stopped."""

Unit = Sequence[int]
"""Numbers of tests that follow one another, all of one file."""


@dataclass
class Worker:
    """A fork, the parent's end of the pipe to it, and the tests that it has not finished."""

    number: int
    pid: int
    link: Connection
    left: list[int] = field(default_factory=list)
    error: str = ""


def run(session: pytest.Session, count: int) -> None:
    """Runs the collected tests of a session in forks.

    Raises:
        pytest.Session.Failed: When as many tests failed as `--maxfail` allows.
        pytest.Session.Interrupted: When a plugin stops the session.
    """
    # The forks share one folder for temporary files.
    session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    pool = Pool(session, count)
    try:
        pool.run()
    finally:
        pool.close()


class Pool:
    """The parent's side: it deals out the tests, and shows the reports."""

    def __init__(self, session: pytest.Session, count: int) -> None:
        self._session, self._config = session, session.config
        self._shares = shares(units([str(item.path) for item in session.items]), count)
        self._workers: list[Worker] = []
        self._unknown = set(range(len(session.items)))

    def run(self) -> None:
        """Runs all tests, and counts them."""
        for number in range(len(self._shares)):
            self._start(number)
        while self._workers:
            links = {worker.link: worker for worker in self._workers}
            for link in wait(list(links)):
                self._hear(links[link])  # type: ignore[index]
        if self._unknown:
            first = self._session.items[min(self._unknown)].nodeid
            raise self._session.Interrupted(f"{len(self._unknown)} tests were not run, as {first}")

    def _start(self, number: int) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        ours, theirs = Pipe()
        pid = os.fork()
        if pid == 0:
            # A pipe ends when all of its copies are closed.
            for each in (ours, *(worker.link for worker in self._workers)):
                each.close()
            work(self._session, theirs)
        theirs.close()
        self._workers.append(Worker(number, pid, ours))

    def _hear(self, worker: Worker) -> None:
        try:
            message = worker.link.recv()
        except (EOFError, ConnectionError):
            self._ended(worker)
            return
        if message is None:
            unit = self._next(worker.number)
            worker.left += unit
            with contextlib.suppress(ConnectionError):
                worker.link.send(unit)
            return
        if isinstance(message, str):
            worker.error = message
            return
        test, reports, warned = message
        worker.left.remove(test)
        hook = self._config.hook
        for warning in warned:
            hook.pytest_warning_recorded.call_historic(kwargs=warning)
        read = hook.pytest_report_from_serializable
        self._show(test, [read(config=self._config, data=report) for report in reports])

    def _next(self, number: int) -> Unit:
        """Returns the next tests of a worker, or the last ones of the one that has most left."""
        if self._shares[number]:
            return self._shares[number].popleft()
        longest = max(self._shares, key=lambda share: sum(map(len, share)))
        return longest.pop() if longest else ()

    def _show(self, test: int, reports: Sequence[pytest.TestReport]) -> None:
        item, hook = self._session.items[test], self._config.hook
        self._unknown.remove(test)
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in reports:
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if self._session.shouldfail:
            raise self._session.Failed(self._session.shouldfail)
        if self._session.shouldstop:
            raise self._session.Interrupted(self._session.shouldstop)

    def _ended(self, worker: Worker) -> None:
        """Takes a worker out. If it had tests left, the first fails; a new fork runs the others."""
        self._workers.remove(worker)
        worker.link.close()
        code = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        if not worker.left:
            if code:
                raise self._session.Interrupted(f"a worker ended with {code}: {worker.error}")
            return
        crashed, *others = worker.left
        if others:  # An empty group would end the new fork.
            self._shares[worker.number].appendleft(others)
        self._start(worker.number)
        said = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        item = self._session.items[crashed]
        report = pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords={},
            outcome="failed",
            longrepr=f"{item.nodeid}: the worker's process ended with {said} within this test\n"
            f"{worker.error}",
            when="call",
        )
        self._show(crashed, [report])

    def close(self) -> None:
        """Lets workers that are still there finish their test, and kills them if they do not."""
        for worker in self._workers:
            worker.link.close()
        end = time.monotonic() + PATIENCE_S
        for worker in self._workers:
            while os.waitpid(worker.pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > end:
                    os.kill(worker.pid, signal.SIGKILL)
                    os.waitpid(worker.pid, 0)
                    break
                time.sleep(0.05)


def units(files: Sequence[str]) -> list[Unit]:
    """Returns the numbers of tests in groups: each has a part of a file's tests.

    Args:
        files: The file of each test.
    """
    found: list[Unit] = []
    for _, group in groupby(range(len(files)), key=files.__getitem__):
        numbers = list(group)
        found += [numbers[k : k + MOST_TESTS] for k in range(0, len(numbers), MOST_TESTS)]
    return found


def shares(groups: Sequence[Unit], count: int) -> list[deque[Unit]]:
    """Returns each worker's part of the groups, in order, with about as many tests in each."""
    total, before = sum(map(len, groups)), 0
    found: list[deque[Unit]] = [deque() for _ in range(min(count, len(groups)))]
    for group in groups:
        found[before * len(found) // total].append(group)
        before += len(group)
    return found


def work(session: pytest.Session, link: Connection) -> NoReturn:
    """Is a fork: runs the tests that it gets, tells what they gave, and ends."""
    status = 1
    try:
        told = Told(session.config)
        become_worker(session.config, told)
        try:
            for test, following in asked(link):
                then = None if following is None else session.items[following]
                hook = session.config.hook
                hook.pytest_runtest_protocol(item=session.items[test], nextitem=then)
                link.send((test, told.reports, told.warnings))
                told.clear()
        finally:
            session._setupstate.teardown_exact(None)
        status = 0
    except (ConnectionError, EOFError, KeyboardInterrupt):
        pass  # The parent has ended, or ends.
    except BaseException:
        with contextlib.suppress(ConnectionError):
            link.send(traceback.format_exc())
    finally:
        with contextlib.suppress(OSError):
            link.close()
        os._exit(status)


def asked(link: Connection) -> Iterator[tuple[int, int | None]]:
    """Yields the numbers of the tests to run, each with that of the next one."""

    def ask() -> Unit:
        link.send(None)
        unit: Unit = link.recv()
        return unit

    unit = ask()
    while unit:
        # pytest keeps the fixtures of a file if the next test is of the same file.
        following = ask()
        yield from pairwise([*unit, following[0] if following else None])  # type: ignore[misc]
        unit = following


class Told:
    """The reports and warnings of a test, which the parent gets."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._all = bool(config.getoption("durations") or config.getoption("xmlpath"))
        self.reports: list[Any] = []
        self.warnings: list[dict[str, Any]] = []

    def clear(self) -> None:
        """Forgets it."""
        self.reports, self.warnings = [], []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes a report. Nobody sees that a fixture began or ended as it should."""
        if self._all or report.when == "call" or not report.passed:
            hook = self._config.hook
            data = hook.pytest_report_to_serializable(config=self._config, report=report)
            self.reports.append(data)

    def pytest_warning_recorded(
        self,
        warning_message: Any,
        when: str,
        nodeid: str,
        location: tuple[str, int, str] | None,
    ) -> None:
        """Notes a warning as text, because its objects may not fit through a pipe."""
        kind = warning_message.category
        known = kind.__module__ == "builtins"
        text = str(warning_message.message)
        plain = {
            "message": Warning(text) if known else Warning(f"{kind.__qualname__}: {text}"),
            "category": kind if known else Warning,
            "filename": warning_message.filename,
            "lineno": warning_message.lineno,
        }
        message = types.SimpleNamespace(**plain, line=None, source=None)
        said = {"warning_message": message, "when": when, "nodeid": nodeid, "location": location}
        self.warnings.append(said)


def become_worker(config: pytest.Config, told: Told) -> None:
    """Gives a fork a capture of its own, and sends reports to `told` and not to the terminal."""
    plugins = config.pluginmanager
    for name in ("terminalreporter", "terminalprogress"):
        if (found := plugins.get_plugin(name)) is not None:
            plugins.unregister(found)
    # pytest-timeout writes the stacks of a test that takes too long to it.
    writer = types.SimpleNamespace(_tw=TerminalWriter(sys.__stderr__))
    plugins.register(writer, "terminalreporter")
    plugins.register(told)
    told.clear()  # pytest tells a new plugin all earlier warnings
    capture = plugins.get_plugin("capturemanager")
    assert capture is not None
    capture.stop_global_capturing()
    capture.start_global_capturing()
    capture.suspend_global_capture()
