"""All that halo keeps on disk: per file its name, its fields, and what reads and writes it.

Files with an object per line are `LineFile`, files with one object `ObjectFile`. A line has its
version in ``v``, an object in ``schema``; older files that lack it are of version 1. Plugins read
these files here, too: ``SAMPLES.read(folder / SAMPLES.name)``, ``RUN.read(folder)``.
"""

# Without `from __future__ import annotations`: with it, Python does not see NotRequired, and would
# take every field for required.

from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from halo_core.feedback import Feedback, Prompt
from halo_core.workspace.formats import LineFile, ObjectFile

SPEC, RESOLVED_SPEC = "spec.yaml", "spec.resolved.yaml"
"""In a run's folder: the spec as it was given, and with every default written out."""
SUITE_SPEC = "suite.yaml"
"""In a suite's folder: the spec with the matrix, as it was given."""
ROWS = "rows.arrow"
"""In a folder below `data/`: the rows of a source."""

Finish = Literal["stop", "length"]

AGAIN = "Compute its stage again: halo run SPEC --again STAGE"


class SampleLine(TypedDict):
    """A line of `samples.jsonl`: a prompt and the completion that a model gave."""

    v: NotRequired[int]
    """Version of the line."""
    prompt_id: str
    """Names the prompt by its messages and tools (`halo_core.prompt_id`)."""
    prompt: Prompt
    """Messages before the completion."""
    completion: str
    """Text of the model, control tokens included."""
    tokens: int
    """Length of the completion in tokens."""
    completion_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the completion's message, where sampling tells them from its text."""
    target: NotRequired[str | None]
    """Demonstrated, chosen or desirable completion of the prompt in the data; null without text."""
    target_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the target's message: tool_calls and so on."""
    target_tokens: NotRequired[int | None]
    """Length of the target in tokens."""
    token_ids: NotRequired[list[int]]
    """Token ids of the completion."""
    finish: NotRequired[Finish]
    """Why the completion ended: "stop" by itself, "length" at the longest length."""
    tokenizer: NotRequired[str | None]
    """Digest of the tokenizer that the token ids are of."""
    template: NotRequired[str | None]
    """Digest of the chat template, and of what else decided how the prompt was rendered."""
    tools: NotRequired[list[dict[str, Any]] | None]
    """Tools that the prompt offers."""


class OrderVerdict(TypedDict):
    """What the judge said when both texts were shown in one order."""

    order: Literal["AB", "BA"]
    """Order of the texts: in AB the completion is shown first."""
    winner: Literal["A", "B", "tie"] | None
    """Text that the judge preferred, A being the one shown first; null where the judge failed."""
    reason: str
    """Words of the judge, or why it failed."""
    preference: NotRequired[float]
    """Certainty that A is better, between 0 and 1, where the judge says one."""
    calls: NotRequired[int]
    """Number of paid requests."""
    cost: NotRequired[float]
    """Dollars that these requests cost, where the price is known."""


class VerdictLine(TypedDict):
    """A line of `verdicts.jsonl`: a completion compared with a baseline, in one order or both."""

    v: NotRequired[int]
    """Version of the line."""
    prompt_id: str
    """Names the prompt by its messages and tools."""
    prompt: Prompt
    """Messages before both texts."""
    completion: str
    """Text that is judged."""
    baseline: str
    """Text that it is compared with."""
    result: Literal["win", "loss", "tie", "unscored"]
    """Result for the completion over all orders."""
    flip: bool
    """Whether the two orders named different texts; the result is then a tie."""
    orders: list[OrderVerdict]
    """Verdicts by order; none where both texts are the same."""
    tokens: NotRequired[int | None]
    """Length of the completion in tokens, where it is known."""
    baseline_tokens: NotRequired[int | None]
    """Length of the baseline in tokens, where it is known."""
    tools: NotRequired[list[dict[str, Any]] | None]
    """Tools that the prompt offers."""
    completion_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the completion's message: tool_calls and so on."""
    baseline_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the baseline's message: tool_calls and so on."""


