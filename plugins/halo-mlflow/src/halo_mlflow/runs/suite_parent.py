"""Shows a suite as one MLflow run: the parent of its cells' runs, with a table of their results."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core import __version__
from halo_core.redact import redact
from halo_core.tracker import SuiteStatus
from halo_core.workspace.lock import held
from halo_core.workspace.records import RUN, SUITE, SUITE_SPEC, SuiteCell, SuiteRecord, stage_done
from halo_mlflow.runs.lifecycle import experiment_id, git_tags, is_there
from halo_mlflow.runs.lost_record import filter_of_suite, suite_found_again
from halo_mlflow.runs.run_facts import process_tags
from halo_mlflow.runs.sender import Sender
from halo_mlflow.runs.twins import remove_twins
from halo_mlflow.store.links import about_store, cells_filter, run_link, suite_links
from halo_mlflow.store.metric_keys import WIN_RATE, final_key
from halo_mlflow.store.names import plain_stages
from halo_mlflow.store.state import STATE_FILE, RunState, load_state, save_state
from halo_mlflow.store.store import connect, settled_store
from halo_mlflow.view.saved_view import VIEW, newest_runs, untested, view_of_suite, write_view

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from halo_mlflow.options import MLflow


TABLE = "cells.json"
STATUS: Mapping[SuiteStatus, str] = {
    "running": "RUNNING",
    "done": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
    "pending": "SCHEDULED",
}
"""MLflow's status by the status of the suite."""


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
        self._store = settled_store(options.uri, workspace)

    def tell(self, status: SuiteStatus) -> Mapping[str, object]:
        """Updates the MLflow run from `suite.json`, and returns its page and id."""
        client = connect(self._store, timeout_s=self._options.timeout_s)
        run_id, experiment = self.find(client)
        record = self._record
        sender = Sender(client, run_id)
        sender.tags({**process_tags(time.time()), "mlflow.note.content": note(self._suite, record)})
        sender.best_effort("the suite", lambda: self._send_files(client, run_id, record))
        if status != "running":
            self._remove_twins(client, run_id, experiment)
            sender.best_effort("the cells' parent", lambda: self._adopt(client, run_id, record))
        views: list[str] = []
        sender.best_effort(
            "the saved view", lambda: views.append(self._view(client, experiment, run_id))
        )
        view = views[0] if views and views[0] else None
        if status in ("running", "pending"):
            client.update_run(run_id, status=STATUS[status])
        else:
            client.set_terminated(run_id, STATUS[status])
        return {
            **about_store(self._store, self._workspace),
            "url": run_link(self._store, experiment, run_id, view and VIEW),
            "links": suite_links(self._store, experiment, run_id, view),
            "run_id": run_id,
            "experiment_id": experiment,
        }

    def _view(self, client: MlflowClient, experiment: str, run_id: str) -> str:
        """Writes the view of the suite's cells and that of the experiment.

        Returns:
            The key of the view of the cells; "" if this version of MLflow gets none.
        """
        if untested(client, self._store) is not None:  # The runs of the cells say why.
            return ""
        key = view_of_suite(self._suite.name)
        write_view(client, experiment, newest_runs(client, experiment))
        cells = cells_filter(run_id)
        write_view(client, experiment, newest_runs(client, experiment, cells), key, cells)
        return key

    def take_report(self, folder: Path) -> None:
        """Sends the files of a folder to ``report/`` of the run. Sending again replaces them."""
        client = connect(self._store, timeout_s=self._options.timeout_s)
        client.log_artifacts(self.find(client)[0], str(folder), "report")

    def find(self, client: MlflowClient) -> tuple[str, str]:
        """Returns MLflow's ids of the suite's run and of its experiment.

        The run is found again or created if needed.
        """
        # Cells in separate processes look for their parent at the same time; one creates it.
        with held(self._suite / STATE_FILE):
            state = self._state()
            if state.run_id is None or not is_there(client, state.run_id):
                state = self._found_or_created(client)
                save_state(self._suite / STATE_FILE, self._store.shown, state)
        assert state.run_id is not None
        assert state.experiment_id is not None
        return state.run_id, state.experiment_id

    @property
    def _record(self) -> SuiteRecord:
        record = SUITE.read(self._suite)
        return record or SuiteRecord(name=self._suite.name, axes={}, cells=[])

    def _state(self) -> RunState:
        return load_state(self._suite / STATE_FILE, self._store.shown)

    def _found_or_created(self, client: MlflowClient) -> RunState:
        # In the same order as for a run: see `MLflowSession._create`.
        name = self._record["name"]
        called = self._options.experiment or f"halo/{name}"
        unanswered = self._state().unanswered
        again = suite_found_again(client, self._suite, called)
        if again is None:
            experiment = experiment_id(client, called, name, self._store)
            again = suite_found_again(client, self._suite, called)
        if again is None:
            return self._create(client, name, experiment, unanswered)
        again.unanswered = unanswered
        return again

    def _remove_twins(self, client: MlflowClient, run_id: str, experiment: str) -> None:
        """Removes an empty run that the store made late, if it ever owed an answer."""
        if self._state().unanswered:
            remove_twins(client, (experiment, run_id), filter_of_suite(self._suite), self._suite)

    def _create(
        self, client: MlflowClient, name: str, experiment: str, unanswered: int
    ) -> RunState:
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
        asked = RunState(unanswered=unanswered + 1)
        save_state(self._suite / STATE_FILE, self._store.shown, asked)
        run = client.create_run(experiment, tags=tags, run_name=name)
        return RunState(
            experiment_id=experiment, run_id=str(run.info.run_id), unanswered=unanswered
        )

    def _send_files(self, client: MlflowClient, run_id: str, record: SuiteRecord) -> None:
        for name in (SUITE_SPEC, SUITE.name):
            text = (self._suite / name).read_text(encoding="utf-8")
            client.log_text(run_id, redact(text), name)
        table = cell_table(self._workspace, record)
        client.log_text(run_id, json.dumps(table, ensure_ascii=False), TABLE)
        tag = json.dumps([{"path": TABLE, "type": "table"}])
        client.set_tag(run_id, "mlflow.loggedArtifacts", tag)

    def _adopt(self, client: MlflowClient, run_id: str, record: SuiteRecord) -> None:
        """Makes this run the parent of cells that were sent before it existed."""
        for cell in record.get("cells", ()):
            if cell["run"] is None:
                continue
            child = load_state(self._workspace / cell["run"] / STATE_FILE, self._store.shown)
            if child.run_id is None or not is_there(client, child.run_id):
                continue
            tags = client.get_run(child.run_id).data.tags
            if tags.get("mlflow.parentRunId") != run_id:
                client.set_tag(child.run_id, "mlflow.parentRunId", run_id)


