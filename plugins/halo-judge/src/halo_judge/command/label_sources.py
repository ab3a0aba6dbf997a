"""Finds the samples or rows that `halo label` labels, without a spec."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from halo_core.data import DataSource
from halo_core.errors import PathError, UserError, did_you_mean
from halo_core.progress import Progress
from halo_core.rows import DataSet
from halo_core.run.identity import component_identity, digest
from halo_core.spec.resolved import Resolved
from halo_core.stage import StageContext, StopFlag
from halo_core.workspace.layout import Target, Workspace, find
from halo_core.workspace.records import RUN
from halo_judge.files.outputs import OutputRows
from halo_judge.label_stage.candidates import TARGET
from halo_judge.label_stage.options import Label


@dataclass(frozen=True)
class Sources:
    """The sources of the completions.

    Attributes:
        workspace: The workspace for the judge's results and its other files.
        inputs: Files or folders of samples by ``of`` and ``against``, as in a stage.
        data: The rows by ``data``, as in a stage.
        names: The given sources as absolute paths. They identify the work.
        notes: Notes about the rows for the user.
    """

    workspace: Workspace
    inputs: Mapping[str, Path]
    data: Mapping[str, DataSet]
    names: Sequence[str]
    notes: Sequence[str]

    def folder(self, judge: Resolved) -> Path:
        """Returns the folder for a judge's results on these completions."""
        return self.workspace.root / "labels" / digest([component_identity(judge), *self.names])

    def context(self, folder: Path, stop: StopFlag, progress: Progress) -> StageContext:
        """Returns the context in which the stage labels."""
        return StageContext.for_folder(
            folder,
            id_="label",
            inputs=self.inputs,
            data=self.data,
            cache=self.workspace.cache,
            progress=progress,
            stop=stop,
        )


def find_sources(
    stage: Label, workspace: Workspace, out: Path, ignored: Sequence[str] = ()
) -> Sources:
    """Returns the sources that the options name.

    Args:
        stage: The options, including `of`, `against` and `data`.
        workspace: The workspace that contains the runs.
        out: The file for the feedback, which must not be one of the sources.
        ignored: Columns of `data` to ignore.

    Raises:
        PathError: When there are no such samples.
        DataError: When a file of completions cannot be read.
        UserError: When the feedback would overwrite a source, or samples are given twice.
    """
    given = {"of": stage.of, "against": stage.against}
    inputs = {
        option: _samples(name, option, workspace)
        for option, name in given.items()
        if name is not None and name != TARGET
    }
    if len(set(inputs.values())) < len(inputs):
        raise UserError(
            f"{stage.against} is what --of gives too, so no prompt has two completions; give "
            "another, or 'target'",
            location="--against",
        )
    names = [*map(str, inputs.values()), str(stage.against == TARGET)]
    data: dict[str, DataSet] = {}
    notes = [line for path in inputs.values() if path.is_file() for line in _left_out(path)]
    if stage.data is not None:
        file = Path(str(stage.data)).expanduser().resolve()
        try:
            data["data"], notes = _rows(file, workspace, ignored)
        except UserError as error:
            raise UserError(_as_options(error.message), location=error.location) from error
        names.append(str(file))
    if str(out.resolve()) in names:
        raise UserError(f"{out} is what is labelled; expected another file", location="--out")
    return Sources(workspace, inputs, data, names, notes)


def _left_out(path: Path) -> list[str]:
    """Reads a file, and returns one line for each reason for which rows are left out."""
    rows = OutputRows(str(path), tokens=False)
    for _ in rows:
        pass
    return [f"{path.name}: {n} left out: {why}" for why, n in rows.dropped.items()]


def _samples(name: str, option: str, workspace: Workspace) -> Path:
    path = Path(name).expanduser()
    if path.exists():
        return path.resolve()
    if not name.rpartition(":")[0]:
        raise PathError(
            f"no such file or folder: {name}; expected a file of outputs, the folder of a "
            "sampling stage, or RUN:STAGE",
            location=f"--{option}",
        )
    return _stage_of_run(find(name, workspace.root, stages=True), f"--{option}")


def _stage_of_run(target: Target, option: str) -> Path:
    record = RUN.read(target.folder)
    if target.kind != "run" or record is None:
        what = f"{target.folder.name!r} is a suite; name one of its runs"
        raise PathError(what, location=option)
    stages = record.get("stages", [])
    sampling = {stage["id"]: stage["folder"] for stage in stages if stage["product"] == "samples"}
    stage = target.stage or ""
    if stage not in sampling:
        raise PathError(
            f"the run {target.folder.name} has no sampling stage {stage!r}."
            f"{did_you_mean(stage, sampling)} It has {', '.join(sampling) or 'none'}",
            location=option,
        )
    return target.workspace / sampling[stage]


def _rows(file: Path, workspace: Workspace, ignored: Sequence[str]) -> tuple[DataSet, list[str]]:
    from halo_core.plugins.discovery import discover
    from halo_core.run.materialise import materialise_set
    from halo_core.run.unread import unread_lines
    from halo_core.spec.data_sets import resolve_set
    from halo_core.spec.document import Document
    from halo_core.spec.mistakes import Mistakes
    from halo_core.spec.resolver import Resolver

    mistakes = Mistakes(Document("--data", Path.cwd(), {}))
    resolver = Resolver(discover(), mistakes)
    value: dict[str, Any] = {"use": "jsonl", "path": str(file)}
    if ignored:
        value["ignore_columns"] = list(dict.fromkeys(ignored))
    resolved = resolver.resolve("data", value, ())
    if resolved is not None:
        # Nothing is trained here, so a file with any name is read.
        value["split"] = cast(DataSource, resolved.component).inspect().splits[0]
    data_set = resolve_set(resolver, file.name, value, ())
    if data_set is None:
        raise mistakes.errors[0]
    (rows,) = materialise_set(data_set, workspace)
    reasons = ", ".join(f"{n} {reason}" for reason, n in rows.dropped.items())
    notes = [f"{file.name}: {rows.count} rows, dropped {reasons}"] if reasons else []
    unread = map(_as_options, unread_lines(rows.ignored, rows.passed_over))
    notes += [f"{file.name}: {line}" for line in unread]
    return DataSet(file.name, rows.feedback, [rows.file]), notes


_READ_IT = re.compile(r"Read (it|them) with columns: .*?, or ignore \1 with ")
_IGNORE = re.compile(r"ignore_columns: \[([^\]]*)\]")


def _as_options(message: str) -> str:
    """Rewrites advice about the source's options as advice about the command's options.

    >>> _as_options("ignore it with ignore_columns: [rating, stars]. Words")
    'ignore it with --ignore-column rating --ignore-column stars. Words'
    """
    # The rows get their feedback from the judge, so none of their columns is a label.
    message = _READ_IT.sub(r"Ignore \1 with ", message)
    message = _IGNORE.sub(
        lambda found: " ".join(f"--ignore-column {name}" for name in found[1].split(", ")), message
    )
    return message.replace("ignore_columns", "--ignore-column")