class ScoreLine(TypedDict):
    """A line of `scores.jsonl`: the score of a completion."""

    v: NotRequired[int]
    """Version of the line."""
    id: str
    """Names the completion with its prompt."""
    completion: str
    """Text that is scored."""
    score: float | None
    """Score of the judge; null where the judge failed."""
    reason: str
    """Words of the judge, or why it failed."""
    cut: bool
    """Whether the text was too long, so that the judge saw a part of it."""
    completion_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the completion's message: tool_calls and so on."""


class FeedbackLine(TypedDict):
    """A line of `feedback.jsonl`: a row of feedback, with the columns of its kind.

    Other columns are allowed and ignored. The data source `jsonl` reads such a file, too.
    """

    v: NotRequired[int]
    """Version of the line."""
    id: NotRequired[str]
    """Names the row; the number of the line where it is left out."""
    prompt: NotRequired[Prompt]
    """Messages before the completions; of every kind but text."""
    completion: NotRequired[str]
    """Completion of a demonstration or of binary feedback."""
    desirable: NotRequired[bool]
    """Label of binary feedback."""
    score: NotRequired[float]
    """Score that the label comes from."""
    chosen: NotRequired[str]
    """Better completion of paired feedback."""
    rejected: NotRequired[str]
    """Worse completion of paired feedback."""
    chosen_score: NotRequired[float]
    """Score of the better completion."""
    rejected_score: NotRequired[float]
    """Score of the worse completion."""
    completions: NotRequired[list[str]]
    """Completions of scored feedback."""
    scores: NotRequired[list[float]]
    """Their scores, higher being better."""
    text: NotRequired[str]
    """Raw text, of the kind text."""
    tools: NotRequired[list[dict[str, Any]] | None]
    """Tools that the prompt offers."""
    tokenizer: NotRequired[str | None]
    """Digest of the tokenizer that the token ids are of."""
    template: NotRequired[str | None]
    """Digest of the chat template that the completions were sampled with."""
    completion_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the completion's message: tool_calls and so on."""
    completion_token_ids: NotRequired[list[int] | None]
    """Token ids of the completion as they were sampled."""
    finish: NotRequired[Finish | None]
    """Why the completion ended: "stop" by itself, "length" at the longest length."""
    chosen_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the better completion's message: tool_calls and so on."""
    chosen_token_ids: NotRequired[list[int] | None]
    """Token ids of the better completion as they were sampled."""
    chosen_finish: NotRequired[Finish | None]
    """Why the better completion ended: "stop" by itself, "length" at the longest length."""
    rejected_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the worse completion's message: tool_calls and so on."""
    rejected_token_ids: NotRequired[list[int] | None]
    """Token ids of the worse completion as they were sampled."""
    rejected_finish: NotRequired[Finish | None]
    """Why the worse completion ended: "stop" by itself, "length" at the longest length."""
    completions_fields: NotRequired[list[dict[str, Any] | None] | None]
    """Further fields of the message of each of the completions."""
    completions_token_ids: NotRequired[list[list[int] | None] | None]
    """Token ids of each of the completions."""
    finishes: NotRequired[list[Finish | None] | None]
    """Why each of the completions ended: "stop" or "length"."""


class EventLine(TypedDict):
    """A line of `events.jsonl`: what a stage or a run did.

    The further fields of each type stand in `halo_core.events`. A run's file holds the events of
    its stages, too; those of a stage that was in the store are replayed with ``"cached": true``.
    """

    v: NotRequired[int]
    """Version of the line."""
    time: float
    """Unix seconds."""
    type: str
    """Type of the event."""
    stage: NotRequired[str | None]
    """Id of the stage that it is about; null for a warning of the run."""
    step: NotRequired[int]
    """Step of the training, from 1."""
    metrics: NotRequired[dict[str, float]]
    """Name to number."""


SAMPLES = LineFile("samples.jsonl", SampleLine, AGAIN)
PARTIAL_SAMPLES = LineFile(
    "samples.partial.jsonl",
    SampleLine,
    "Remove the file; the same command samples again",
    grows=True,
)
VERDICTS = LineFile("verdicts.jsonl", VerdictLine, AGAIN, grows=True)
SCORES = LineFile("scores.jsonl", ScoreLine, AGAIN, grows=True)
FEEDBACK = LineFile("feedback.jsonl", FeedbackLine, AGAIN)
EVENTS = LineFile("events.jsonl", EventLine, "Remove this line, and only this one", grows=True)


