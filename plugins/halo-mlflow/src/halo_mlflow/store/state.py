"""The record in a run's folder of its MLflow runs, by store: `mlflow.json`.

A resumed run continues the same MLflow run, and sends nothing that MLflow already has.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from halo_core.errors import DataError
from halo_core.uri_credentials import without_credentials
from halo_core.workspace.files import read_json, write_json
from halo_core.workspace.lock import held

STATE_FILE = "mlflow.json"
LOCK = "mlflow-stores"
"""The lock under which records are written."""


BEFORE_ALL = -1
"""The last step of a curve of which nothing was sent. The first step may be 0."""


@dataclass
class RunState:
    """The record of what one store has of a run.

    Attributes:
        experiment_id: MLflow's id of the experiment.
        run_id: MLflow's id of the run; None before it is created.
        status: The status that was last sent.
        failed: Whether the MLflow run has a tag `halo.error`.
        headlines: The one-sentence summary of each stage.
        last_steps: The last step that was sent, by metric key.
        models: MLflow's id of each stage's model.
        registered: The version of the model by the name of the registered model.
        traced: Stages whose verdicts were sent as traces.
        keys: Version of the keys of the metrics; 1 if an older halo created the MLflow run.
        curves: The names of each stage's curves.
        incomplete: Whether the MLflow run has a tag `halo.incomplete`.
        left_out: Number of points, parameters and tags that MLflow did not take.
        missing: Names of files and other things that could not be sent.
        view: Whether the experiment has the saved view, so that links can open it.
        unanswered: Number of times that MLflow was asked for a new run and its answer is not known.
            It is written before MLflow is asked, because the process can be killed at any moment.
    """

    experiment_id: str | None = None
    run_id: str | None = None
    status: str = "RUNNING"
    failed: bool = False
    headlines: dict[str, str] = field(default_factory=dict)
    last_steps: dict[str, int] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    registered: dict[str, str] = field(default_factory=dict)
    traced: list[str] = field(default_factory=list)
    keys: int = 1
    curves: dict[str, list[str]] = field(default_factory=dict)
    view: bool = False
    incomplete: bool = False
    left_out: int = 0
    missing: list[str] = field(default_factory=list)
    unanswered: int = 0


def load_state(path: Path, store: str) -> RunState:
    """Returns the record of a store, which is named by its URI without credentials."""
    record = _stores(path).get(_key(store), {})
    try:
        return RunState(**record)
    except TypeError:
        return RunState()


def known_stores(path: Path) -> list[str]:
    """Returns the URIs, without credentials, of the stores in a record."""
    return list(_stores(path))


def save_state(path: Path, store: str, state: RunState) -> None:
    """Records what a store has now. What other stores have stays."""
    # Two trackers of a run are two processes. The lock of the file itself is that of a suite's run.
    with held(path.with_name(LOCK)):
        write_json(path, {"schema": 1, "stores": {**_stores(path), _key(store): asdict(state)}})


def _stores(path: Path) -> dict[str, Any]:
    try:
        stores = (read_json(path) or {}).get("stores", {})
        return {_key(store): record for store, record in stores.items()}
    except (DataError, TypeError, ValueError, AttributeError):
        return {}


def _key(store: str) -> str:
    """Returns the name of a store, which is the same wherever its password came from."""
    return without_credentials(store, "")
