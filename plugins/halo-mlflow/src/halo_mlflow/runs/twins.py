"""Removes the empty MLflow run that a server made late, after another one was made in its place.

The answer to a request for a new run can be lost: the process is killed, or a slow server answers
after the time limit. The next attempt looks for the run by its tags. If the server has not made it
by then, the attempt makes another one. The late run holds nothing but the tags it was made with,
because nobody knows its id.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from halo_core.redact import one_line
from halo_mlflow.runs.sender import log

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

NOTE = "mlflow.note.content"


def remove_twins(
    client: MlflowClient, own: tuple[str, str], filter_: str, folder: Path
) -> list[str]:
    """Marks the empty twins of an MLflow run as deleted, and returns their ids.

    A run with parameters, metrics or, for a suite, a note stays. MLflow can restore a deleted run.

    Args:
        client: A client of the store.
        own: MLflow's ids of the experiment and of the run that stays.
        filter_: Selects the runs of the same run or suite of halo, in MLflow's language.
        folder: The folder of the run or suite.
    """
    experiment, run_id = own
    try:
        twins = [
            str(run.info.run_id)
            for run in client.search_runs([experiment], filter_)
            if str(run.info.run_id) != run_id and _is_empty(run, folder)
        ]
        for twin in twins:
            client.delete_run(twin)
    except Exception as error:  # The run itself is complete. The next session tries again.
        log.warning("mlflow: empty runs of %s are not looked for: %s", folder.name, one_line(error))
        return []
    if twins:
        log.warning(
            "mlflow: the store made %d more runs of %s than it answered for; these are empty and "
            "are marked as deleted",
            len(twins),
            folder.name,
        )
    return twins


def _is_empty(run: Run, folder: Path) -> bool:
    """Returns whether an MLflow run shows a folder of halo and nothing was ever sent to it."""
    tags = run.data.tags
    if tags.get("halo.run_dir") != str(folder) or run.data.params or run.data.metrics:
        return False
    return tags.get("halo.kind") != "suite" or NOTE not in tags
