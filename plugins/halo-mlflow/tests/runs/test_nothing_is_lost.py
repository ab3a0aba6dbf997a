"""Every point arrives in the end, and the state that MLflow shows is that of the run."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from halo_core.errors import HaloError
from halo_core.tracker import StartOver
from halo_mlflow.options import MLflow
from halo_mlflow.runs import lost_record, sender
from halo_mlflow.runs.lifecycle import mark_dead_runs
from halo_mlflow.runs.sender import DOUBTS
from halo_mlflow.runs.session import MLflowSession
from halo_mlflow.store.state import STATE_FILE

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Send = Callable[..., MLflowSession]


def only_run(client: MlflowClient) -> Run:
    experiments = [e.experiment_id for e in client.search_experiments()]
    (run,) = client.search_runs(experiments)
    return run


def steps(client: MlflowClient, key: str = "train/loss") -> list[int]:
    return [point.step for point in client.get_metric_history(only_run(client).info.run_id, key)]


def refuse(monkeypatch: pytest.MonkeyPatch, times: int, code: int) -> None:
    """Lets MLflow answer each batch with metrics with an error, a number of times."""

    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    log_batch, left = MlflowClient.log_batch, iter(range(times))

    def refusing(self: Any, run_id: str, **items: Any) -> None:
        if items.get("metrics") and next(left, None) is not None:
            raise MlflowException("database is in trouble", error_code=code)
        log_batch(self, run_id, **items)

    monkeypatch.setattr(MlflowClient, "log_batch", refusing)


def test_points_that_a_database_in_trouble_answers_with_400_are_not_left_out(
    tracked_run: Any, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import BAD_REQUEST

    tracked_run.start()
    tracked_run.train("kto", range(1, 9))
    session = MLflowSession(MLflow(), tracked_run.folder, tracked_run.workspace)
    refuse(monkeypatch, 4, BAD_REQUEST)  # The batch, its half, its quarter, and one point.
    with pytest.raises(HaloError, match="in trouble"):
        session.handle(tracked_run.events)
    session.handle(tracked_run.events)
    assert steps(client) == list(range(1, 9))


def test_a_point_that_is_refused_for_good_is_left_out_and_counted_on_the_run(
    tracked_run: Any, client: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    from mlflow.exceptions import BAD_REQUEST

    tracked_run.start()
    tracked_run.train("kto", range(1, 2))
    tracked_run.end()
    session = MLflowSession(MLflow(), tracked_run.folder, tracked_run.workspace)
    refuse(monkeypatch, DOUBTS, BAD_REQUEST)
    for _ in range(DOUBTS - 1):
        with pytest.raises(HaloError):
            session.handle(tracked_run.events)
    session.handle(tracked_run.events)
    assert "train/loss is left out" in caplog.text
    assert only_run(client).data.tags["halo.incomplete"].startswith("MLflow did not take 1 of")


def test_an_invalid_point_is_left_out_at_once(
    tracked_run: Any, client: MlflowClient, monkeypatch: pytest.MonkeyPatch, send: Send
) -> None:
    from mlflow.exceptions import INVALID_PARAMETER_VALUE

    tracked_run.start()
    tracked_run.train("kto", range(1, 3))
    refuse(monkeypatch, 2, INVALID_PARAMETER_VALUE)
    send()
    assert steps(client) == [2]


def test_points_that_a_server_confirmed_and_lost_are_sent_again(
    tracked_run: Any, client: MlflowClient, send: Send
) -> None:
    tracked_run.start()
    tracked_run.train("kto", range(1, 6))
    send()
    database = tracked_run.workspace / "mlflow.db"
    shutil.copy(database, database.with_name("backup"))
    tracked_run.train("kto", range(6, 11))
    tracked_run.end()
    send(start=6)
    shutil.copy(database.with_name("backup"), database)
    assert steps(client) == [1, 2, 3, 4, 5]
    send()  # As halo sync does: from the first event on.
    assert steps(client) == list(range(1, 11))
    assert only_run(client).info.status == "FINISHED"


def test_sending_again_asks_the_store_and_sends_no_point_twice(
    tracked_run: Any, client: MlflowClient, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    tracked_run.start()
    tracked_run.train("kto", range(1, 6))
    send()
    log_batch, sent = MlflowClient.log_batch, []

    def counting(self: Any, run_id: str, **items: Any) -> None:
        sent.extend(items.get("metrics", ()))
        log_batch(self, run_id, **items)

    monkeypatch.setattr(MlflowClient, "log_batch", counting)
    send()
    assert sent == []
    assert steps(client) == [1, 2, 3, 4, 5]


def test_a_run_whose_record_was_lost_is_found_by_its_tags(
    tracked_run: Any, client: MlflowClient, send: Send
) -> None:
    tracked_run.write_whole()
    first = send().describe()["run_id"]
    (tracked_run.folder / STATE_FILE).unlink()
    assert send().describe()["run_id"] == first
    assert steps(client) == [1, 2, 3, 4, 5]
    models = client.search_logged_models([only_run(client).info.experiment_id])
    assert len(models) == 2


def test_a_run_whose_record_was_lost_is_found_in_an_experiment_that_was_renamed(
    tracked_run: Any, client: MlflowClient, send: Send
) -> None:
    tracked_run.write_whole()
    first = send().describe()
    (tracked_run.folder / STATE_FILE).unlink()
    client.rename_experiment(str(first["experiment_id"]), "mine")
    again = send().describe()
    assert (again["run_id"], again["experiment_id"]) == (first["run_id"], first["experiment_id"])
    assert {one.name for one in client.search_experiments()} == {"Default", "mine"}
    assert steps(client) == [1, 2, 3, 4, 5]
    client.delete_run(str(first["run_id"]))  # A deleted run is not restored.
    (tracked_run.folder / STATE_FILE).unlink()
    assert send().describe()["run_id"] != first["run_id"]


@pytest.mark.parametrize(
    ("error_code", "message"),
    [
        ("PERMISSION_DENIED", "not yours"),
        ("ENDPOINT_NOT_FOUND", "failed with error code 404 != 200"),
        ("INTERNAL_ERROR", "failed with error code 405 != 200"),
    ],
)
@pytest.mark.parametrize("refused", ["experiments", "everything"])
def test_a_server_that_refuses_a_search_gets_the_run(
    tracked_run: Any,
    client: MlflowClient,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error_code: str,
    message: str,
    refused: str,
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    def refuses(*given: object, **more: object) -> None:
        raise MlflowException(message, error_code=ErrorCode.Value(error_code))

    search = MlflowClient.search_experiments
    lost_record._warn_once.cache_clear()
    tracked_run.start()
    with monkeypatch.context() as patched:
        patched.setattr(
            MlflowClient,
            "search_experiments",
            # The first search is of halo's own database.
            lambda *given, **more: (
                search(*given, **more) if more["max_results"] == 1 else refuses()
            ),
        )
        if refused == "everything":
            patched.setattr(MlflowClient, "search_runs", refuses)
        first = send().describe()["run_id"]
        (tracked_run.folder / STATE_FILE).unlink()
        again = send().describe()["run_id"]
    assert (again == first) == (refused == "experiments")
    told = [r.message for r in caplog.records if "refuses a search" in r.message]
    where = "in the experiment 'halo/toy' only" if refused == "experiments" else "nowhere"
    assert [where in line for line in told].count(True) == 1


def test_a_run_that_is_over_but_late_is_incomplete_and_not_failed(
    tracked_run: Any, client: MlflowClient, send: Send
) -> None:
    tracked_run.start()
    tracked_run.train("kto", range(1, 3))
    session = send()
    experiment = str(session.describe()["experiment_id"])
    tracked_run.end()
    assert mark_dead_runs(client, experiment, "another") == [only_run(client).info.run_id]
    run = only_run(client)
    assert run.info.status == "FINISHED"
    assert run.data.tags["halo.incomplete"] == (
        f"its last events did not arrive; halo sync {tracked_run.name} sends them"
    )
    send()
    assert "halo.incomplete" not in only_run(client).data.tags


def test_a_run_whose_process_is_gone_without_an_end_is_failed(
    tracked_run: Any, client: MlflowClient, send: Send
) -> None:
    tracked_run.start()
    experiment = str(send().describe()["experiment_id"])
    mark_dead_runs(client, experiment, "another")
    run = only_run(client)
    assert run.info.status == "FAILED"
    assert run.data.tags["halo.host"] == socket.gethostname()
    assert "without reporting" in run.data.tags["halo.error"]


@pytest.mark.parametrize(
    ("status", "shown"), [("done", "FINISHED"), ("interrupted", "KILLED"), ("failed", "FAILED")]
)
def test_a_run_that_is_left_early_has_its_status_and_the_reason(
    tracked_run: Any, client: MlflowClient, send: Send, status: str, shown: str
) -> None:
    tracked_run.start()
    session = send()
    session.leave(status, "no answer; halo sync toy sends the rest")
    run = only_run(client)
    assert run.info.status == shown
    assert run.data.tags["halo.incomplete"] == "no answer; halo sync toy sends the rest"
    tracked_run.end(status)
    send()
    assert only_run(client).info.status == shown
    assert "halo.incomplete" not in only_run(client).data.tags


def test_a_deleted_experiment_is_restored_with_its_run(
    tracked_run: Any, client: MlflowClient, send: Send, caplog: Any
) -> None:
    tracked_run.write_whole()
    told = send().describe()
    client.delete_experiment(str(told["experiment_id"]))
    with pytest.raises(StartOver):  # The record is of a run that the store no longer shows.
        send(start=1)
    assert send().describe()["run_id"] == told["run_id"]
    assert "'halo/toy' was deleted; it is restored" in caplog.text


def test_a_run_that_is_deleted_while_it_is_sent_is_sent_as_a_new_one(
    tracked_run: Any, client: MlflowClient
) -> None:
    tracked_run.start()
    session = MLflowSession(MLflow(), tracked_run.folder, tracked_run.workspace)
    session.handle(tracked_run.events)
    client.delete_run(str(session.describe()["run_id"]))
    tracked_run.train("kto", range(1, 4))
    with pytest.raises(StartOver):
        session.handle(tracked_run.events[1:])
    session.handle(tracked_run.events)
    assert steps(client) == [1, 2, 3]


def test_a_store_that_is_empty_after_a_restart_gets_the_whole_run_by_itself(
    tracked_run: Any, client: MlflowClient, migrated: Path
) -> None:
    tracked_run.start()
    tracked_run.train("kto", range(1, 4))
    session = MLflowSession(MLflow(), tracked_run.folder, tracked_run.workspace)
    session.handle(tracked_run.events)
    first = session.describe()["run_id"]
    shutil.copy(migrated, tracked_run.workspace / "mlflow.db")
    tracked_run.train("kto", range(4, 7))
    with pytest.raises(StartOver):
        session.handle(tracked_run.events[4:])
    session.handle(tracked_run.events)
    assert session.describe()["run_id"] != first
    assert steps(client) == [1, 2, 3, 4, 5, 6]


def test_a_404_of_something_before_mlflow_does_not_count_as_a_lost_run(
    tracked_run: Any, client: MlflowClient, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import ENDPOINT_NOT_FOUND, MlflowException

    tracked_run.start()
    first = send().describe()["run_id"]

    def answers_404(*_: Any, **__: Any) -> None:
        raise MlflowException("<html>no such page</html>", error_code=ENDPOINT_NOT_FOUND)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "get_run", answers_404)
        with pytest.raises(HaloError, match="no such page"):
            send()
    assert send().describe()["run_id"] == first


def lose_answers(monkeypatch: pytest.MonkeyPatch, *methods: str) -> None:
    """Lets the first call of methods of MLflow's client do its work, and its answer be lost."""

    from mlflow import MlflowClient

    for name in methods:
        original, lost = getattr(MlflowClient, name), iter([True])

        def losing(*given: Any, _original: Any = original, _lost: Any = lost, **more: Any) -> Any:
            answer = _original(*given, **more)
            if next(_lost, False):
                raise ConnectionError("connection closed without an answer")
            return answer

        monkeypatch.setattr(MlflowClient, name, losing)
    monkeypatch.setattr(sender, "PAUSE_S", 0.0)


