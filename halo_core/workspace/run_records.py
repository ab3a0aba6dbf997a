"""Records of runs, stages and suites."""

# This file must not use `from __future__ import annotations`: Python would then not see NotRequired
# and would treat every field as required.

from typing import Any, Literal, NotRequired, TypedDict

from halo_core.feedback import Feedback
from halo_core.workspace.folder_records import FileCheck


class ComponentRecord(TypedDict):
    """Record of a component: its name, its options and its exact origin."""

    kind: str
    """Kind of component: loss, data, judge, stage and so on."""
    name: str
    """Full name of the component."""
    distribution: str
    """Distribution that contains the component."""
    version: str
    """Version of the distribution."""
    origin: str
    """File that contains the component."""
    source: str
    """Hash of the source."""
    options: dict[str, Any]
    """Options of the component, with every default written out."""


class RunStage(TypedDict):
    """A stage in `run.json`."""

    id: str
    """Id in the spec."""
    use: str
    """Full name of the component."""
    folder: str
    """Folder of its output, relative to the workspace."""
    key: str
    """Hash that names the output."""
    product: str
    """Kind of output: model, samples, verdicts, feedback, or another."""
    models: NotRequired[dict[str, str]]
    """Stage that the model comes from, by option."""
    inputs: NotRequired[dict[str, str]]
    """Stage that the samples come from, by option."""
    feedback: NotRequired[list[str]]
    """Stages whose feedback is in the data."""
    loss: NotRequired[str | None]
    """Name of the loss that the stage trains with."""
    roles: NotRequired[dict[str, str]]
    """Role of each option: start, learn, test or rival; for a component its kind."""
    round: NotRequired[int]
    """Number of its round, from 1; missing outside of rounds."""
    repeats: NotRequired[str]
    """Id in the spec of the stage that rounds repeat: kto for kto-2."""


class RunCell(TypedDict):
    """A run's cell in a suite, in `run.json`."""

    folder: str
    """Folder of the suite, relative to the workspace."""
    cell: str
    """Id of the cell."""
    axes: dict[str, str]
    """Name of the cell's value on each axis."""


class RunRecord(TypedDict):
    """`run.json` in a run's folder: what was run, by what, and on what."""

    schema: NotRequired[int]
    """Version of the file."""
    name: NotRequired[str]
    """Name of the run and of its folder."""
    title: NotRequired[str]
    """Name of the run for people, which says what varies (`halo_core.workspace.run_title`)."""
    recipe: NotRequired[str]
    """Name of the spec, or of the suite."""
    suite: NotRequired[RunCell | None]
    """Cell in a suite; null for a run outside of a suite."""
    seed: NotRequired[int]
    """Seed of all stages."""
    command: NotRequired[list[str]]
    """Command line that wrote the file."""
    stages: NotRequired[list[RunStage]]
    """Stages in their order."""
    data: NotRequired[dict[str, list[dict[str, Any]]]]
    """Identities of the sources of each data set."""
    tracking: NotRequired[list[dict[str, Any]]]
    """Trackers with their options, as in a spec."""
    trackers: NotRequired[dict[str, dict[str, Any]]]
    """Description of each tracker: label, url, ui, links, and keys of its own."""
    components: NotRequired[list[ComponentRecord]]
    """All components that the run used."""
    versions: NotRequired[dict[str, str]]
    """Versions of Python and of the requirements of the used plugins; not part of an identity."""
    files: NotRequired[dict[str, FileCheck]]
    """Check values of the spec and the resolved spec; none from an older halo."""


class StageDataRecord(TypedDict):
    """A data set of a stage, in `stage.json`."""

    name: str
    """Name in the spec."""
    feedback: Feedback
    """Kind of the rows."""
    files: list[str]
    """Arrow files."""


class StageRecord(TypedDict):
    """`stage.json` in a stage's folder: its instructions, with all inputs resolved."""

    schema: NotRequired[int]
    """Version of the file."""
    id: str
    """Id in the spec."""
    key: str
    """Hash that names the output."""
    seed: int
    """Seed of the spec."""
    stage: dict[str, Any]
    """Component with its options, as in a spec."""
    models: dict[str, dict[str, Any]]
    """Models by option (`halo_core.ModelInput`)."""
    inputs: dict[str, str]
    """Folders of stages by option."""
    data: dict[str, StageDataRecord]
    """Data sets by option."""
    cache: str
    """Folder of files that can be computed again."""
    events: str
    """File of the run's events."""
    identity: dict[str, Any]
    """Identity of the stage. Its hash is the key."""
    components: NotRequired[list[ComponentRecord]]
    """Component of the stage and all components inside it."""


class DoneRecord(TypedDict):
    """`done.json` in a stage's folder. It is written last, when the output is complete."""

    schema: NotRequired[int]
    """Version of the file."""
    metrics: dict[str, float]
    """Final numbers."""
    headline: str
    """One sentence for the summary."""
    files: NotRequired[dict[str, FileCheck]]
    """Check values of each file of the stage, by path. An older halo wrote none."""


class WorkerRecord(TypedDict):
    """A worker that failed, in `error.json`, if a stage has several."""

    rank: int
    """Its rank, from 0."""
    processes: int
    """Number of workers."""
    host: str
    """Name of its machine."""
    process: int
    """Id of its process there."""
    signal: int | None
    """Signal that ended it; null if it ended by itself."""
    place: str | None
    """File and line of its code at that moment; null if they are not known."""


class ErrorRecord(TypedDict):
    """`error.json` in a stage's folder, and the error of a cell in `suite.json`."""

    schema: NotRequired[int]
    """Version of the file."""
    type: str | None
    """Name of the error's class."""
    message: str | None
    """Message: what went wrong, what was expected and what to do."""
    location: str | None
    """Place of the error."""
    exit_code: NotRequired[int]
    """Exit code of the worker that wrote it."""
    traceback: NotRequired[str]
    """Python traceback."""
    worker: NotRequired[WorkerRecord]
    """The worker, if there are several."""


class SuiteCell(TypedDict):
    """A cell in `suite.json`."""

    id: str
    """Names of the cell's values on all axes, joined by slashes."""
    axes: dict[str, str]
    """Name of the cell's value on each axis."""
    run: str | None
    """Folder of the cell's run, relative to the workspace; null if it was not started."""
    status: Literal["pending", "computed", "cached", "failed", "interrupted"]
    """Status of the cell. It is also pending while it runs."""
    error: ErrorRecord | None
    """Error of the cell; null if there is none."""


class SuiteRecord(TypedDict):
    """`suite.json` in a suite's folder: the status of each cell."""

    schema: NotRequired[int]
    """Version of the file."""
    name: str
    """Name of the suite."""
    axes: dict[str, list[str]]
    """Names of the values of each axis."""
    trackers: NotRequired[dict[str, dict[str, Any]]]
    """Description of each tracker: label, url, ui, links, and keys of its own."""
    cells: list[SuiteCell]
    """Cells in their order."""
