"""Which files of a run are shown in MLflow, and how."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from halo_core.feedback import Prompt
from halo_core.redact import redact
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
    """Sends files of one run; sending again replaces them.

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
            product: What it makes; models are not sent here.
            count: How many lines it wrote; None where it did not say.
            plain: Whether it is the stage that the run is compared by: its file lies at the top,
                and its samples become the run's table. Others lie under ``stages/<id>/``.
        """
        name = _PRODUCTS.get(product)
        if name is None or not (folder / name).exists():
            return
        self.file(folder / name, None if plain else f"stages/{stage}")
        if plain and product == "samples":
            self._table(finished_lines(SAMPLES, folder, count))

    def file(self, path: Path, folder: str | None = None) -> None:
        """Sends a file of the run, if it is there."""
        if path.exists():
            self._client.log_artifact(self._run_id, str(path), folder)

    def folder(self, path: Path, name: str) -> None:
        """Sends a whole folder under a name."""
        self._client.log_artifacts(self._run_id, str(path), name)

    def _text(self, name: str, text: str) -> None:
        self._client.log_text(self._run_id, text, name)

    def _table(self, samples: Sequence[SampleLine]) -> None:
        """Sends samples as MLflow's table format, whole: its own function would append."""
        rows = [_row(sample) for sample in samples[:TABLE_ROWS]]
        table = {"columns": list(_COLUMNS), "data": rows}
        self._text(TABLE, json.dumps(table, ensure_ascii=False))
        tag = json.dumps([{"path": TABLE, "type": "table"}])
        self._client.set_tag(self._run_id, "mlflow.loggedArtifacts", tag)


def finished_lines(file: LineFile[LineT], folder: Path, count: int | None) -> list[LineT]:
    """Returns what a stage wrote: all of it, but where another run computes it again right now.

    Args:
        file: Which of its files.
        folder: The stage's folder.
        count: How many lines it wrote; None where it did not say.

    Raises:
        DataError: When a line is damaged, or the file holds more or fewer.
    """
    path = folder / file.name
    if stage_done(folder) is None:
        return list(file.read(path))
    return file.read_finished(path, count)


def prompt_text(prompt: Prompt) -> str:
    """Returns a prompt as text: a single message plainly, several with their roles.

    >>> prompt_text([{"role": "user", "content": "Hello"}])
    'Hello'
    """
    if len(prompt) == 1:
        return prompt[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in prompt)


def _row(sample: SampleLine) -> list[Any]:
    return [prompt_text(sample["prompt"]), *(sample.get(name) for name in _COLUMNS[1:])]
