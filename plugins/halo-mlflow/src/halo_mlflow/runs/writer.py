"""Writes the events of a run into one MLflow run, one after another."""

from __future__ import annotations

import json
import math
import re
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core.events import Event
from halo_core.redact import redact
from halo_core.workspace.records import EVENTS, VERDICTS
from halo_mlflow.runs.answer_changes import ANSWERS, answers_changed
from halo_mlflow.runs.artifacts import Artifacts, finished_lines
from halo_mlflow.runs.lifecycle import ERROR, INCOMPLETE, STATUS
from halo_mlflow.runs.lost_record import models_of
from halo_mlflow.runs.registered_model import RegisteredSource, register_model
from halo_mlflow.runs.result_tags import result_tags
from halo_mlflow.runs.run_facts import RunFacts, process_tags
from halo_mlflow.runs.sender import METRICS_AT_ONCE, Sender, log
from halo_mlflow.runs.traces import TraceTarget, read_judge, send_verdicts
from halo_mlflow.store import first_metric_keys
from halo_mlflow.store.metric_keys import curve_key, final_key, round_key
from halo_mlflow.store.state import BEFORE_ALL, RunState
from halo_mlflow.store.store import Store
from halo_mlflow.view.experiment_note import write_note
from halo_mlflow.view.saved_view import newest_runs, untested, write_view

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    from halo_mlflow.options import MLflow


