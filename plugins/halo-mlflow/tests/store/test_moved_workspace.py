"""A workspace that was moved or copied, folders with odd names, and tables of another MLflow."""

from __future__ import annotations

import json
import logging
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from halo_core.cli import call
from halo_core.errors import DataError, PathError
from halo_core.workspace.records import RUN
from halo_mlflow.options import MLflow
from halo_mlflow.runs.session import MLflowSession
from halo_mlflow.store.moved import follow_move
from halo_mlflow.store.schema import is_current
from halo_mlflow.store.store import Store, connect, settled_store

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from mlflow import MlflowClient


def send(run: Any) -> MLflowSession:
    # MLflow remembers the folder of each run. A new process would not.
    import mlflow.tracking._tracking_service.utils

    mlflow.tracking._tracking_service.utils._artifact_repos_cache.clear()
    session = MLflowSession(MLflow(), run.folder, run.workspace)
    session.handle(run.events)
    session.close()
    return session


def places(workspace: Path) -> str:
    """Returns everything in the database of a workspace, as text."""
    with closing(sqlite3.connect(workspace / "mlflow.db")) as connection:
        return "\n".join(connection.iterdump())


@pytest.fixture
def run(
    new_run: Callable[..., Any], tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A whole run in a workspace whose database was made there."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = new_run(tmp_path / "old" / "ws")
    copy_tables(migrated, run.workspace)
    run.write_whole()
    told = send(run).describe()
    record = json.loads((run.folder / "run.json").read_text())
    RUN.write(run.folder, {**record, "trackers": {"mlflow": dict(told)}})
    return run


def copy_tables(tables: Path, workspace: Path) -> None:
    """Puts an empty database into a workspace, as if MLflow had made it there."""
    shutil.copy(tables, workspace / "mlflow.db")
    with closing(sqlite3.connect(workspace / "mlflow.db")) as connection, connection:
        location = f"{workspace.as_uri()}/mlartifacts/0"
        connection.execute("UPDATE experiments SET artifact_location = ?", (location,))


def spec_of(client: MlflowClient, run_id: str, folder: Path) -> str:
    folder.mkdir()
    return Path(client.download_artifacts(run_id, "spec.yaml", str(folder))).read_text()


def test_a_moved_workspace_goes_on_with_the_same_run_and_opens_its_files(
    run: Any, tmp_path: Path, caplog: Any
) -> None:
    from mlflow import MlflowClient

    before = MLflowSession(MLflow(), run.folder, run.workspace).describe()
    new = tmp_path / "new place"
    shutil.move(run.workspace, new)
    run.workspace = new
    after = send(run).describe()
    assert after["run_id"] == before["run_id"]
    assert "this workspace was at" in caplog.text
    assert str(tmp_path / "old") not in places(new)
    client = MlflowClient(f"sqlite:///{new / 'mlflow.db'}")
    assert "***" in spec_of(client, str(after["run_id"]), tmp_path / "got")
    assert len(client.search_runs([str(after["experiment_id"])])) == 1
    record = json.loads((run.folder / "run.json").read_text())["trackers"]["mlflow"]
    assert record["store"] == f"sqlite:///{new}/mlflow.db"
    assert str(tmp_path / "old") not in json.dumps(record)
    (kept,) = new.glob("mlflow.db.of-*")
    with closing(sqlite3.connect(kept)) as connection:
        assert str(tmp_path / "old") in "\n".join(connection.iterdump())
    caplog.clear()
    send(run)
    assert caplog.text == ""


def test_a_workspace_that_has_two_paths_is_told_in_one_sentence_at_each_change(
    run: Any, tmp_path: Path, caplog: Any
) -> None:
    # Two mounts of which each machine sees one look like a folder that moves to and fro.
    inside, outside = tmp_path / "inside", run.workspace
    told = []
    for old, new in ((outside, inside), (inside, outside), (outside, inside)):
        shutil.move(old, new)
        run.workspace = new
        caplog.clear()
        send(run)
        told.append([record.message for record in caplog.records])
        assert str(old) not in places(new)
    assert "this workspace was at" in told[0][0]
    for (message,), old, new in ((told[1], inside, outside), (told[2], outside, inside)):
        assert message.startswith(f"mlflow: this workspace is at {new} again, after {old}; if ")
        assert "use only one of them" in message
    # The copy of a database that is large takes time and room, and one of each path is enough.
    assert len(list(inside.glob("mlflow.db.of-*"))) == 2


def test_both_a_workspace_and_its_copy_are_used_and_neither_writes_into_the_other(
    run: Any, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    old, copy = run.workspace, tmp_path / "copy"
    shutil.copytree(old, copy)
    before = places(old)
    run.workspace = copy
    told = send(run).describe()
    assert places(old) == before
    assert str(old) not in places(copy)
    client = MlflowClient(f"sqlite:///{copy / 'mlflow.db'}")
    client.log_text(str(told["run_id"]), "of the copy", "note.txt")
    assert [file.name for file in copy.glob("mlartifacts/**/note.txt")] == ["note.txt"]
    assert not list(old.glob("mlartifacts/**/note.txt"))
    run.workspace = old
    send(run)
    assert places(old).count(str(copy)) == 0


def test_a_workspace_that_is_moved_while_it_is_served_is_corrected(
    run: Any, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(run.workspace / "mlflow.db")) as server:
        rows = server.execute("SELECT * FROM runs")  # A server that reads at this moment.
        new = tmp_path / "new"
        shutil.move(run.workspace, new)
        rows.fetchall()
        run.workspace = new
        send(run)
        (location,) = server.execute("SELECT artifact_uri FROM runs").fetchone()
    assert location.startswith(f"{new.as_uri()}/mlartifacts/")
    assert not run.workspace.parent.joinpath("old", "ws").exists()


def test_nothing_is_corrected_if_one_part_cannot_be(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new"
    shutil.move(run.workspace, new)
    before = places(new)

    def full(move: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("halo_mlflow.store.moved._correct_records", full)
    with pytest.raises(DataError, match=r"cannot be corrected: no space left\. End what uses"):
        settled_store(None, new)
    assert places(new) == before


def test_a_database_elsewhere_and_a_second_path_of_a_workspace_are_left_alone(
    run: Any, tmp_path: Path
) -> None:
    before = places(run.workspace)
    settled_store(f"sqlite:///{run.workspace / 'mlflow.db'}", tmp_path / "other")
    assert places(run.workspace) == before
    (tmp_path / "second").symlink_to(run.workspace)  # A bind mount needs other rights.
    follow_move(tmp_path / "second" / "mlflow.db", tmp_path / "second")
    assert places(run.workspace) == before


def test_a_database_whose_files_stay_in_another_folder_is_left_alone(
    run: Any, tmp_path: Path
) -> None:
    root = tmp_path / "shared"
    root.mkdir()
    shutil.move(run.workspace / "mlartifacts", root / "mlartifacts")
    old, new = run.workspace.as_uri(), root.as_uri()
    with closing(sqlite3.connect(run.workspace / "mlflow.db")) as connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = replace(artifact_location, ?, ?)",
            (old, new),
        )
        connection.commit()
    before = places(run.workspace)
    settled_store(f"sqlite:///{run.workspace / 'mlflow.db'}", run.workspace)
    assert places(run.workspace) == before
    assert not list(run.workspace.glob("mlflow.db.of-*"))


@pytest.mark.parametrize("name", ["a%2Fb", "why?not", "a#b & c=d", "é%20 x"])
def test_folders_with_any_name_have_their_own_database(
    new_run: Callable[..., Any],
    tmp_path: Path,
    migrated: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = new_run(tmp_path / name / "ws")
    copy_tables(migrated, run.workspace)
    run.start()
    told = send(run).describe()
    assert told["store"] == f"sqlite:///{tmp_path}/{name}/ws/mlflow.db"
    assert str(told["run_id"]) in places(run.workspace)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert list(run.workspace.glob("mlartifacts/**/spec.yaml"))


def test_a_path_that_is_too_long_for_sqlite_is_named_with_what_to_do(tmp_path: Path) -> None:
    store = settled_store(None, tmp_path.joinpath(*["x" * 200] * 6))
    with pytest.raises(PathError, match=r"12\d\d bytes, and SQLite opens paths of at most 500"):
        connect(store, timeout_s=5)


def test_a_database_of_a_newer_mlflow_is_answered_with_the_command(
    tmp_path: Path, migrated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_tables(migrated, tmp_path)
    assert is_current(tmp_path / "mlflow.db")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'abcdef'")
    before = (tmp_path / "mlflow.db").read_bytes()
    with pytest.raises(DataError, match=r"does not know its schema abcdef\. .*pip install --upg"):
        connect(settled_store(None, tmp_path), timeout_s=5)
    with pytest.raises(DataError, match=r"mlflow db upgrade sqlite:///.*mlflow\.db"):
        connect(Store(f"sqlite:///{tmp_path}/mlflow.db", None), timeout_s=5)
    assert not is_current(tmp_path / "mlflow.db")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    assert call(["ui", "--workspace", str(tmp_path), "--port", port]) == 2
    assert "does not know its schema abcdef. Nothing was changed" in capsys.readouterr().err
    assert (tmp_path / "mlflow.db").read_bytes() == before


def test_a_database_of_an_older_mlflow_is_migrated_after_a_copy(
    tmp_path: Path, caplog: Any
) -> None:
    file = tmp_path / "mlflow.db"
    with older_tables(f"sqlite:///{file}") as (older, newest):
        assert revision(file) == older
    caplog.set_level(logging.WARNING)
    connect(settled_store(None, tmp_path), timeout_s=5)
    assert revision(file) == newest
    assert revision(file.with_name(f"mlflow.db.schema-{older}")) == older
    assert "was made by an older MLflow; it was migrated" in caplog.text


def revision(file: Path) -> str:
    with closing(sqlite3.connect(file)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


@contextmanager
def older_tables(uri: str) -> Iterator[tuple[str, str]]:
    """Makes a database with the tables of the version before the newest one."""
    import sqlalchemy
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base

    config: Any = _get_alembic_config(uri)
    scripts = ScriptDirectory.from_config(config)
    newest = str(scripts.get_current_head())
    older = str(scripts.get_revision(newest).down_revision)
    engine = sqlalchemy.create_engine(uri)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, older)
        location = f"{Path(uri.removeprefix('sqlite:///')).parent.as_uri()}/mlartifacts/0"
        connection.execute(
            sqlalchemy.text(
                "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) "
                "VALUES (0, 'Default', :location, 'active')"
            ),
            {"location": location},
        )
    engine.dispose()
    yield older, newest
