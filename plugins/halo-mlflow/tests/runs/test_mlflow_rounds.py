"""The numbers of the stages of rounds, which MLflow shows as one curve with the rounds as steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from halo_mlflow.runs.session import MLflowSession
from halo_mlflow.store.metric_keys import round_key

if TYPE_CHECKING:
    from mlflow import MlflowClient

STAGES = [("sft", None, None, "model", "sft")] + [
    (f"{name}-{number}", number, name, product, loss)
    for number in (1, 2, 3)
    for name, product, loss in (("kto", "model", "kto"), ("win", "verdicts", None))
]


def write_record(run: Any) -> None:
    record = json.loads((run.folder / "run.json").read_text())
    record["stages"] = [
        {"id": id_, "use": "x", "folder": f"stages/{id_}", "key": id_, "product": product}
        | {"loss": loss}
        | ({"round": number, "repeats": name} if number else {})
        for id_, number, name, product, loss in STAGES
    ]
    (run.folder / "run.json").write_text(json.dumps(record))


def end(run: Any, id_: str, product: str, **metrics: float) -> None:
    where = {"stage": id_, "use": "x", "folder": f"stages/{id_}"}
    run.append("stage-started", **where, resumed=False)
    ended = {"product": product, "status": "computed", "headline": "", "metrics": metrics}
    run.append("stage-ended", **where, **ended)


def write_round(run: Any, number: int) -> None:
    end(run, f"kto-{number}", "model", **{"loss": 0.1 * number, "kl": 2.0 * number, "steps": 5})
    end(run, f"win-{number}", "verdicts", win=0.5 + 0.1 * number)


def history(client: MlflowClient, key: str) -> list[tuple[int, float]]:
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    points = client.get_metric_history(run.info.run_id, key)
    return [(point.step, pytest.approx(point.value)) for point in points]


def test_the_final_numbers_of_the_rounds_are_one_curve(
    tracked_run: Any, send: Callable[..., MLflowSession], client: MlflowClient
) -> None:
    write_record(tracked_run)
    tracked_run.append("run-started", name="toy", run=tracked_run.folder.name, stages=[])
    end(tracked_run, "sft", "model", loss=9.0)
    for number in (1, 2):
        write_round(tracked_run, number)
    send()
    # The process was killed, and the next one sends all events again.
    write_round(tracked_run, 3)
    send()
    assert history(client, "rounds/win: win rate") == [(1, 0.6), (2, 0.7), (3, 0.8)]
    assert history(client, "rounds/kto: KL") == [(1, 2.0), (2, 4.0), (3, 6.0)]
    assert history(client, "answer/win rate") == [(0, 0.8)]
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    rounds = {key for key in run.data.metrics if key.startswith("rounds/")}
    assert rounds == {"rounds/win: win rate", "rounds/kto: KL", "rounds/kto: loss"}


def test_a_constant_and_the_last_value_of_a_curve_are_no_curves_over_rounds() -> None:
    assert round_key("kto", "model", "steps") is None
    assert round_key("kto", "model", "train/loss") is None
    assert round_key("answers", "samples", "len") == "rounds/answers: median length"
