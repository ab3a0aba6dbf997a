"""The files of a run that MLflow shows, and their form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from halo_core.feedback import Prompt
from halo_core.redact import redact
from halo_core.workspace.check_values import check_product
from halo_core.workspace.formats import LineFile
from halo_core.workspace.records import (
    FEEDBACK,
    RESOLVED_SPEC,
    SAMPLES,
    SPEC,
    VERDICTS,
    SampleLine,
    stage_done,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

LineT = TypeVar("LineT", bound=Mapping[str, Any])

TABLE = "samples.json"
TABLE_ROWS = 1000
_COLUMNS = ("prompt", "completion", "target", "tokens", "finish", "prompt_id")
_PRODUCTS = {"samples": SAMPLES.name, "verdicts": VERDICTS.name, "feedback": FEEDBACK.name}
_ENVIRONMENT = ("command", "versions", "components", "data")


class Artifacts:
    """Sends files of one run. Sending a file again replaces it.

    Args:
        client: A client of the store.
        run_id: MLflow's id of the run.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self._run_id = run_id

    def spec(self, run: Path, record: Mapping[str, Any]) -> None:
        """Sends the spec as given and resolved, without credentials, and `env.json`."""
        for name in (SPEC, RESOLVED_SPEC):
            if (run / name).exists():
                self._text(name, redact((run / name).read_text(encoding="utf-8")))
        environment = {key: record[key] for key in _ENVIRONMENT if key in record}
        self._text("env.json", redact(json.dumps(environment, indent=2, ensure_ascii=False)))

    def product(
        self, folder: Path, stage: str, product: str, count: int | None, *, plain: bool
    ) -> None:
        """Sends a stage's samples, verdicts or feedback.

        Args:
            folder: The stage's folder.
            stage: Its id.
            product: The stage's product. Models are not sent here.
            count: Number of lines that the stage wrote; None if it is not known.
            plain: Whether runs are compared by this stage. If so, its file is at the top level, and
                its samples become the run's table. Other files are under ``stages/<id>/``.
        """
        name = _PRODUCTS.get(product)
        if name is None or not (folder / name).exists():
            return
        self.file(folder / name, None if plain else f"stages/{stage}")
        if plain and product == "samples":
            self._table(finished_lines(SAMPLES, folder, count))

    def file(self, path: Path, folder: str | None = None) -> None:
        """Sends a file of the run, if it exists."""
        if path.exists():
            self._client.log_artifact(self._run_id, str(path), folder)

    def folder(self, path: Path, name: str) -> None:
        """Sends a whole folder under a name."""
        self._client.log_artifacts(self._run_id, str(path), name)

    def _text(self, name: str, text: str) -> None:
        self._client.log_text(self._run_id, text, name)

    def _table(self, samples: Sequence[SampleLine]) -> None:
        """Sends all samples in MLflow's table format. MLflow's own function would append them."""
        rows = [_row(sample) for sample in samples[:TABLE_ROWS]]
        table = {"columns": list(_COLUMNS), "data": rows}
        self._text(TABLE, json.dumps(table, ensure_ascii=False))
        tag = json.dumps([{"path": TABLE, "type": "table"}])
        self._client.set_tag(self._run_id, "mlflow.loggedArtifacts", tag)


def finished_lines(file: LineFile[LineT], folder: Path, count: int | None) -> list[LineT]:
    """Returns all lines that a stage wrote, unless another run is recomputing the stage right now.

    Args:
        file: The file to read.
        folder: The stage's folder.
        count: Number of lines that the stage wrote; None if it is not known.

    Raises:
        DataError: When a line is damaged, or the file is not as the stage wrote it.
    """
    path = folder / file.name
    if stage_done(folder) is None:
        return list(file.read(path))
    lines = file.read_finished(path, count)
    check_product(folder, file.name)
    return lines


def prompt_text(prompt: Prompt) -> str:
    """Returns a prompt as text: a single message without its role, several with their roles.

    >>> prompt_text([{"role": "user", "content": "Hello"}])
    'Hello'
    """
    if len(prompt) == 1:
        return prompt[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in prompt)


def _row(sample: SampleLine) -> list[Any]:
    return [prompt_text(sample["prompt"]), *(sample.get(name) for name in _COLUMNS[1:])]