def test_files_and_models_whose_answers_were_lost_arrive_once_and_by_themselves(
    tracked_run: Any, client: MlflowClient, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answers(monkeypatch, "create_logged_model", "log_outputs", "log_artifact", "log_inputs")
    tracked_run.write_whole()
    send()
    run = only_run(client)
    assert "halo.incomplete" not in run.data.tags
    models = client.search_logged_models([run.info.experiment_id])
    assert sorted(model.tags["halo.stage"] for model in models) == ["kto", "sft"]
    assert {output.model_id for output in run.outputs.model_outputs} == {
        model.model_id for model in models
    }
    assert {"report.html", "samples.jsonl"} <= {
        f.path for f in client.list_artifacts(run.info.run_id)
    }


def test_what_could_not_be_sent_stays_told_after_a_resume_and_goes_with_the_next_sync(
    tracked_run: Any, client: MlflowClient, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    def refuse(*_: object) -> None:
        raise PermissionError("the bucket is closed")

    monkeypatch.setattr(sender, "PAUSE_S", 0.0)
    tracked_run.start()
    tracked_run.end_stage("answers", len=7.0)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", refuse)
        send()
    tracked_run.end()
    send(start=2)  # As another process that continues after the first one.
    assert "(samples of answers, the spec)" in only_run(client).data.tags["halo.incomplete"]
    send()
    assert "halo.incomplete" not in only_run(client).data.tags
