"""The experiment and the MLflow run that show a run of halo."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core.errors import HaloError
from halo_core.redact import one_line, redact
from halo_core.tracking.feed import last_start_or_end
from halo_core.workspace.lock import is_owned
from halo_core.workspace.records import EVENTS
from halo_mlflow.runs.colours import next_shade
from halo_mlflow.runs.run_facts import RunFacts, process_tags
from halo_mlflow.runs.sender import log
from halo_mlflow.store.state import STATE_FILE, load_state
from halo_mlflow.store.store import Store, connect, is_refused, settled_store
from halo_mlflow.view.experiment_note import NOTE, plain_note

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from halo_mlflow.options import MLflow


STATUS = {"done": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
"""MLflow's status by the status of halo's run."""


def experiment_id(client: MlflowClient, name: str, recipe: str, store: Store) -> str:
    """Returns the id of an experiment, which is created or restored if needed.

    Raises:
        HaloError: When it was deleted and cannot be restored.
    """
    from mlflow.exceptions import MlflowException

    known = client.get_experiment_by_name(name)
    if known is not None:
        if known.lifecycle_stage != "active":
            _restore(client, str(known.experiment_id), name)
        return str(known.experiment_id)
    tags = {NOTE: plain_note(recipe), "halo.recipe": recipe}
    try:
        return str(client.create_experiment(name, artifact_location=store.artifacts, tags=tags))
    except MlflowException:
        # Another process was faster. Any other error is raised to the caller.
        known = client.get_experiment_by_name(name)
        if known is None:
            raise
        return str(known.experiment_id)


def _restore(client: MlflowClient, experiment: str, name: str) -> None:
    try:
        client.restore_experiment(experiment)
    except Exception as error:
        raise HaloError(
            f"the experiment {name!r} was deleted in MLflow and cannot be restored "
            f"({one_line(error)}); restore it, with: mlflow experiments restore --experiment-id "
            f"{experiment}, or choose another one with experiment: in the spec"
        ) from None
    log.warning("mlflow: the experiment %r was deleted; it is restored for this run", name)


def create_run(
    client: MlflowClient,
    experiment: str,
    facts: RunFacts,
    started_s: float,
    here: Path,
    parent: str | None = None,
) -> str:
    """Returns the id of a new MLflow run.

    Args:
        client: A client of the store.
        experiment: The experiment's id.
        facts: The run.
        started_s: Time at which the run really started, in Unix seconds.
        here: The folder whose commit is recorded.
        parent: MLflow's id of the parent run.
    """
    tags = {**facts.tags(), **process_tags(time.time()), **git_tags(here)}
    tags["mlflow.runColor"] = next_shade(facts.method, _colours(client, experiment))
    if parent is not None:
        tags["mlflow.parentRunId"] = parent
    short = {key: value[:5000] for key, value in tags.items() if value}
    run = client.create_run(
        experiment, start_time=int(started_s * 1000), tags=short, run_name=facts.run_name
    )
    return str(run.info.run_id)


def _colours(client: MlflowClient, experiment: str) -> list[str]:
    """Returns the colours of the runs of an experiment; none if the server refuses a search."""
    try:
        runs = client.search_runs([experiment], "tags.`halo.kind` = 'run'")
    except Exception as error:
        if not is_refused(error):
            raise
        return []
    return [run.data.tags.get("mlflow.runColor", "") for run in runs]


def is_there(client: MlflowClient, run_id: str) -> bool:
    """Returns whether a store has a run and the run is not deleted."""
    try:
        lifecycle: Any = client.get_run(run_id).info.lifecycle_stage
    except Exception as error:
        if is_missing(error):
            return False
        raise
    return bool(lifecycle == "active")


def is_missing(error: Exception) -> bool:
    """Returns whether MLflow itself says that it does not have something.

    Anything between halo and MLflow can answer with status 404, such as a proxy whose server is
    being started.
    """
    return getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST"


def has_run(options: MLflow, run: Path, workspace: Path) -> bool:
    """Returns whether a store has a run; False if that is not known.

    Args:
        options: The tracker's options.
        run: The run's folder.
        workspace: The workspace.
    """
    try:
        store = settled_store(options.uri, workspace)
        state = load_state(run / STATE_FILE, store.shown)
        if state.run_id is None or (store.file is not None and not store.file.is_file()):
            return False
        return is_there(connect(store, timeout_s=options.timeout_s), state.run_id)
    except Exception:
        return False


def mark_deleted(options: MLflow, folder: Path, workspace: Path) -> bool:
    """Marks the MLflow run of a run or suite as deleted, and returns whether the store had it.

    Args:
        options: The tracker's options.
        folder: The folder of the run or suite.
        workspace: The workspace.

    Raises:
        HaloError: When the store cannot be reached.
    """
    store = settled_store(options.uri, workspace)
    state = load_state(folder / STATE_FILE, store.shown)
    if state.run_id is None or (store.file is not None and not store.file.is_file()):
        return False
    try:
        client = connect(store, timeout_s=options.timeout_s)
        if is_there(client, state.run_id):
            client.delete_run(state.run_id)
        return True
    except Exception as error:
        # The cause is left out, because its text may contain the URI's password.
        raise HaloError(one_line(error), location=store.shown) from None


def mark_dead_runs(client: MlflowClient, experiment: str, own_run_id: str) -> list[str]:
    """Ends runs of an experiment whose process on this machine is gone, and returns their ids.

    A run that ended by itself, but whose last events did not arrive, gets its own status and the
    tag `halo.incomplete`.
    """
    from mlflow.entities import ViewType

    # A quote would end the text in MLflow's filter.
    host = socket.gethostname().replace("'", "")
    running = client.search_runs(
        [experiment],
        f"attributes.status = 'RUNNING' and tags.`halo.host` = '{host}'",
        ViewType.ACTIVE_ONLY,
    )
    dead = []
    for run in running:
        run_id, tags = str(run.info.run_id), run.data.tags
        folder = Path(tags.get("halo.run_dir", ""))
        if run_id == own_run_id or _works(folder, tags.get("halo.pid", "")):
            continue
        end = last_start_or_end(folder / EVENTS.name)
        if end is not None and end["type"] == "run-ended":
            reason = f"its last events did not arrive; halo sync {folder.name} sends them"
            leave_incomplete(client, run_id, str(end["status"]), end["time"], reason)
        else:
            beat = tags.get("halo.heartbeat", "")
            client.set_tag(run_id, ERROR, "the process ended without reporting its end")
            ended = int(beat) * 1000 if beat.isdigit() else None
            client.set_terminated(run_id, "FAILED", end_time=ended)
        dead.append(run_id)
    return dead


ERROR = "halo.error"
"""The tag of a run that failed."""
INCOMPLETE = "halo.incomplete"
"""The tag of a run that has ended and whose last events are missing. Its value is the reason."""


def leave_incomplete(
    client: MlflowClient, run_id: str, status: str, ended_s: float, reason: str
) -> None:
    """Ends an MLflow run whose last events are missing, with the status of halo's run.

    Args:
        client: A client of the store.
        run_id: MLflow's id of the run.
        status: The status in `run-ended`.
        ended_s: Time of the end, in Unix seconds.
        reason: Why the events are missing, and what sends them.
    """
    client.set_tag(run_id, INCOMPLETE, redact(reason)[:5000])
    client.set_terminated(run_id, STATUS.get(status, "FAILED"), end_time=int(ended_s * 1000))


def _works(folder: Path, pid: str) -> bool:
    """Returns whether a run's process works, by its lock if the run's folder is here."""
    if (folder / EVENTS.name).is_file():
        return is_owned(folder)
    return _is_alive(pid)


def _is_alive(pid: str) -> bool:
    if not pid.isdigit():
        return True
    with contextlib.suppress(PermissionError):
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return False
    return True


LIMIT_S = 5.0


def git_tags(folder: Path) -> dict[str, str]:
    """Returns MLflow's tags for the commit of a folder; none if the folder has no commit."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    # Untracked files do not count, because the workspace itself is usually untracked.
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.dirty": "false" if changes == "" else "true",
    }


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