class ComponentRecord(TypedDict):
    """What a record says of a component: what it is and exactly where it came from."""

    kind: str
    """Kind of component: loss, data, judge, stage and so on."""
    name: str
    """Its full name."""
    distribution: str
    """Distribution that it belongs to."""
    version: str
    """Version of the distribution."""
    origin: str
    """File that it stands in."""
    source: str
    """Hash of the source."""
    options: dict[str, Any]
    """Its options, every default written out."""


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
    """Option to the stage that its model comes from."""
    inputs: NotRequired[dict[str, str]]
    """Option to the stage that its samples come from."""
    feedback: NotRequired[list[str]]
    """Stages whose feedback is in its data."""
    loss: NotRequired[str | None]
    """Name of the loss that it trains with."""
    roles: NotRequired[dict[str, str]]
    """Option to what the stage does with it: start, learn, test, rival; of a component its kind."""


class RunCell(TypedDict):
    """The place of a run in a suite, in `run.json`."""

    folder: str
    """Folder of the suite, relative to the workspace."""
    cell: str
    """Id of the cell."""
    axes: dict[str, str]
    """Axis to the name of its value."""


class RunRecord(TypedDict):
    """`run.json` in a run's folder: what was run, by what, and on what."""

    schema: NotRequired[int]
    """Version of the file."""
    name: NotRequired[str]
    """Name of the run and of its folder."""
    recipe: NotRequired[str]
    """Name of the spec, or of the suite."""
    suite: NotRequired[RunCell | None]
    """Place in a suite; null for a run of its own."""
    seed: NotRequired[int]
    """Seed of all stages."""
    command: NotRequired[list[str]]
    """Command line that wrote the file."""
    stages: NotRequired[list[RunStage]]
    """Stages in their order."""
    data: NotRequired[dict[str, list[dict[str, Any]]]]
    """Data set to the identities of its sources."""
    tracking: NotRequired[list[dict[str, Any]]]
    """Trackers with their options, as in a spec."""
    trackers: NotRequired[dict[str, dict[str, Any]]]
    """Tracker to what it says of itself: label, url, ui, links, and keys of its own."""
    components: NotRequired[list[ComponentRecord]]
    """All components that were used."""
    versions: NotRequired[dict[str, str]]
    """Versions of Python and of what the used plugins require; not part of an identity."""


class StageDataRecord(TypedDict):
    """A data set that a stage is given, in `stage.json`."""

    name: str
    """Name in the spec."""
    feedback: Feedback
    """Kind of the rows."""
    files: list[str]
    """Arrow files."""


class StageRecord(TypedDict):
    """`stage.json` in a stage's folder: what it is asked to do, all inputs resolved."""

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
    """Option to a model (`halo_core.ModelInput`)."""
    inputs: dict[str, str]
    """Option to the folder of a stage."""
    data: dict[str, StageDataRecord]
    """Option to a data set."""
    cache: str
    """Folder of what can be computed again."""
    events: str
    """File of the run's events."""
    identity: dict[str, Any]
    """Everything that the key is the hash of."""
    components: NotRequired[list[ComponentRecord]]
    """The stage's component and those within it."""


class FileCheck(TypedDict):
    """What tells whether a file is as it was written."""

    sha256: str
    """Hash of its bytes."""
    size: int
    """Number of its bytes."""


class CheckedRecord(TypedDict):
    """`checked.json`: the files of a folder as they were when their hashes were last compared."""

    schema: NotRequired[int]
    """Version of the file."""
    files: dict[str, list[int]]
    """Path to size and time of change, in nanoseconds."""


class DoneRecord(TypedDict):
    """`done.json` in a stage's folder: written last; the output is whole."""

    schema: NotRequired[int]
    """Version of the file."""
    metrics: dict[str, float]
    """Final numbers."""
    headline: str
    """One sentence for the summary."""
    files: NotRequired[dict[str, FileCheck]]
    """Path of each file that the stage left to its check values; none from an older halo."""


class ErrorRecord(TypedDict):
    """`error.json` in a stage's folder, and the error of a cell in `suite.json`."""

    schema: NotRequired[int]
    """Version of the file."""
    type: str | None
    """Name of the error's class."""
    message: str | None
    """What went wrong, what was expected and what to do."""
    location: str | None
    """Where it went wrong."""
    exit_code: NotRequired[int]
    """Exit code of the worker that left it."""
    traceback: NotRequired[str]
    """Traceback of Python."""


