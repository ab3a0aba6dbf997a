"""The link to MLflow's page that compares several runs of halo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from halo_mlflow.store.links import LABEL, about_store, comparison_link
from halo_mlflow.store.state import STATE_FILE, load_state
from halo_mlflow.store.store import settled_store
from halo_mlflow.view.saved_view import VIEW

if TYPE_CHECKING:
    from halo_mlflow.options import MLflow


def compare_runs(options: MLflow, runs: Sequence[Path], workspace: Path) -> Mapping[str, object]:
    """Returns the page's address, the store, `absent`, and `ui` if no server runs.

    It relies on the run folders' records, and does not ask whether the store still has the runs.

    Args:
        options: The tracker's options, which name the store.
        runs: The folders of the runs.
        workspace: The workspace whose store is used if the options name none.
    """
    store = settled_store(options.uri, workspace)
    states = {run: load_state(run / STATE_FILE, store.shown) for run in runs}
    sent = {run: state for run, state in states.items() if state.run_id and state.experiment_id}
    absent = [str(run) for run in runs if run not in sent]
    if len(sent) < 2:
        return {"label": LABEL, "store": store.shown, "absent": absent}
    ids = [str(state.run_id) for state in sent.values()]
    experiments = dict.fromkeys(str(state.experiment_id) for state in sent.values())
    view = VIEW if all(state.view for state in sent.values()) else None
    link = comparison_link(store, ids, list(experiments), view)
    return {**about_store(store, workspace), "url": link, "absent": absent}
