"""Writes the saved view "halo" as a tag of an experiment, from which MLflow's pages read it.

The tag is written for the versions of MLflow whose form was tested. halo repeats its own view when
runs begin and end, because their metrics and parameters decide what it shows. A view that somebody
changed is left as it is: the tag has a digest of what halo wrote.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from halo_core.hashing import short_hash
from halo_mlflow.store.names import clean_name
from halo_mlflow.store.store import Store
from halo_mlflow.view.state_3_17 import page_state

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TESTED = ("3.17",)
"""Versions of MLflow whose form of the state was tested in a browser."""
VIEW = "halo"
TAG = "mlflow.sharedViewState."
LONGEST_TAG = 20_000
DIGEST = "halo"
"""Key of the digest in the tag. MLflow's pages leave it out when they write the view."""
MOST_RUNS = 200
"""Number of the newest runs whose metrics and parameters decide what a view shows."""
MOST_COLUMNS = 8
"""Largest number of parameters that are columns. The table of differences shows all of them."""
RUNS_ONLY = "tags.`halo.kind` = 'run'"


def view_of_suite(suite: str) -> str:
    """Returns the key of the view of a suite's cells.

    Args:
        suite: The name of the suite's folder.
    """
    return clean_name(f"{VIEW}-{suite}").replace("/", "-")


def untested(client: MlflowClient, store: Store) -> str | None:
    """Returns why no view is written for this MLflow; None for a tested version."""
    version = _version(client, store)
    if version.rpartition(".")[0] in TESTED:
        return None
    tested = ", ".join(TESTED)
    return (
        f"the saved view {VIEW!r} is left out: it was tested with MLflow {tested}, and this is "
        f"{version}"
    )


def write_view(
    client: MlflowClient,
    experiment: str,
    runs: Sequence[Run],
    key: str = VIEW,
    filter_: str = RUNS_ONLY,
) -> None:
    """Writes a view, unless somebody changed it.

    Args:
        client: A client of the store.
        experiment: The experiment's id.
        runs: The runs whose metrics and parameters decide what the view shows (`newest_runs`).
        key: The key of the view, which a link names in ``viewStateShareKey``.
        filter_: The runs that the view shows, in MLflow's language.
    """
    tags: Mapping[str, str] = client.get_experiment(experiment).tags
    earlier = tags.get(TAG + key)
    if earlier is not None and not is_own(earlier):
        return
    metrics = sorted({name for run in runs for name in run.data.metrics})
    state = page_state(metrics, differing_parameters(runs), filter_)
    now = int(time.time() * 1000)
    made = now if earlier is None else int(json.loads(earlier)["createdAt"])
    text = view_text(key, state, made, now)
    if earlier is None or json.loads(earlier)[DIGEST] != json.loads(text)[DIGEST]:
        client.set_experiment_tag(experiment, TAG + key, text)


def newest_runs(client: MlflowClient, experiment: str, filter_: str = RUNS_ONLY) -> Sequence[Run]:
    """Returns at most `MOST_RUNS` runs of an experiment, the newest first."""
    runs: Sequence[Run] = client.search_runs([experiment], filter_, max_results=MOST_RUNS)
    return runs


def view_text(name: str, state: Mapping[str, Any], made_ms: int, changed_ms: int) -> str:
    """Returns the value of the tag, of at most `LONGEST_TAG` characters.

    Args:
        name: The name in MLflow's menu of views.
        state: The state of the page.
        made_ms: Time at which the view was first written, in Unix milliseconds.
        changed_ms: Time at which it is written now.
    """
    plain = json.dumps(state, separators=(",", ":"))
    text = _envelope(name, plain, made_ms, changed_ms)
    if len(text) <= LONGEST_TAG:
        return text
    packed = "deflate;" + base64.b64encode(zlib.compress(plain.encode(), 9)).decode()
    text = _envelope(name, packed, made_ms, changed_ms)
    if len(text) <= LONGEST_TAG:
        return text
    # MLflow itself adds the folded sections that are not listed; it shows them unfolded.
    shown = [section for section in state["compareRunSections"] if section["display"]]
    return view_text(name, {**state, "compareRunSections": shown}, made_ms, changed_ms)


def is_own(text: str) -> bool:
    """Returns whether a view's tag is as halo wrote it."""
    try:
        view = json.loads(text)
        return bool(view[DIGEST] == _digest(view["name"], view["state"]))
    except (ValueError, KeyError, TypeError):
        return False


def differing_parameters(runs: Sequence[Run]) -> list[str]:
    """Returns the parameters that differ between runs, those with short names first.

    Of parameters that differ in the same way, such as a data set's size in several stages, only the
    first is named.
    """
    names = sorted(
        {name for run in runs for name in run.data.params}, key=lambda name: (len(name), name)
    )
    values = {tuple(run.data.params.get(name) for run in runs): name for name in reversed(names)}
    differing = {name for each, name in values.items() if len(set(each)) > 1}
    return [name for name in names if name in differing][:MOST_COLUMNS]


def _envelope(name: str, state: str, made_ms: int, changed_ms: int) -> str:
    view = {"name": name, "createdAt": made_ms, "updatedAt": changed_ms, "state": state}
    return json.dumps({**view, DIGEST: _digest(name, state)}, separators=(",", ":"))


def _digest(name: str, state: str) -> str:
    return short_hash(f"{name}\n{state}")


def _version(client: MlflowClient, store: Store) -> str:
    """Returns the version of the MLflow that shows the pages."""
    import mlflow
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    if not store.is_server:
        return str(mlflow.__version__)  # `halo ui` serves a database with this MLflow.
    credentials = get_default_host_creds(client.tracking_uri)  # type: ignore[no-untyped-call]
    answer = http_request(credentials, "/version", "GET", raise_on_status=False)  # type: ignore[no-untyped-call]
    return str(answer.text).strip() if answer.status_code == 200 else "an unknown version"
