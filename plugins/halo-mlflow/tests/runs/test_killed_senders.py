"""A run of halo has one MLflow run, at whatever moment the process that sends it is killed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_mlflow.options import MLflow
from halo_mlflow.runs import session as session_module, suite_parent
from halo_mlflow.runs.session import MLflowSession
from halo_mlflow.runs.suite_parent import SuiteParent
from halo_mlflow.store.store import Store


class Killed(BaseException):
    """Stands for SIGKILL: no code of halo catches it."""


class StubServer:
    """A server with its runs, and the calls that it gets from clients, which can be killed.

    Attributes:
        at: The number of the call at which the client is killed; None if it is not.
        done: Whether the server does that call before the client is killed.
        late: The number of the call before which the server does a creation that it had not done.
    """

    def __init__(self, at: int | None = None, *, done: bool = False, late: int | None = None):
        self.at, self.done, self.late = at, done, late
        self.calls: list[str] = []
        self.owed: Callable[[], Any] | None = None
        self.runs: dict[str, Any] = {}
        self.experiments: dict[str, Any] = {}

    @property
    def shown(self) -> list[Any]:
        return [run for run in self.runs.values() if run.info.lifecycle_stage == "active"]

    def take(self, name: str, call: Callable[[], Any]) -> Any:
        if self.late == len(self.calls):
            self.pay()
        self.calls.append(name)
        if self.at != len(self.calls) - 1:
            return call()
        if self.done:
            call()
        elif name.startswith("create_"):
            self.owed = call
        raise Killed

    def pay(self) -> None:
        """Does the creation that a killed client had asked for."""
        owed, self.owed = self.owed, None
        if owed is not None:
            owed()


class StubClient:
    """The calls of MLflow's client that open and end a run. All others have no effect."""

    tracking_uri = "http://stub"

    def __init__(self, server: StubServer) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("on_"):
            return lambda *_, **__: None
        work = getattr(self, f"on_{name}")
        return lambda *given, **more: self._server.take(name, lambda: work(*given, **more))

    def on_search_experiments(self, **_: Any) -> Any:
        return Page(self._server.experiments.values())

    def on_search_logged_models(self, *_: Any) -> Any:
        return Page()

    def on_get_experiment_by_name(self, name: str) -> Any:
        return self._server.experiments.get(name)

    def on_get_experiment(self, _: str) -> Any:
        return SimpleNamespace(tags={})

    def on_create_experiment(self, name: str, **_: Any) -> str:
        known = SimpleNamespace(experiment_id="1", name=name, lifecycle_stage="active", tags={})
        self._server.experiments[name] = known
        return "1"

    def on_create_run(self, experiment: str, tags: Any, start_time: int = 0, **_: Any) -> Any:
        run_id = str(len(self._server.runs))
        info = SimpleNamespace(
            run_id=run_id,
            experiment_id=experiment,
            lifecycle_stage="active",
            status="RUNNING",
            start_time=start_time,
            run_name="toy",
        )
        data = SimpleNamespace(tags=dict(tags), params={}, metrics={})
        self._server.runs[run_id] = SimpleNamespace(info=info, data=data, outputs=None)
        return self._server.runs[run_id]

    def on_get_run(self, run_id: str) -> Any:
        return self._server.runs[run_id]

    def on_delete_run(self, run_id: str) -> None:
        self._server.runs[run_id].info.lifecycle_stage = "deleted"

    def on_search_runs(self, _: Any, filter_: str, *__: Any, **___: Any) -> Any:
        if "attributes.status" in filter_:  # of dead runs, which are not meant here
            return Page()
        tags = re.findall(r"tags\.`([^`]+)` = '([^']*)'", filter_)
        start = re.search(r"start_time = (\d+)", filter_)
        return Page(
            run
            for run in self._server.shown
            if all(run.data.tags.get(key) == value for key, value in tags)
            and (start is None or run.info.start_time == int(start[1]))
        )

    def on_log_batch(self, run_id: str, **items: Any) -> None:
        data = self._server.runs[run_id].data
        data.params.update({item.key: item.value for item in items.get("params", ())})
        data.metrics.update({item.key: item.value for item in items.get("metrics", ())})
        data.tags.update({item.key: item.value for item in items.get("tags", ())})

    def on_set_tag(self, run_id: str, key: str, value: str) -> None:
        self._server.runs[run_id].data.tags[key] = value


class Page(list[Any]):
    token = None


