"""Three steps of a real training with a loss or a reference point, in a process of its own.

The model has a few thousand weights. The rows are those of the data source ``toy``. A rule of the
test kit sees one call of a loss; this run sees how the trainer, the estimator and the loss work
together.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from halo_core.check.rule import NotHereError
from halo_core.component import Component
from halo_core.errors import HaloError
from halo_core.feedback import Feedback
from halo_core.loss import Loss
from halo_core.plugins.discovery import discover
from halo_core.plugins.local_file import FILE_PREFIX
from halo_core.plugins.registrar import Registration
from halo_core.process_end import how_ended
from halo_core.testing.processes.patience import Patience

SECONDS = 120
"""Limit of the run, which takes less than ten seconds on a quiet machine."""

NEEDED = (("stage", "train"), ("stage", "scratch"), ("data", "toy"), ("loss", "kto"))
"""The built-in components that the run uses."""


def check_training(component: Component, registration: Registration) -> None:
    """Runs three steps of a tiny training.

    Args:
        component: A loss or a reference point.
        registration: Its registration.

    Raises:
        NotHereError: When the plugins that the run needs are not installed, or the toy world has no
            rows of the loss's feedback.
        AssertionError: When the run fails.
    """
    check_needed()
    with tempfile.TemporaryDirectory() as folder:
        process = start(Path(folder), tiny_spec(component, registration), registration)
        check_done(process, "a training of three steps failed")


def start(
    folder: Path,
    spec: Mapping[str, Any],
    registration: Registration,
    *,
    last_step: int | None = None,
) -> subprocess.Popen[str]:
    """Starts `halo run` with the workspace ``FOLDER/runs``.

    Args:
        folder: A folder for the spec and the workspace.
        spec: The spec.
        registration: The registration of the component, whose file the spec may name.
        last_step: The step after which the training kills itself; None for no step.
    """
    file = folder / "tiny.yaml"
    file.write_text(json.dumps(spec), "utf-8")
    module = ["halo_core.cli"]
    if last_step is not None:
        module = ["halo_core.check.killed_run", str(last_step)]
    command = [sys.executable, "-m", *module, "run", str(file), "--json"]
    command += ["--workspace", str(folder / "runs")]
    if registration.target.startswith(FILE_PREFIX):
        command += ["--allow-file", str(Path(registration.origin).parent)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
    )


def check_done(process: subprocess.Popen[str], what: str) -> None:
    """Waits for a training.

    Args:
        process: Its process.
        what: The beginning of the message if it fails.

    Raises:
        AssertionError: When it fails, or takes more than `SECONDS`.
    """
    if failure := failure_of(process):
        raise AssertionError(f"{what}: {failure}")


def failure_of(process: subprocess.Popen[str]) -> str:
    """Waits for a training, and returns its errors; an empty text if it did not fail.

    Raises:
        AssertionError: When it takes more than `SECONDS`.
    """
    try:
        out, err = _outputs(process)
    finally:
        process.kill()
        process.wait()  # Its folder is removed next.
    return _reason(process.returncode, out, err) if process.returncode else ""


def _outputs(process: subprocess.Popen[str]) -> tuple[str, str]:
    patience = Patience(SECONDS, process.pid)
    while (left := patience.left()) > 0:
        with suppress(subprocess.TimeoutExpired):  # The output so far is not lost.
            return process.communicate(timeout=left)
    raise AssertionError(f"a training with a tiny model took more than {SECONDS} s; expected a few")


def tiny_spec(component: Component, registration: Registration, **options: Any) -> dict[str, Any]:
    """Returns the spec of the training.

    Args:
        component: A loss or a reference point.
        registration: Its registration.
        options: Further options of the stage.

    Raises:
        NotHereError: When the toy world has no rows of the loss's feedback, or an option holds
            another component.
    """
    held = [name for name, value in component if isinstance(value, Component)]
    if held:
        raise NotHereError(
            f"the option {held[0]!r} holds another component, whose name in a spec is unknown here"
        )
    name = registration.target
    if not name.startswith(FILE_PREFIX):
        name = discover().written(registration)
    used = {"use": name, **component.model_dump(mode="json", by_alias=True)}
    chosen: dict[str, Any] = {"steps": 3, **options}
    if isinstance(component, Loss):
        chosen["loss"] = used
        feedback: Feedback = component.resolved_feedback()
        if "reference_samples" in component.needed():
            raise NotHereError("its training needs samples of the reference")
    else:
        feedback = "binary"
        chosen |= {"loss": "kto", "reference_point": used}
        if getattr(component, "observes", None) == "pair":
            feedback = "paired"
    if feedback == "scored":
        raise NotHereError("the toy world has no scored rows")
    return {
        "name": "tiny",
        "seed": 1,
        "model": {
            "scratch": {
                "data": "corpus",
                "vocab_size": 300,
                "config": {
                    "hidden_size": 16,
                    "intermediate_size": 24,
                    "num_hidden_layers": 1,
                    "num_attention_heads": 2,
                    "max_position_embeddings": 256,
                    "tie_word_embeddings": True,
                },
            }
        },
        "data": {
            "corpus": {"use": "toy", "feedback": "text", "size": 30},
            "rows": {"use": "toy", "feedback": feedback, "size": 12},
        },
        "stages": {"tiny": {"use": "train", "data": "rows", "batch_size": 4, **chosen}},
        "tracking": [],
        "reports": [],
    }


def check_needed() -> None:
    """Checks that the components are installed that the training uses.

    Raises:
        NotHereError: When one is not.
    """
    registry = discover()
    for kind, name in NEEDED:
        try:
            registry.find(kind, name)
        except HaloError as error:
            raise NotHereError(f"a tiny training cannot run: {error.message}") from error


def _reason(code: int, out: str, err: str) -> str:
    """Returns the errors that `halo run --json` printed, each with its place."""
    try:
        answer = json.loads(out)
        errors = answer.get("errors") or [answer["error"]]
        return "; ".join(
            f"{each['location']}: {each['message']}" if each["location"] else each["message"]
            for each in errors
        )
    except (ValueError, KeyError, TypeError):
        lines = (err or out).strip().splitlines()
        return f"it {how_ended(code)}: {lines[-1] if lines else 'it printed nothing'}"
