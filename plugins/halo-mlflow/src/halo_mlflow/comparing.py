"""The link to MLflow's page with several runs of halo next to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from halo_mlflow.links import comparison_link, ui_command
from halo_mlflow.state import STATE_FILE, load_state
from halo_mlflow.store import choose_store

if TYPE_CHECKING:
    from halo_mlflow.components import MLflow


def compare_runs(options: MLflow, runs: Sequence[Path], workspace: Path) -> Mapping[str, object]:
    """Returns `links`, the tracking URI, `absent`, and `ui` where no server runs.

    Whether the store still has the runs is not asked: what the runs remember is taken.

    Args:
        options: The tracker's options, which say which store.
        runs: The folders of the runs.
        workspace: The workspace whose store is meant where the options name none.
    """
    store = choose_store(options.uri, workspace)
    states = {run: load_state(run / STATE_FILE, store.shown) for run in runs}
    sent = {run: state for run, state in states.items() if state.run_id and state.experiment_id}
    told: dict[str, object] = {
        "tracking_uri": store.shown,
        "absent": [run for run in runs if run not in sent],
        "links": {},
    }
    if len(sent) < 2:
        return told
    if not store.is_server:
        told["ui"] = ui_command(store, workspace)
    ids = [str(state.run_id) for state in sent.values()]
    experiments = dict.fromkeys(str(state.experiment_id) for state in sent.values())
    return {**told, "links": {"compare": comparison_link(store, ids, list(experiments))}}