class RunWriter:
    """Writes into one MLflow run.

    Args:
        client: A client of the store.
        run_id: MLflow's id of the run.
        facts: The facts in the run's folder.
        state: The record of what the store has, which each written event updates.
        options: The tracker's options.
        store: The store, whose version of MLflow decides whether it gets a saved view.

    Attributes:
        sender: Sends to the same MLflow run.
    """

    def __init__(
        self,
        client: MlflowClient,
        run_id: str,
        facts: RunFacts,
        state: RunState,
        options: MLflow,
        store: Store,
    ) -> None:
        self.sender = Sender(client, run_id)
        self.sender.left_out, self.sender.missing = state.left_out, set(state.missing)
        self._store = store
        self._client = client
        self._run_id = run_id
        self._facts = facts
        self._state = state
        self._options = options
        self._artifacts = Artifacts(client, run_id)
        self._points: list[Metric] = []
        self._steps: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._there: dict[str, array[int]] | None = None
        self._takers: Mapping[str, Callable[[Event], None]] = {
            "run-started": self._run_started,
            "stage-started": self._stage_started,
            "metrics": self._metrics,
            "samples": self._counted,
            "verdicts": self._counted,
            "stage-ended": self._stage_ended,
            "report": self._report,
            "run-ended": self._run_ended,
        }

    def discard(self) -> None:
        """Discards points that are not sent yet. Their events will be written again."""
        self._points, self._steps = [], {}

    def compare(self) -> None:
        """Makes the writer ask the store what it has, and send only what it lacks.

        Call it before the run's first event is sent again. The record of what was sent may be
        wrong: a server may have lost what it had confirmed.
        """
        self._there = {}
        state, run = self._state, self._client.get_run(self._run_id)
        state.last_steps.clear()
        state.registered.clear()
        self.sender.left_out, self.sender.missing = 0, set()
        state.status = run.info.status
        state.failed, state.incomplete = (tag in run.data.tags for tag in (ERROR, INCOMPLETE))
        found = self._client.search_logged_models(
            [run.info.experiment_id], f"source_run_id = '{self._run_id}'"
        )
        there = {str(model.model_id) for model in found}
        state.models = {stage: id_ for stage, id_ in state.models.items() if id_ in there}

    def take(self, event: Event) -> None:
        """Writes one event. Points of curves wait for `flush`."""
        taker = self._takers.get(event["type"])
        if taker is not None:
            taker(event)

    def flush(self) -> None:
        """Sends the points that wait."""
        points, self._points = self._points, []
        steps, self._steps = self._steps, {}
        self.sender.metrics(points)
        self._state.last_steps.update(steps)

    def _run_started(self, event: Event) -> None:
        # MLflow never changes a parameter, and rejects the whole batch if one would change.
        there = self._client.get_run(self._run_id).data.params
        wanted = self._facts.parameters()
        self.sender.params({k: v for k, v in wanted.items() if k not in there})
        self.sender.tags(process_tags(time.time()))
        self.sender.best_effort("the spec", self._send_spec, needed=True)
        self.sender.best_effort("the data sets", self._send_data_sets, needed=True)
        self._write_view(tells=True)
        if self._state.status != STATUS["done"]:
            self._set_running()

    def _stage_started(self, event: Event) -> None:
        # A repeated run that computes nothing stays finished.
        if not event.get("cached") and self._state.status == STATUS["done"]:
            self._set_running()

    def _metrics(self, event: Event) -> None:
        step = int(event["step"])
        for name, value in event["metrics"].items():
            key = self._curve_key(event["stage"], name)
            # MLflow keeps both points of a step that is sent twice, which happens after a resume.
            last = self._steps.get(key, self._state.last_steps.get(key, BEFORE_ALL))
            if step > last:
                self._steps[key] = step
                if not self._is_there(key, step):
                    self._add(key, value, event, step)
        if len(self._points) >= METRICS_AT_ONCE:
            self.flush()

    def _is_there(self, key: str, step: int) -> bool:
        """Returns whether the store has a step of a curve; False if the writer does not compare."""
        if self._there is None:
            return False
        if key not in self._there:
            history = self._client.get_metric_history(self._run_id, key)
            # An array, because a set of the steps of all curves would take much memory.
            self._there[key] = array("q", sorted(point.step for point in history))
        steps = self._there[key]
        place = bisect_left(steps, step)
        return place < len(steps) and steps[place] == step

    def _curve_key(self, stage: str, name: str) -> str:
        if self._state.keys == 1:
            return first_metric_keys.curve_key(self._facts.plain, stage, name)
        known = self._state.curves.setdefault(stage, [])
        if name not in known:
            known.append(name)
        return curve_key(self._facts.plain, stage, name)

    def _final_key(self, stage: str, product: str, name: str) -> str | None:
        plain = self._facts.plain
        if self._state.keys == 1:
            curves = {*self._state.last_steps, *self._steps}
            return first_metric_keys.final_key(plain, stage, product, name, curves)
        return final_key(plain, stage, product, name, self._state.curves.get(stage, ()))

    def _counted(self, event: Event) -> None:
        if isinstance(event.get("count"), int):
            self._counts[event["stage"]] = event["count"]

    def _stage_ended(self, event: Event) -> None:
        stage, product, plain = event["stage"], event.get("product", ""), self._facts.plain
        self._state.headlines[stage] = event.get("headline") or ""
        for name, value in event["metrics"].items():
            key = self._final_key(stage, product, name)
            if key is not None:
                self._add(key, value, event, 0)
            self._add_of_round(stage, product, name, event)
        if self._state.keys > 1:
            self.sender.tags(result_tags(stage, event["metrics"], judged=stage == plain.judge))
        if "folder" in event:
            self.sender.best_effort(
                f"{product} of {stage}", lambda: self._send_product(event), needed=True
            )

    def _add_of_round(self, stage: str, product: str, name: str, event: Event) -> None:
        """Adds a final number of a stage of rounds to the number's curve over the rounds."""
        number, repeats = self._facts.rounds.get(stage, (0, ""))
        key = round_key(repeats, product, name) if number else None
        # MLflow would keep both points of a round that is sent twice.
        if key is not None and number > self._steps.get(key, self._state.last_steps.get(key, 0)):
            self._steps[key] = number
            self._add(key, event["metrics"][name], event, number)

    def _report(self, event: Event) -> None:
        path = self._facts.folder / event["path"]
        self.sender.best_effort("the report", lambda: self._artifacts.file(path), needed=True)

    def _run_ended(self, event: Event) -> None:
        self.flush()
        events = self._facts.folder / EVENTS.name
        self.sender.best_effort(
            "the events", lambda: self._artifacts.file(events, "logs"), needed=True
        )
        headline = event.get("headline") or ""
        self.sender.tags({"mlflow.note.content": self._facts.note(headline, self._state.headlines)})
        self._set_error(event.get("error"))
        self.sender.best_effort("the name", self._rename)
        self.sender.best_effort("how the answers changed", self._send_changes, needed=True)
        self._set_complete()
        self._write_view()
        status = STATUS.get(event["status"], "FAILED")
        if not self._state.status == status == STATUS["done"]:
            self._client.set_terminated(self._run_id, status, end_time=milliseconds(event))
            self._state.status = status

    def _write_view(self, *, tells: bool = False) -> None:
        """Writes the saved view and the note of the experiment, from its runs so far."""
        if self._state.keys == 1:
            return
        self._state.view = False
        self.sender.best_effort("the saved view", lambda: self._try_view(tells))

    def _try_view(self, tells: bool) -> None:
        experiment = self._state.experiment_id or ""
        runs = newest_runs(self._client, experiment)
        write_note(self._client, experiment, self._facts.recipe, runs)
        reason = untested(self._client, self._store)
        if reason is None:
            write_view(self._client, experiment, runs)
            self._state.view = True
        elif tells:
            log.warning("mlflow: %s", reason)

    def _send_changes(self) -> None:
        if changes := answers_changed(self._facts):
            self.sender.tags({ANSWERS: changes})

    def _rename(self) -> None:
        """Gives the MLflow run the name that people gave to the run, if they did."""
        name = self._facts.given_name
        if name and self._client.get_run(self._run_id).info.run_name != name:
            self._client.update_run(self._run_id, name=name)

    def _set_running(self) -> None:
        self._client.update_run(self._run_id, status="RUNNING")
        self._state.status = "RUNNING"

    def _set_error(self, error: str | None) -> None:
        if error:
            self.sender.tags({ERROR: redact(error)})
        elif self._state.failed:
            self.sender.best_effort(
                "the end of an error",
                lambda: self._client.delete_tag(self._run_id, ERROR),
            )
        self._state.failed = bool(error)

    def _set_complete(self) -> None:
        missing = sorted(self.sender.missing)
        left_out = self.sender.left_out + len(missing)
        if left_out:
            names = f" ({', '.join(missing)})" if missing else ""
            self.sender.tags(
                {
                    INCOMPLETE: f"MLflow did not take {left_out} of its items{names}; the log of "
                    f"the run names them, and halo sync {self._facts.folder.name} sends them again"
                }
            )
        elif self._state.incomplete or INCOMPLETE in self._client.get_run(self._run_id).data.tags:
            self._client.delete_tag(self._run_id, INCOMPLETE)
        self._state.incomplete = bool(left_out)

    def _add(self, key: str, value: Any, event: Event, step: int) -> None:
        from mlflow.entities import Metric

        # MLflow would store an infinite number as 1.8e308.
        if isinstance(value, int | float) and math.isfinite(value):
            self._points.append(Metric(key, float(value), milliseconds(event), step))

    def _send_spec(self) -> None:
        self._artifacts.spec(self._facts.folder, self._facts.tree)

    def _send_data_sets(self) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = [
            DatasetInput(
                Dataset(
                    name=f"{name}/{source['component']['use']}",
                    digest=digest,
                    source_type="code",
                    source=redact(json.dumps({"tags": source})),
                ),
                [InputTag("mlflow.data.context", name)],
            )
            for name, digest, source in self._facts.data_sets()
        ]
        if inputs:
            self._client.log_inputs(self._run_id, inputs)

    def _send_product(self, event: Event) -> None:
        stage, product = event["stage"], event["product"]
        folder = self._facts.workspace / event["folder"]
        plain, count = self._facts.plain, self._counts.get(stage)
        if product == "model":
            self._send_model(stage, event)
        else:
            self._artifacts.product(
                folder, stage, product, count, plain=stage in (plain.judge, plain.sample)
            )
        if stage == plain.judge and self._options.verdict_traces:
            self._send_traces(folder, stage, event)

    def _send_traces(self, folder: Path, stage: str, event: Event) -> None:
        if not (folder / VERDICTS.name).exists():
            return
        verdicts = finished_lines(VERDICTS, folder, self._counts.get(stage))
        target = TraceTarget(
            uri=self._client.tracking_uri,
            experiment=self._state.experiment_id or "",
            run_id=self._run_id,
            stage=stage,
            time_s=milliseconds(event) / 1000,
            judge=read_judge(folder, event["metrics"]),
        )
        send_verdicts(target, verdicts, self._options.verdict_traces)
        if stage not in self._state.traced:
            self._state.traced.append(stage)

    def _send_model(self, stage: str, event: Event) -> None:
        folder = self._facts.workspace / event["folder"] / "model"
        if stage not in self._state.models:
            self._state.models[stage] = self._logged_model(stage, folder)
        if self._options.upload_models and stage == self._facts.plain.method:
            self._artifacts.folder(folder, "model")
        name = self._options.register_model
        if name is not None and stage == self._facts.plain.method:
            self._register(name, stage)

    def _logged_model(self, stage: str, folder: Path) -> str:
        """Returns MLflow's id of a stage's model, which is made and linked to the run if needed.

        Each step looks at what is there, because a server may have done what it did not confirm.
        """
        from mlflow.entities import LoggedModelOutput

        experiment = self._state.experiment_id or ""
        model = models_of(self._client, experiment, self._run_id).get(stage)
        if model is None:
            made = self._client.create_logged_model(
                experiment,
                name=re.sub(r"[^\w-]", "_", f"{self._facts.run_name}-{stage}"),
                source_run_id=self._run_id,
                tags={
                    "halo.folder": str(folder),
                    "halo.stage": stage,
                    "mlflow.model.isExternal": "true",
                },
                model_type="halo",
            )
            model = str(made.model_id)
        self._client.finalize_logged_model(model, "READY")
        outputs = self._client.get_run(self._run_id).outputs
        if model not in {output.model_id for output in (outputs.model_outputs if outputs else ())}:
            self._client.log_outputs(self._run_id, [LoggedModelOutput(model, 0)])
        return model

    def _register(self, name: str, stage: str) -> None:
        """Makes a stage's model the next version of a registered model, once."""
        if name in self._state.registered:
            return
        self._state.registered[name] = register_model(
            self._client,
            name,
            RegisteredSource(
                run_id=self._run_id,
                model_id=self._state.models[stage],
                tags={"halo.run": self._facts.run_name, "halo.stage": stage},
                description=self._state.headlines.get(stage, ""),
            ),
        )


def milliseconds(event: Event) -> int:
    """Returns the time of an event; for a cached stage, the time when it was first computed."""
    return int(event.get("at", event["time"]) * 1000)
