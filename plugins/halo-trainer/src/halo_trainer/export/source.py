"""The stage whose model is exported: found, finished, and with files as they were written."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from os import W_OK, access
from pathlib import Path

from halo_core.errors import BusyError, DataError, ModelError, PathError, UserError
from halo_core.workspace.check_values import damages
from halo_core.workspace.find_model import MODEL_FOLDER, find_model
from halo_core.workspace.layout import Workspace
from halo_core.workspace.lock import unused
from halo_core.workspace.records import RUN, DoneRecord, RunRecord, RunStage, stage_done
from halo_trainer.model.lora import ADAPTER


@dataclass(frozen=True)
class ExportSource:
    """A finished stage with a model, and the run that it belongs to.

    Attributes:
        run: The run's folder.
        record: The run's record.
        stage: The stage's entry in the record.
        done: The record of the finished stage.
    """

    run: Path
    record: RunRecord
    stage: RunStage
    done: DoneRecord

    @property
    def id(self) -> str:
        """The stage's id in the spec."""
        return self.stage["id"]

    @property
    def workspace(self) -> Workspace:
        """The workspace of the run."""
        return Workspace(workspace_of(self.run))

    @property
    def folder(self) -> Path:
        """The stage's folder."""
        return self.stage_folder(self.stage)

    @property
    def model(self) -> Path:
        """The folder of the model."""
        return self.folder / MODEL_FOLDER

    @property
    def adapter(self) -> Path:
        """The folder of the adapter. It exists only if low-rank factors were trained."""
        return self.model / ADAPTER

    def stage_folder(self, stage: RunStage) -> Path:
        """Returns the folder of any stage of the run."""
        return self.workspace.root / stage["folder"]


def find_source(text: str, workspace: Path) -> ExportSource:
    """Returns the finished stage that ``RUN`` or ``RUN:STAGE`` refers to.

    Without a stage, it is the last one of the run that has made a model.

    Args:
        text: A run's folder, its name, or the beginning of its name; perhaps with a stage.
        workspace: The workspace to search for names.

    Raises:
        PathError: When there is no such run or stage, or the stage is not done.
        UserError: When it is a model's folder, outside of a run.
        DataError: When a record of the run cannot be read.
        BusyError: When another process removes the stage's output at this moment.
    """
    found = find_model(text, workspace)
    if found.run is None or found.stage is None:
        raise UserError(
            "this is a model's folder, so the data and results for its card are not known; "
            "expected a run of the workspace: RUN or RUN:STAGE",
            location=text,
        )
    record, done = RUN.read(found.run), stage_done(workspace_of(found.run) / found.stage["folder"])
    if record is None or done is None:  # find_model has just read both.
        raise BusyError("another process is changing this run; try again", location=text)
    return ExportSource(found.run, record, found.stage, done)


def workspace_of(run: Path) -> Path:
    """Returns the folder of a run's workspace."""
    return run.parent.parent


@contextmanager
def checked_model(source: ExportSource) -> Iterator[bool]:
    """Checks the files of a stage's model, and keeps them from being computed again meanwhile.

    Yields:
        Whether the files were compared with check values. An older halo wrote none.

    Raises:
        BusyError: When the stage is being computed again.
        DataError: When a file is not as it was written.
        ModelError: When there is no model.
        PathError: When a file cannot be read.
    """
    # A workspace that cannot be written to is not written to by others of this user either, and
    # has no room for a lock.
    lock = (
        unused(source.folder, "another run computes this stage; wait for it, or stop it")
        if access(source.folder.parent, W_OK)
        else nullcontext()
    )
    with lock:
        checks = source.done.get("files", {})
        try:
            found = damages(source.folder, checks)
        except OSError as error:
            raise PathError(
                f"cannot be read: {error.strerror or error}; expected files that you may read. An "
                "older halo let only the owner read the weights. The owner changes that with: "
                f"chmod -R a+rX {shlex.quote(str(source.model))}",
                location=str(error.filename or source.model),
            ) from error
        bad = {name: what for name, what in found.items() if name.startswith(f"{MODEL_FOLDER}/")}
        if bad:
            name, what = next(iter(bad.items()))
            more = f", and {len(bad) - 1} more files are damaged" if len(bad) > 1 else ""
            raise DataError(
                f"{what}{more}; expected the model as it was written. Run the same halo run again: "
                "it computes a damaged stage again",
                location=str(source.folder / name),
            )
        if not (source.model / "config.json").is_file():
            raise ModelError(
                "there is no config.json here; expected a model as transformers saves it. This "
                f"stage ({source.stage['use']}) saves another form, which cannot be exported",
                location=str(source.model),
            )
        yield bool(checks)