@contextmanager
def connected(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets sessions use a server. Their records are among the moments at which they are killed."""
    with monkeypatch.context() as patch:
        for module in (session_module, suite_parent):
            save = module.save_state
            patch.setattr(module, "connect", lambda *_, **__: StubClient(server))
            patch.setattr(
                module,
                "save_state",
                lambda *given, save=save: server.take("save", lambda: save(*given)),
            )
            patch.setattr(module, "settled_store", lambda *_: Store("http://stub", None))
        patch.setattr(suite_parent, "untested", lambda *_: "a stub")
        patch.setattr("halo_mlflow.runs.writer.untested", lambda *_: "a stub")
        patch.setattr("halo_mlflow.runs.sender.PAUSE_S", 0.0)
        patch.setattr("halo_core.workspace.files.os.fsync", lambda _: None)
        yield


def send(run: Any, ends: bool = True) -> None:
    session = MLflowSession(MLflow(uri="http://stub"), run.folder, run.workspace)
    session.handle(run.events[:1])
    if ends:
        session.handle(run.events[1:])
    session.close()


def tell(run: Any, ends: bool = True) -> None:
    parent = SuiteParent(MLflow(uri="http://stub"), suite_of(run), run.workspace)
    parent.tell("running")
    if ends:
        parent.tell("done")


def suite_of(run: Any) -> Path:
    folder: Path = run.workspace / "suites" / "grid-1a2b3c"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def until_killed(work: Callable[..., None], run: Any) -> None:
    with pytest.raises(Killed):
        work(run)


@pytest.fixture
def short_run(fake_run: Any) -> Any:
    fake_run.start()
    fake_run.end()
    return fake_run


def forget(run: Any) -> None:
    for record in run.workspace.glob("*/*/mlflow.json"):
        record.unlink()


@pytest.mark.parametrize("work", [send, tell])
@pytest.mark.parametrize("done", [False, True])
def test_a_sender_that_is_killed_at_any_call_leaves_one_mlflow_run_to_the_next_one(
    short_run: Any, monkeypatch: pytest.MonkeyPatch, work: Callable[..., None], done: bool
) -> None:
    undisturbed = StubServer()
    with connected(undisturbed, monkeypatch):
        work(short_run)
    assert {"create_experiment", "create_run", "save", "log_batch"} <= {*undisturbed.calls}
    for at in range(len(undisturbed.calls)):
        forget(short_run)
        server = StubServer(at, done=done)
        with connected(server, monkeypatch):
            until_killed(work, short_run)
            server.at = None
            work(short_run)
        assert len(server.runs) == 1, (at, server.calls)


@pytest.mark.parametrize("work", [send, tell])
def test_a_run_that_the_store_makes_after_its_sender_was_killed_is_marked_as_deleted(
    short_run: Any, monkeypatch: pytest.MonkeyPatch, work: Callable[..., None]
) -> None:
    undisturbed = StubServer()
    with connected(undisturbed, monkeypatch):
        work(short_run)
    at = undisturbed.calls.index("create_run")
    late, twins = at, 0
    while True:
        late += 1
        forget(short_run)
        server = StubServer(at, late=late)
        with connected(server, monkeypatch):
            until_killed(work, short_run)
            server.at = None
            work(short_run)
            if server.owed is not None:  # This moment is after the end of the second sender.
                break
            if len(server.shown) > 1:  # It came after the second sender looked for the last time.
                work(short_run)
        (kept,) = server.shown
        assert kept.data.params or work is tell
        twins += len(server.runs) > 1
    assert twins > 3


def test_a_run_with_content_is_no_empty_twin(
    short_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = StubServer()
    with connected(server, monkeypatch):
        send(short_run)
        (first,) = server.shown
        client = StubClient(server)
        client.on_create_run("1", first.data.tags, first.info.start_time)
        other = server.runs["1"]
        other.data.metrics["train/loss"] = 1.0
        forget(short_run)
        state = session_module.RunState(unanswered=1)
        session_module.save_state(short_run.folder / "mlflow.json", "http://stub", state)
        send(short_run)
    assert len(server.shown) == 2


def test_the_run_with_content_is_found_again_and_not_its_empty_twin(
    short_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = StubServer()
    with connected(server, monkeypatch):
        send(short_run)
        (first,) = server.shown
        StubClient(server).on_create_run("1", first.data.tags, first.info.start_time)
        server.runs = dict(reversed(server.runs.items()))
        forget(short_run)
        session = MLflowSession(MLflow(uri="http://stub"), short_run.folder, short_run.workspace)
        session.handle(short_run.events)
    assert session.describe()["run_id"] == first.info.run_id
