"""What a run's folder remembers of its MLflow runs: `mlflow.json`, by store.

The same MLflow run goes on when a run is resumed, and what it has already is not sent again.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from halo_core.errors import DataError
from halo_core.workspace.files import read_json, write_json

STATE_FILE = "mlflow.json"
_LOCK = threading.Lock()


@dataclass
class RunState:
    """How much of a run one store has.

    Attributes:
        experiment_id: MLflow's id of the experiment.
        run_id: MLflow's id of the run; None before it is created.
        status: The status it was last given.
        failed: Whether it has a tag `halo.error`.
        headlines: Stage to its one sentence.
        last_steps: Metric key to the last step that was sent.
        models: Stage to MLflow's id of its model.
        traced: Stages whose verdicts were sent as traces.
    """

    experiment_id: str | None = None
    run_id: str | None = None
    status: str = "RUNNING"
    failed: bool = False
    headlines: dict[str, str] = field(default_factory=dict)
    last_steps: dict[str, int] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    traced: list[str] = field(default_factory=list)


def load_state(path: Path, store: str) -> RunState:
    """Returns what is remembered of a store, named by its URI without credentials."""
    record = _stores(path).get(store, {})
    try:
        return RunState(**record)
    except TypeError:
        return RunState()


def save_state(path: Path, store: str, state: RunState) -> None:
    """Remembers what a store has now."""
    with _LOCK:
        write_json(path, {"schema": 1, "stores": {**_stores(path), store: asdict(state)}})


def _stores(path: Path) -> dict[str, Any]:
    try:
        return dict((read_json(path) or {}).get("stores", {}))
    except (DataError, TypeError, ValueError, AttributeError):
        return {}