class SuiteCell(TypedDict):
    """A cell in `suite.json`."""

    id: str
    """Names of its values on all axes, with slashes between."""
    axes: dict[str, str]
    """Axis to the name of its value."""
    run: str | None
    """Folder of its run, relative to the workspace; null for one that was not begun."""
    status: Literal["pending", "computed", "cached", "failed", "interrupted"]
    """How far it is; pending while it runs, too."""
    error: ErrorRecord | None
    """What went wrong."""


class SuiteRecord(TypedDict):
    """`suite.json` in a suite's folder: how far each cell is."""

    schema: NotRequired[int]
    """Version of the file."""
    name: str
    """Name of the suite."""
    axes: dict[str, list[str]]
    """Axis to the names of its values."""
    trackers: NotRequired[dict[str, dict[str, Any]]]
    """Tracker to what it says of itself: label, url, ui, links, and keys of its own."""
    cells: list[SuiteCell]
    """Cells in their order."""


class DataRecord(TypedDict):
    """`data.json` beside the rows of a source."""

    schema: NotRequired[int]
    """Version of the file."""
    source: dict[str, Any]
    """Source with its options, as in a spec."""
    split: str
    """Split that was read."""
    feedback: Feedback
    """Kind of the rows."""
    rows: int
    """Number of rows."""
    dropped: dict[str, int]
    """Reason to the number of rows that were left out."""
    held_elsewhere: int
    """Number of rows on the other side of a hold-out."""
    digest: str
    """Hash of the rows."""
    ignored_columns: NotRequired[dict[str, int]]
    """Column that is not read to the number of rows that hold something in it."""
    files: NotRequired[dict[str, FileCheck]]
    """Check values of the file of rows; none from an older halo."""


class OwnerRecord(TypedDict):
    """`owner.json` in the folder of a run or a stage: the process that writes there at present.

    It says something only while that process holds the folder's lock.
    """

    schema: NotRequired[int]
    """Version of the file."""
    host: str
    """Name of the machine."""
    process: int
    """Id of the process there."""
    since: float
    """Unix seconds when it began."""


class TrackingRecord(TypedDict):
    """`tracking.json` in a run's folder: how far each tracker has read the events."""

    schema: NotRequired[int]
    """Version of the file."""
    offsets: dict[str, int]
    """Tracker to the byte behind the last event that it took."""


class ModelRecord(TypedDict):
    """`halo.json` in a model's folder: how the model wants to be asked."""

    schema: NotRequired[int]
    """Version of the file."""
    prompt_suffix: str | None
    """Control token that ends every prompt; null for an ordinary model."""
    control_tokens: list[str]
    """All control tokens that the model was trained with."""
    score_at: NotRequired[Literal["completion-end"]]
    """Where the score of a reward model is read."""
    template_date: NotRequired[str]
    """Date that the chat template was told, where it asks for one."""
    content_tokens: NotRequired[list[str]]
    """Added tokens that stood in the content that the model was trained on; with a `-` in front,
    those that did not."""


RUN = ObjectFile("run.json", RunRecord, "The halo run that wrote it writes it again")
STAGE = ObjectFile("stage.json", StageRecord, AGAIN)
DONE = ObjectFile("done.json", DoneRecord, "Remove it; the same command computes the stage again")
CHECKED = ObjectFile("checked.json", CheckedRecord, "Remove it; the files are read again")
ERROR = ObjectFile("error.json", ErrorRecord, "Remove it")
SUITE = ObjectFile("suite.json", SuiteRecord, "Remove it; halo run SUITE writes it again")
DATA = ObjectFile("data.json", DataRecord, "Remove it; the rows are read again")
OWNER = ObjectFile("owner.json", OwnerRecord, "Remove it")
TRACKING = ObjectFile("tracking.json", TrackingRecord, "Remove it; all events are sent again")
MODEL = ObjectFile(
    "halo.json", ModelRecord, "Remove it; the model is then asked without a control token"
)


def stage_done(folder: Path) -> DoneRecord | None:
    """Returns what a finished stage says of itself; None for one that is not finished."""
    return DONE.read(folder)
