"""Links to MLflow's pages, and the command that serves the pages if no server runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from halo_core.tracking.carrier import shown_path
from halo_mlflow.store.store import DATABASE, Store

LABEL = "MLflow"
LOCAL_SERVER = "http://127.0.0.1:5000"
# Without it an experiment opens with its page of traces.
MACHINE_LEARNING = "workflowType=machine_learning"
SHARE_KEY = "viewStateShareKey"


def about_store(store: Store, workspace: Path) -> dict[str, str]:
    """Returns the part that all pages share: the label, the store without credentials, and `ui`.

    Args:
        store: The store of the runs.
        workspace: The workspace, for the command that serves its database.
    """
    about = {"label": LABEL, "store": store.shown}
    return about if store.is_server else {**about, "ui": ui_command(store, workspace)}


def run_link(store: Store, experiment: str, run_id: str, view: str | None = None) -> str:
    """Returns the page of a run or a suite; see `run_links`."""
    return f"{_runs(store, experiment)}/{run_id}?{_shown(view)}"


def run_links(
    store: Store, experiment: str, run_id: str, *, traced: bool = False, view: str | None = None
) -> dict[str, str]:
    """Returns links to further pages about a run, by name.

    If no server runs, the links are those that `ui_command` serves.

    Args:
        store: The store of the run.
        experiment: The experiment's id.
        run_id: MLflow's id of the run.
        traced: Whether the run's verdicts were sent as traces.
        view: The key of the saved view to open; None if the experiment has none.
    """
    runs = _runs(store, experiment)
    one = quote(f"attributes.run_id IN ('{run_id}')")
    links = {
        "compare": f"{runs}?{_shown(view)}&compareRunsMode=CHART",
        "table": f"{runs}?{_shown(view)}",
        "answers": f"{runs}?{_shown(view)}&searchFilter={one}&compareRunsMode=ARTIFACT",
    }
    if traced:
        links["verdicts"] = f"{runs}/{run_id}/traces?{_shown(view)}"
    return links


def suite_links(
    store: Store, experiment: str, parent: str, view: str | None = None
) -> dict[str, str]:
    """Returns links to further pages about a suite, by name: all its cells in charts and a table.

    Args:
        store: The store of the suite.
        experiment: The experiment's id.
        parent: MLflow's id of the suite's run.
        view: The key of the suite's saved view, which shows only its cells; None if it has none.
    """
    page = f"{_runs(store, experiment)}?{_shown(view)}"
    if view is None:  # With a filter in the address, MLflow would not open a view.
        page += f"&searchFilter={quote(cells_filter(parent))}"
    return {"compare": f"{page}&compareRunsMode=CHART", "table": page}


def cells_filter(parent: str) -> str:
    """Returns the filter, in MLflow's language, for the cells of a suite."""
    return f"tags.mlflow.parentRunId = '{parent}'"


def comparison_link(
    store: Store, run_ids: Sequence[str], experiments: Sequence[str], view: str | None = None
) -> str:
    """Returns the page that shows runs side by side.

    Args:
        store: The store of the runs.
        run_ids: MLflow's ids of the runs.
        experiments: The ids of their experiments.
        view: The key of the saved view of the experiments; None if they have none.
    """
    runs = quote(json.dumps(list(run_ids), separators=(",", ":")))
    inside = quote(json.dumps(list(experiments), separators=(",", ":")))
    return f"{_base(store)}/#/compare-runs?runs={runs}&experiments={inside}&{_shown(view)}"


def experiment_link(base: str, experiment: str, view: str | None = None) -> str:
    """Returns the page with an experiment's charts."""
    return f"{base}/#/experiments/{experiment}/runs?{_shown(view)}&compareRunsMode=CHART"


def _shown(view: str | None) -> str:
    return MACHINE_LEARNING if view is None else f"{MACHINE_LEARNING}&{SHARE_KEY}={quote(view)}"


def _runs(store: Store, experiment: str) -> str:
    return f"{_base(store)}/#/experiments/{experiment}/runs"


def _base(store: Store) -> str:
    return store.shown.rstrip("/") if store.shown.startswith("http") else LOCAL_SERVER


def ui_command(store: Store, workspace: Path) -> str:
    """Returns the command that serves a store that has no server."""
    command = ["halo", "ui", "--workspace", shown_path(workspace)]
    if store.file is None or store.file != workspace.resolve() / DATABASE:
        command += ["--uri", store.shown]
    return shlex.join(command)
