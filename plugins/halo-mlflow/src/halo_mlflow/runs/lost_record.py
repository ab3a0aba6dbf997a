"""Finds the MLflow run of a run or suite again whose `mlflow.json` was lost, by its tags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from halo_core.redact import one_line
from halo_mlflow.runs.lifecycle import ERROR, INCOMPLETE
from halo_mlflow.runs.run_facts import RunFacts
from halo_mlflow.runs.sender import log
from halo_mlflow.store.metric_keys import VERSION
from halo_mlflow.store.state import BEFORE_ALL, RunState
from halo_mlflow.store.store import is_refused

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


EXPERIMENTS_PER_SEARCH = 1000


def found_again(
    client: MlflowClient, facts: RunFacts, started_s: float, experiment: str
) -> RunState | None:
    """Returns the record of a run that the store already has; None if it has none.

    Its spec, the millisecond of its start, and its folder are those of the run. A folder that has
    been moved keeps its name, and is no longer at its old place. All experiments are searched,
    because one can be renamed in MLflow, unless the server refuses that.

    Args:
        client: A client of the store.
        facts: The run.
        started_s: Time at which the run started, in Unix seconds.
        experiment: Name of the experiment that new runs belong to.
    """
    run = _of_folder(client, filter_of_run(facts, started_s), facts.folder, experiment)
    return None if run is None else _record(client, run)


def filter_of_run(facts: RunFacts, started_s: float) -> str:
    """Returns the filter, in MLflow's language, for a run with this spec and start."""
    return (
        f"tags.`halo.spec_hash` = '{facts.spec_hash}' "
        f"and attributes.start_time = {int(started_s * 1000)}"
    )


def suite_found_again(client: MlflowClient, suite: Path, experiment: str) -> RunState | None:
    """Returns the record of a suite's run that the store already has; None if it has none.

    Args:
        client: A client of the store.
        suite: The suite's folder. As for a run, it can have been moved.
        experiment: Name of the experiment that new runs belong to.
    """
    run = _of_folder(client, filter_of_suite(suite), suite, experiment)
    if run is None:
        return None
    return RunState(experiment_id=str(run.info.experiment_id), run_id=str(run.info.run_id))


def filter_of_suite(suite: Path) -> str:
    """Returns the filter, in MLflow's language, for the run of a suite."""
    filter_ = "tags.`halo.kind` = 'suite'"
    if "'" not in suite.name:  # A quote would end the text in MLflow's filter.
        filter_ += f" and tags.`halo.suite` = '{suite.name}'"
    return filter_


def _of_folder(client: MlflowClient, filter_: str, folder: Path, experiment: str) -> Run | None:
    """Returns a run that a filter selects, and whose folder is the given one."""
    try:
        return _in_experiments(client, _all_experiments(client), filter_, folder)
    except Exception as error:
        if not is_refused(error):
            raise
        reason = one_line(error)
    where = f"in the experiment {experiment!r} only"
    try:
        known = client.get_experiment_by_name(experiment)
        ids = [[str(known.experiment_id)]] if known is not None else []
        found = _in_experiments(client, ids, filter_, folder)
    except Exception as error:
        if not is_refused(error):
            raise
        found, where = None, "nowhere"
    _warn_once(reason, where)
    return found


@cache
def _warn_once(reason: str, where: str) -> None:
    log.warning(
        "mlflow: the server refuses a search in all experiments (%s), so a run whose mlflow.json "
        "was lost is looked for %s; one that is not found there is sent again as a new one",
        reason,
        where,
    )


def _all_experiments(client: MlflowClient) -> Iterator[list[str]]:
    page = None
    while True:
        known = client.search_experiments(max_results=EXPERIMENTS_PER_SEARCH, page_token=page)
        yield [str(one.experiment_id) for one in known]
        if not (page := known.token):
            return


def _in_experiments(
    client: MlflowClient, experiments: Iterable[list[str]], filter_: str, folder: Path
) -> Run | None:
    found: list[Run] = []
    for ids in experiments:
        for run in client.search_runs(ids, filter_):
            there = Path(run.data.tags.get("halo.run_dir", ""))
            moved = there.name == folder.name and not there.exists()
            if there == folder or moved:
                found.append(run)
    # A request whose answer was lost may have made an empty one besides.
    return max(found, key=_content, default=None)


def _content(run: Run) -> int:
    return len(run.data.params) + len(run.data.metrics)


def _record(client: MlflowClient, run: Run) -> RunState:
    tags, run_id = run.data.tags, str(run.info.run_id)
    experiment = str(run.info.experiment_id)
    return RunState(
        experiment_id=experiment,
        run_id=run_id,
        status=run.info.status,
        failed=ERROR in tags,
        incomplete=INCOMPLETE in tags,
        models=models_of(client, experiment, run_id),
        keys=_version_of_keys(run),
        # Some points may be there, so the writer compares.
        last_steps={key: BEFORE_ALL for key in run.data.metrics},
    )


def _version_of_keys(run: Run) -> int:
    if (version := run.data.tags.get("halo.keys", "")).isdigit():
        return int(version)
    # The first version had no tag, and names with underscores, which later ones do not have.
    last_parts = [key.rpartition("/")[2] for key in run.data.metrics]
    return 1 if any("_" in part for part in last_parts) else VERSION


def models_of(client: MlflowClient, experiment: str, run_id: str) -> dict[str, str]:
    """Returns MLflow's id of each stage's model, by the stage."""
    found = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    named = [(model.tags.get("halo.stage"), str(model.model_id)) for model in found]
    return {stage: id_ for stage, id_ in named if stage}
