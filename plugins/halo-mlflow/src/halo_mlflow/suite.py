"""A suite as one MLflow run, the parent of its cells' runs.

Everything is made from the suite's folder and can be told again: what is there already stays. The
parent's id is remembered in the suite's `mlflow.json`, where the cells' sessions find it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from halo_core import __version__
from halo_core.lock import held
from halo_core.redact import redact
from halo_core.tracker import SuiteStatus
from halo_core.workspace.records import SUITE, SUITE_SPEC, SuiteRecord
from halo_mlflow.cells import cell_table, note
from halo_mlflow.connection import connect
from halo_mlflow.lifecycle import experiment_id, is_there
from halo_mlflow.links import about_store, run_link, suite_links
from halo_mlflow.record import process_tags
from halo_mlflow.sender import Sender
from halo_mlflow.source import git_tags
from halo_mlflow.state import STATE_FILE, RunState, load_state, save_state
from halo_mlflow.store import choose_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from halo_mlflow.components import MLflow

TABLE = "cells.json"
STATUS: Mapping[SuiteStatus, str] = {
    "running": "RUNNING",
    "done": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
    "pending": "SCHEDULED",
}
"""How far a suite is to what MLflow calls it."""


class SuiteParent:
    """The MLflow run of a suite.

    Args:
        options: The tracker's options.
        suite: The suite's folder.
        workspace: The workspace.
    """

    def __init__(self, options: MLflow, suite: Path, workspace: Path) -> None:
        self._options = options
        self._suite, self._workspace = suite.resolve(), workspace.resolve()
        self._store = choose_store(options.uri, workspace)

    def tell(self, status: SuiteStatus) -> Mapping[str, object]:
        """Brings the run up to date with `suite.json`, and returns its page and id."""
        client = connect(self._store, timeout_s=self._options.timeout_s)
        run_id = self.find(client)
        record = self._record
        sender = Sender(client, run_id)
        sender.tags({**process_tags(time.time()), "mlflow.note.content": note(self._suite, record)})
        sender.best_effort("the suite", lambda: self._send_files(client, run_id, record))
        if status != "running":
            sender.best_effort("the cells' parent", lambda: self._adopt(client, run_id, record))
        if status in ("running", "pending"):
            client.update_run(run_id, status=STATUS[status])
        else:
            client.set_terminated(run_id, STATUS[status])
        experiment = self._state().experiment_id or ""
        return {
            **about_store(self._store, self._workspace),
            "url": run_link(self._store, experiment, run_id),
            "links": suite_links(self._store, experiment, run_id),
            "run_id": run_id,
            "experiment_id": experiment,
        }

    def take_report(self, folder: Path) -> None:
        """Puts the files of a folder under ``report/`` of the run; again, they are replaced."""
        client = connect(self._store, timeout_s=self._options.timeout_s)
        client.log_artifacts(self.find(client), str(folder), "report")

    def find(self, client: MlflowClient) -> str:
        """Returns MLflow's id of the suite's run, which is made if it is not there."""
        with held(self._suite / STATE_FILE):
            state = self._state()
            if state.run_id is None or not is_there(client, state.run_id):
                state = self._create(client)
                save_state(self._suite / STATE_FILE, self._store.shown, state)
        assert state.run_id is not None
        return state.run_id

    @property
    def _record(self) -> SuiteRecord:
        record = SUITE.read(self._suite)
        return record or SuiteRecord(name=self._suite.name, axes={}, cells=[])

    def _state(self) -> RunState:
        return load_state(self._suite / STATE_FILE, self._store.shown)

    def _create(self, client: MlflowClient) -> RunState:
        name = self._record["name"]
        experiment = experiment_id(
            client, self._options.experiment or f"halo/{name}", name, self._store
        )
        tags = {
            "halo.kind": "suite",
            "halo.recipe": name,
            "halo.suite": self._suite.name,
            "halo.run_dir": str(self._suite),
            "halo.version": __version__,
            "mlflow.source.name": SUITE_SPEC,
            "mlflow.source.type": "LOCAL",
            **process_tags(time.time()),
            **git_tags(Path.cwd()),
        }
        run = client.create_run(experiment, tags=tags, run_name=name)
        return RunState(experiment_id=experiment, run_id=str(run.info.run_id))

    def _send_files(self, client: MlflowClient, run_id: str, record: SuiteRecord) -> None:
        for name in (SUITE_SPEC, SUITE.name):
            text = (self._suite / name).read_text(encoding="utf-8")
            client.log_text(run_id, redact(text), name)
        table = cell_table(self._workspace, record)
        client.log_text(run_id, json.dumps(table, ensure_ascii=False), TABLE)
        tag = json.dumps([{"path": TABLE, "type": "table"}])
        client.set_tag(run_id, "mlflow.loggedArtifacts", tag)

    def _adopt(self, client: MlflowClient, run_id: str, record: SuiteRecord) -> None:
        """Makes this run the parent of cells that were sent before it was there."""
        for cell in record.get("cells", ()):
            if cell["run"] is None:
                continue
            child = load_state(self._workspace / cell["run"] / STATE_FILE, self._store.shown)
            if child.run_id is None or not is_there(client, child.run_id):
                continue
            tags = client.get_run(child.run_id).data.tags
            if tags.get("mlflow.parentRunId") != run_id:
                client.set_tag(child.run_id, "mlflow.parentRunId", run_id)