NOTE_ROWS = 100
_JUDGED = (WIN_RATE, "bench/win rate low", "bench/win rate high", "bench/comparisons")


def cell_table(workspace: Path, record: SuiteRecord) -> dict[str, Any]:
    """Returns the cells in MLflow's table format.

    Args:
        workspace: The workspace.
        record: The content of the suite's `suite.json`.
    """
    cells = record["cells"]
    numbers = [final_numbers(workspace, cell) for cell in cells]
    keys = sorted({key for of_cell in numbers for key in of_cell}, key=_order)
    axes = list(record["axes"])
    rows: list[list[Any]] = [
        [cell["id"], *(cell["axes"].get(axis) for axis in axes), cell["status"]]
        + [of_cell.get(key) for key in keys]
        for cell, of_cell in zip(cells, numbers, strict=True)
    ]
    return {"columns": ["cell", *axes, "status", *keys], "data": rows}


def _order(key: str) -> tuple[int, str]:
    return (_JUDGED.index(key) if key in _JUDGED else len(_JUDGED), key)


def final_numbers(workspace: Path, cell: SuiteCell) -> dict[str, float]:
    """Returns the final numbers of a cell's last train, sample and judge stages."""
    if cell["run"] is None:
        return {}
    record = RUN.read(workspace / cell["run"])
    stages = record.get("stages", []) if record else []
    plain = plain_stages(stages)
    numbers: dict[str, float] = {}
    for stage in stages:
        if stage["id"] not in (plain.method, plain.judge, plain.sample):
            continue
        done = stage_done(workspace / stage["folder"])
        for name, value in (done["metrics"] if done else {}).items():
            key = final_key(plain, stage["id"], stage["product"], name)
            if key is not None:
                numbers[key] = value
    return numbers


def note(suite: Path, record: SuiteRecord) -> str:
    """Returns the description of a suite's run: how many cells have each status, and results."""
    cells = record["cells"]
    counts = Counter(cell["status"] for cell in cells)
    counted = ", ".join(f"{n} {status}" for status, n in counts.items())
    table = cell_table(suite.parent.parent, record)
    shown = [c for c in table["columns"] if c in ("cell", "status", *_JUDGED)]
    places = [table["columns"].index(column) for column in shown]
    lines = [f"**{len(cells)} cells: {counted}**", "", _line(shown), _line(["---"] * len(shown))]
    begun = [row for row in table["data"] if row[table["columns"].index("status")] != "pending"]
    for row in begun[:NOTE_ROWS]:
        lines.append(_line([_text(row[place]) for place in places]))
    errors = [f"* {c['id']}: {redact(c['error']['message'] or '')}" for c in cells if c["error"]]
    return "\n".join([*lines, "", *errors]).strip()


def _line(values: Sequence[str]) -> str:
    return f"| {' | '.join(values)} |"


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
