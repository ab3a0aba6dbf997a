"""Sends metrics, parameters and tags in batches, and leaves out only the items MLflow rejects."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from halo_core.redact import one_line
from halo_core.tracker import StartOver
from halo_mlflow.store.store import http_status

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from mlflow.exceptions import MlflowException

# MLflow rejects more than 1000 metrics, or 100 parameters or tags, in one request.
METRICS_AT_ONCE = 1000
TEXTS_AT_ONCE = 50
LONGEST_TAG = 5000
_REJECTED = (400, 413, 422)
_INVALID = "INVALID_PARAMETER_VALUE"
"""MLflow's code for an item that it will never take. Its databases answer 400 to any trouble."""
DOUBTS = 5
"""Number of times that an item is sent if MLflow rejects it without calling it invalid."""

TRIES = 3
"""Number of times that a file or another single thing is sent."""
PAUSE_S = 0.5
"""Seconds between them."""
_BUSY = (408, 429)

log = logging.getLogger("halo_mlflow")


class Sender:
    """Sends data to one MLflow run.

    Args:
        client: A client of the store.
        run_id: MLflow's id of the run.

    Attributes:
        left_out: Number of points, parameters and tags that MLflow will not take.
        missing: Names of needed files and other things that could not be sent.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self._run_id = run_id
        self._doubts: Counter[Any] = Counter()
        self.left_out = 0
        self.missing: set[str] = set()

    def metrics(self, metrics: Sequence[Metric]) -> None:
        """Sends points of curves and final numbers."""
        self._in_batches("metrics", metrics, METRICS_AT_ONCE)

    def params(self, params: Mapping[str, str]) -> None:
        """Sends parameters. A parameter that already has another value keeps that value."""
        from mlflow.entities import Param

        self._in_batches("params", [Param(k, v) for k, v in params.items()], TEXTS_AT_ONCE)

    def tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags."""
        from mlflow.entities import RunTag

        texts = [RunTag(key, value[:LONGEST_TAG]) for key, value in tags.items()]
        self._in_batches("tags", texts, TEXTS_AT_ONCE)

    def best_effort(self, what: str, call: Callable[[], Any], *, needed: bool = False) -> None:
        """Makes a call that may fail. A failure that may pass is tried again; others are logged.

        Args:
            what: The thing that is sent, for the message.
            call: Sends it. A second call must not send it twice.
            needed: Whether the MLflow run is incomplete without it.

        Raises:
            Exception: When the store cannot be reached at all, so that everything is tried again.
        """
        for left in reversed(range(TRIES)):
            try:
                call()
            except Exception as error:
                self._client.get_run(self._run_id)
                if left and _may_pass(error):
                    time.sleep(PAUSE_S)
                    continue
                log.warning("mlflow: %s could not be sent: %s", what, one_line(error))
                if needed:
                    self.missing.add(what)
            else:
                self.missing.discard(what)
            return

    def _in_batches(self, kind: str, items: Sequence[Any], size: int) -> None:
        for start in range(0, len(items), size):
            self._send(kind, items[start : start + size])

    def _send(self, kind: str, items: Sequence[Any]) -> None:
        from mlflow.exceptions import MlflowException

        arguments: dict[str, Iterable[Any]] = {kind: items}
        try:
            self._client.log_batch(self._run_id, synchronous=True, **arguments)  # type: ignore[arg-type]
        except MlflowException as error:
            if http_status(error) not in _REJECTED:
                raise
            # MLflow accepts a whole batch or nothing, so halving finds the items that it rejects.
            if len(items) == 1:
                self._reject(items[0], error)
                return
            middle = len(items) // 2
            self._send(kind, items[:middle])
            self._send(kind, items[middle:])

    def _reject(self, item: Any, error: MlflowException) -> None:
        """Leaves out an item that MLflow will not take.

        Raises:
            MlflowException: When it may take the item later.
            StartOver: When the run was deleted, so that MLflow takes nothing at all.
        """
        if self._client.get_run(self._run_id).info.lifecycle_stage != "active":
            raise StartOver from error
        name = (item.key, getattr(item, "step", None))
        self._doubts[name] += 1
        if error.error_code != _INVALID and self._doubts[name] < DOUBTS:
            raise error
        self.left_out += 1
        log.warning("mlflow: %s is left out: %s", item.key, one_line(error))


def _may_pass(error: Exception) -> bool:
    """Returns whether an error is one of a connection or of a server in trouble."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return http_status(error) >= 500 or http_status(error) in _BUSY
    return isinstance(error, OSError)
