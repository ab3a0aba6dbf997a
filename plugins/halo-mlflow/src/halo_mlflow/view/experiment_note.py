"""Writes the note of an experiment, which stands above its runs: which run won, and by how much.

A note that somebody changed is left as it is. A tag of the experiment has the digests of the notes
that halo wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from halo_core.hashing import short_hash
from halo_mlflow.runs.answer_changes import ANSWERS
from halo_mlflow.runs.result_tags import WIN, WIN_LC
from halo_mlflow.store.metric_keys import WIN_RATE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

NOTE, DIGESTS = "mlflow.note.content", "halo.notes"
REMEMBERED = 8
"""Number of notes whose digests are kept. Runs that end at the same time may write in any order."""


def plain_note(recipe: str) -> str:
    """Returns the note of an experiment without results.

    Args:
        recipe: The name of the spec.
    """
    return f"Runs of the recipe {recipe}: same data, same judge, so that they can be compared."


def write_note(client: MlflowClient, experiment: str, recipe: str, runs: Sequence[Run]) -> None:
    """Writes the note, unless somebody changed it.

    Args:
        client: A client of the store.
        experiment: The experiment's id.
        recipe: The name of the spec, if no run is judged yet.
        runs: The runs of the experiment.
    """
    tags = client.get_experiment(experiment).tags
    recipe = tags.get("halo.recipe", recipe)
    earlier, digests = tags.get(NOTE, ""), tags.get(DIGESTS, "").split()
    if earlier not in ("", plain_note(recipe)) and short_hash(earlier) not in digests:
        return
    text = " ".join([*best_runs(runs), plain_note(recipe)])
    if text != earlier:
        known = [*digests, short_hash(text)][-REMEMBERED:]
        client.set_experiment_tag(experiment, DIGESTS, " ".join(known))
        client.set_experiment_tag(experiment, NOTE, text)


def best_runs(runs: Sequence[Run]) -> list[str]:
    """Returns the two highest win rates, and how the answers of the first run changed.

    Without a judged run, there are no sentences.
    """
    judged = [run for run in runs if WIN in run.data.tags and WIN_RATE in run.data.metrics]
    judged.sort(key=lambda run: -float(run.data.metrics[WIN_RATE]))
    shown = [_result(run) for run in judged[:2]]
    if not shown:
        return []
    changes = judged[0].data.tags.get(ANSWERS)
    told = [f"How its answers changed: {changes}."] if changes else []
    return [f"Highest win rate: {', then '.join(shown)}.", *told]


def _result(run: Run) -> str:
    controlled = run.data.tags.get(WIN_LC)
    more = f" (length-controlled {controlled})" if controlled else ""
    return f"{run.info.run_name} {run.data.tags[WIN]}{more}"
