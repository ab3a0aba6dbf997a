"""Turns a run's events into one MLflow run. Handling an event twice changes nothing.

The run's `mlflow.json` records what was sent: the MLflow run's id, and the last step of each curve.
So a resumed run continues the same MLflow run, and `halo sync` adds what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from halo_core.errors import HaloError
from halo_core.events import Event, read_events
from halo_core.redact import one_line
from halo_core.tracker import StartOver, TrackerSession
from halo_core.workspace.records import EVENTS
from halo_mlflow.runs.lifecycle import (
    STATUS,
    create_run,
    experiment_id,
    is_missing,
    is_there,
    leave_incomplete,
    mark_dead_runs,
)
from halo_mlflow.runs.lost_record import filter_of_run, found_again
from halo_mlflow.runs.run_facts import RunFacts
from halo_mlflow.runs.suite_parent import SuiteParent
from halo_mlflow.runs.twins import remove_twins
from halo_mlflow.runs.writer import RunWriter
from halo_mlflow.store.credentials import advice, check_environment
from halo_mlflow.store.links import about_store, run_link, run_links
from halo_mlflow.store.metric_keys import VERSION
from halo_mlflow.store.state import STATE_FILE, RunState, load_state, save_state
from halo_mlflow.store.store import connect, settled_store
from halo_mlflow.view.saved_view import VIEW

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from halo_mlflow.options import MLflow

HEARTBEAT_S = 30.0


class MLflowSession(TrackerSession):
    """Sends one run to MLflow. It connects when it first receives events.

    Args:
        options: The tracker's options.
        run: The run's folder.
        workspace: The workspace.
        clock: Returns the time in seconds, for heartbeats.
    """

    def __init__(
        self,
        options: MLflow,
        run: Path,
        workspace: Path,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._options = options
        self._facts = RunFacts(run.resolve(), workspace.resolve())
        self._store = settled_store(options.uri, workspace)
        self._here = Path.cwd()
        self._clock = clock
        self._state = load_state(self._state_file, self._store.shown)
        self._client: MlflowClient | None = None
        self._writer: RunWriter | None = None
        self._beat_s = 0.0

    def handle(self, events: Sequence[Event]) -> None:
        """Sends the events. Without events it only reports that the run is alive.

        Raises:
            HaloError: When the store cannot be reached or does not accept the run.
            StartOver: When the store has nothing of the run yet, and these are not the run's first
                events.
        """
        try:
            self._handle(events)
        except HaloError:
            raise
        except StartOver:
            self._writer = None  # Its run may be deleted.
            raise
        except Exception as error:
            if self._has_lost(error):
                self._writer = None
                if events and events[0] != self._beginning():
                    raise StartOver from None
            # The cause is left out, because its text may contain the URI's password.
            message = f"{one_line(error)}{advice(error)}"
            raise HaloError(message, location=self._store.shown) from None

    def describe(self) -> Mapping[str, object]:
        """Returns the run's page, further `links`, the store, and MLflow's ids for the run."""
        state, store = self._state, self._store
        about = about_store(store, self._facts.workspace)
        view = VIEW if state.view else None
        if state.run_id is None or state.experiment_id is None:
            return about
        return {
            **about,
            "url": run_link(store, state.experiment_id, state.run_id, view),
            "links": run_links(
                store, state.experiment_id, state.run_id, traced=bool(state.traced), view=view
            ),
            "run_id": state.run_id,
            "experiment_id": state.experiment_id,
        }

    def leave(self, status: str, reason: str) -> None:
        """Ends the MLflow run with the status of the run, and says that it is incomplete."""
        client, run_id = self._client, self._state.run_id
        if client is None or run_id is None:
            return
        self._state.incomplete = True
        leave_incomplete(client, run_id, status, self._clock(), reason)
        self._state.status = STATUS.get(status, "FAILED")
        self._save()

    def close(self) -> None:
        """Saves how much was sent."""
        if self._writer is not None:
            self._save()

    @property
    def _state_file(self) -> Path:
        return self._facts.folder / STATE_FILE

    def _handle(self, events: Sequence[Event]) -> None:
        if not events and self._writer is None:
            return
        writer = self._writer or self._open(events[0])
        writer.discard()
        for event in events:
            writer.take(event)
        writer.flush()
        self._heartbeat(writer)
        if any(event["type"] == "run-ended" for event in events):
            self._remove_twins()
        self._save()

    def _open(self, first: Event) -> RunWriter:
        """Connects, and finds or creates the MLflow run."""
        check_environment(self._options.uri, self._facts.folder)
        client = self._client or connect(self._store, timeout_s=self._options.timeout_s)
        self._client = client
        known = self._state.run_id is not None and is_there(client, self._state.run_id)
        if not known:
            self._create(client, first)
        run_id, experiment = self._state.run_id, self._state.experiment_id
        assert run_id is not None
        assert experiment is not None
        writer = RunWriter(client, run_id, self._facts, self._state, self._options, self._store)
        if (known or self._state.last_steps) and first == self._beginning():
            writer.compare()
        self._remove_twins()
        writer.sender.best_effort(
            "the end of dead runs", lambda: mark_dead_runs(client, experiment, run_id)
        )
        self._writer = writer
        return writer

    def _has_lost(self, error: Exception) -> bool:
        """Returns whether the store no longer has the run, as a new server with an empty one.

        If that is not known, because the store does not answer now, it counts as not lost.
        """
        client, run_id = self._client, self._state.run_id
        if self._writer is None or client is None or run_id is None or not is_missing(error):
            return False
        try:
            return not is_there(client, run_id)
        except Exception:
            return False

    def _create(self, client: MlflowClient, first: Event) -> None:
        self._state = RunState(keys=VERSION, unanswered=self._state.unanswered)
        if first != self._beginning():
            raise StartOver
        recipe = self._facts.recipe
        name = self._options.experiment or f"halo/{recipe}"
        # Before an experiment is made: a renamed one may have the run, and no empty one is left.
        again = found_again(client, self._facts, first["time"], name)
        if again is None:
            parent, experiment = self._parent(client) or (
                None,
                experiment_id(client, name, recipe, self._store),
            )
            # If it was deleted, it is restored now, with its runs.
            again = found_again(client, self._facts, first["time"], name)
        if again is not None:
            again.unanswered = self._state.unanswered
            self._state = again
            self._save()
            return
        self._state.unanswered += 1
        self._save()
        run_id = create_run(client, experiment, self._facts, first["time"], self._here, parent)
        self._state.experiment_id, self._state.run_id = experiment, run_id
        self._state.unanswered -= 1
        self._save()

    def _remove_twins(self) -> None:
        """Removes an empty run that the store made late, if it ever owed an answer."""
        client, run_id, experiment = self._client, self._state.run_id, self._state.experiment_id
        if not self._state.unanswered or client is None or run_id is None or experiment is None:
            return
        filter_ = filter_of_run(self._facts, self._beginning()["time"])
        remove_twins(client, (experiment, run_id), filter_, self._facts.folder)

    def _beginning(self) -> Event:
        event, _ = next(read_events(self._facts.folder / EVENTS.name))
        return event

    def _parent(self, client: MlflowClient) -> tuple[str, str] | None:
        """Returns MLflow's ids of the suite's run and of its experiment; None without a suite.

        The run is created if needed. Its experiment may have been renamed.
        """
        suite = self._facts.suite
        if suite is None or not suite.is_dir():
            return None
        return SuiteParent(self._options, suite, self._facts.workspace).find(client)

    def _heartbeat(self, writer: RunWriter) -> None:
        now = self._clock()
        if now - self._beat_s >= HEARTBEAT_S:
            self._beat_s = now
            writer.sender.tags({"halo.heartbeat": str(int(now))})

    def _save(self) -> None:
        if self._writer is not None:
            sender = self._writer.sender
            self._state.left_out, self._state.missing = sender.left_out, sorted(sender.missing)
        save_state(self._state_file, self._store.shown, self._state)
