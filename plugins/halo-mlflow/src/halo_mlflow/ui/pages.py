"""The page of each experiment of a store, with its saved view if it has one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from halo_mlflow.store.links import MACHINE_LEARNING, experiment_link
from halo_mlflow.store.store import Store, connect
from halo_mlflow.view.saved_view import TAG, VIEW

ALL = "all experiments"
TIMEOUT_S = 10
_QUERY = """
SELECT e.experiment_id, e.name, EXISTS (
  SELECT 1 FROM experiment_tags t WHERE t.experiment_id = e.experiment_id AND t.key = ?
)
FROM experiments e
WHERE e.lifecycle_stage = 'active' AND e.experiment_id != 0
ORDER BY (SELECT MAX(r.start_time) FROM runs r WHERE r.experiment_id = e.experiment_id) DESC
"""


@dataclass(frozen=True)
class Experiment:
    """An experiment of a store.

    Attributes:
        id: MLflow's id of it.
        name: Its name.
        has_view: Whether it has the saved view of halo.
    """

    id: str
    name: str
    has_view: bool


def start_pages(store: Store, base: str) -> dict[str, str]:
    """Returns the page of each experiment by name. The one with the newest run is the first.

    Args:
        store: The store. MLflow's own experiment "Default" is left out.
        base: The address of the server.
    """
    pages = {
        experiment.name: experiment_link(base, experiment.id, VIEW if experiment.has_view else None)
        for experiment in _experiments(store)
    }
    return pages or {ALL: f"{base}/#/experiments?{MACHINE_LEARNING}"}


def _experiments(store: Store) -> Sequence[Experiment]:
    if store.file is not None:
        # Importing MLflow would take seconds.
        try:
            with closing(sqlite3.connect(store.file)) as connection:
                rows = connection.execute(_QUERY, (TAG + VIEW,)).fetchall()
        except sqlite3.Error:
            return ()
        return [Experiment(str(id_), str(name), bool(view)) for id_, name, view in rows]
    client = connect(store, timeout_s=TIMEOUT_S)
    found = client.search_experiments(order_by=["last_update_time DESC"])
    return [
        Experiment(str(each.experiment_id), each.name, TAG + VIEW in each.tags)
        for each in found
        if str(each.experiment_id) != "0"
    ]
