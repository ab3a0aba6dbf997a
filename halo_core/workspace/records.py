"""All files that halo keeps on disk: their names, their fields, and how to read and write them.

A file with one object per line is a `LineFile`, a file with one object an `ObjectFile`. The version
of a line is in ``v``, that of an object in ``schema``. Older files without it are version 1.
Plugins use the same readers: ``SAMPLES.read(folder / SAMPLES.name)``, ``RUN.read(folder)``.
"""

# This file must not use `from __future__ import annotations`: Python would then not see NotRequired
# and would treat every field as required.

from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from halo_core.feedback import Feedback, Prompt
from halo_core.workspace.formats import LineFile, ObjectFile

SPEC, RESOLVED_SPEC = "spec.yaml", "spec.resolved.yaml"
"""Files in a run's folder: the spec as given, and the spec with every default written out."""
SUITE_SPEC = "suite.yaml"
"""File in a suite's folder: the spec with the matrix, as given."""
ROWS = "rows.arrow"
"""File in a folder below `data/`: the rows of a source."""

Finish = Literal["stop", "length"]

AGAIN = "Compute its stage again: halo run SPEC --again STAGE"


class SamplingOptions(TypedDict):
    """How the tokens of a completion were drawn from a model's distribution."""

    temperature: float
    """Divisor of the logits. 0 takes the most probable token."""
    top_p: float
    """Sum of the probabilities of the tokens that were drawn from. 1 for all tokens."""
    top_k: int
    """Number of the most probable tokens that were drawn from. 0 for all tokens."""


class SampleLine(TypedDict):
    """A line of `samples.jsonl`: a prompt and the completion of a model."""

    v: NotRequired[int]
    """Version of the line."""
    prompt_id: str
    """Id of the prompt, made from its messages and tools (`halo_core.prompt_id`)."""
    prompt: Prompt
    """Messages before the completion."""
    completion: str
    """Text of the model, including control tokens."""
    tokens: int
    """Length of the completion in tokens."""
    completion_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the completion's message, if sampling separates them from its text."""
    target: NotRequired[str | None]
    """Demonstrated, chosen or desirable completion in the data; null if it has no text."""
    target_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the target's message: tool_calls and so on."""
    target_tokens: NotRequired[int | None]
    """Length of the target in tokens."""
    token_ids: NotRequired[list[int] | None]
    """Token ids of the completion; null if a server gave only the text."""
    token_logps: NotRequired[list[float] | None]
    """Log-probability of each token id under the model in nats, before temperature and top_p.
    If the finish is "stop", one more for the token that ended the completion."""
    sampling_options: NotRequired[SamplingOptions | None]
    """How the tokens were drawn; null if it is not known. An older halo wrote none."""
    finish: NotRequired[Finish]
    """Why the completion ended: "stop" if by itself, "length" if at the maximum length."""
    tokenizer: NotRequired[str | None]
    """Digest of the tokenizer that made the token ids."""
    template: NotRequired[str | None]
    """Digest of the chat template and of all else that decides how the prompt is rendered."""
    tools: NotRequired[list[dict[str, Any]] | None]
    """Tools that the prompt offers."""


class OrderVerdict(TypedDict):
    """Verdict of the judge for one order of the two texts."""

    order: Literal["AB", "BA"]
    """Order of the texts: in AB the completion is shown first."""
    winner: Literal["A", "B", "tie"] | None
    """Text that the judge preferred. A is the text shown first. Null if the judge failed."""
    reason: str
    """Words of the judge, or why it failed."""
    preference: NotRequired[float]
    """Probability that A is better, between 0 and 1, if the judge gives one."""
    calls: NotRequired[int]
    """Number of paid requests."""
    cost: NotRequired[float]
    """Cost of these requests in dollars, if the price is known."""


class VerdictLine(TypedDict):
    """A line of `verdicts.jsonl`: a completion compared with a baseline, in one order or both."""

    v: NotRequired[int]
    """Version of the line."""
    prompt_id: str
    """Id of the prompt, made from its messages and tools."""
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
    """Verdict for each order; empty if both texts are the same."""
    tokens: NotRequired[int | None]
    """Length of the completion in tokens, if known."""
    baseline_tokens: NotRequired[int | None]
    """Length of the baseline in tokens, if known."""
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
    """Id of the completion with its prompt."""
    completion: str
    """Text that is scored."""
    score: float | None
    """Score of the judge; null if the judge failed."""
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
    """Id of the row. Default: the number of the line."""
    prompt: NotRequired[Prompt]
    """Messages before the completions, for every kind of feedback but text."""
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
    """Scores of the completions. Higher is better."""
    text: NotRequired[str]
    """Raw text, for feedback of the kind text."""
    tools: NotRequired[list[dict[str, Any]] | None]
    """Tools that the prompt offers."""
    tokenizer: NotRequired[str | None]
    """Digest of the tokenizer that made the token ids."""
    template: NotRequired[str | None]
    """Digest of the chat template that the completions were sampled with."""
    completion_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the completion's message: tool_calls and so on."""
    completion_token_ids: NotRequired[list[int] | None]
    """Token ids of the completion, as sampled."""
    completion_token_logps: NotRequired[list[float] | None]
    """The sampler's log-probability of each token of the completion, nats."""
    completion_sampling: NotRequired[SamplingOptions | None]
    """How the tokens of the completion were drawn."""
    finish: NotRequired[Finish | None]
    """Why the completion ended: "stop" if by itself, "length" if at the maximum length."""
    chosen_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the better completion's message: tool_calls and so on."""
    chosen_token_ids: NotRequired[list[int] | None]
    """Token ids of the better completion, as sampled."""
    chosen_token_logps: NotRequired[list[float] | None]
    """The sampler's log-probability of each token of the better completion, nats."""
    chosen_sampling: NotRequired[SamplingOptions | None]
    """How the tokens of the better completion were drawn."""
    chosen_finish: NotRequired[Finish | None]
    """Why the better completion ended: "stop" if by itself, "length" if at the maximum length."""
    rejected_fields: NotRequired[dict[str, Any] | None]
    """Further fields of the worse completion's message: tool_calls and so on."""
    rejected_token_ids: NotRequired[list[int] | None]
    """Token ids of the worse completion, as sampled."""
    rejected_token_logps: NotRequired[list[float] | None]
    """The sampler's log-probability of each token of the worse completion, nats."""
    rejected_sampling: NotRequired[SamplingOptions | None]
    """How the tokens of the worse completion were drawn."""
    rejected_finish: NotRequired[Finish | None]
    """Why the worse completion ended: "stop" if by itself, "length" if at the maximum length."""
    completions_fields: NotRequired[list[dict[str, Any] | None] | None]
    """Further fields of the message of each completion."""
    completions_token_ids: NotRequired[list[list[int] | None] | None]
    """Token ids of each completion."""
    completions_token_logps: NotRequired[list[list[float] | None] | None]
    """The sampler's log-probability of each token of each completion, nats."""
    completions_sampling: NotRequired[list[SamplingOptions | None] | None]
    """How the tokens of each completion were drawn."""
    finishes: NotRequired[list[Finish | None] | None]
    """Why each completion ended: "stop" or "length"."""


class EventLine(TypedDict):
    """A line of `events.jsonl`: an event of a stage or a run.

    `halo_core.events` lists the further fields of each type. A run's file also contains the events
    of its stages. Those of a stage from the store are replayed with ``"cached": true``.
    """

    v: NotRequired[int]
    """Version of the line."""
    time: float
    """Time in Unix seconds."""
    type: str
    """Type of the event."""
    stage: NotRequired[str | None]
    """Id of the event's stage; null for a warning of the run."""
    step: NotRequired[int]
    """Training step, counted from 1."""
    metrics: NotRequired[dict[str, float]]
    """Numbers by name."""


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


class FileCheck(TypedDict):
    """Check value of a file, which shows whether it is still as written."""

    sha256: str
    """Hash of its bytes."""
    size: int
    """Number of its bytes."""


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


class CheckedRecord(TypedDict):
    """`checked.json`: size and time of each file in a folder when it was last checked."""

    schema: NotRequired[int]
    """Version of the file."""
    files: dict[str, list[int]]
    """Size and modification time in nanoseconds, by path."""


class ReferenceStoreRecord(TypedDict):
    """`store.json` in a folder below `cache/reference/`: what the stored log-probabilities are of.

    Next to it are the segments, which are safetensors files.
    """

    schema: NotRequired[int]
    """Version of the file."""
    model: str
    """Folder or hub id of the reference, as the first training named it."""
    depends_on: dict[str, Any]
    """All that the values depend on and that is known before the reference is loaded."""
    computed: dict[str, Any]
    """How the reference computes, as found when it was loaded."""


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


class CheckpointRecord(TypedDict):
    """`state.json` in a checkpoint's folder: the progress of a training at a step."""

    schema: NotRequired[int]
    """Version of the file."""
    step: int
    """Number of optimiser steps done."""
    tokens: int
    """Number of tokens computed so far."""
    estimator: dict[str, float]
    """State of the reference point's estimator."""
    window: dict[str, list[float]]
    """Sum and count of each metric since metrics were last logged."""
    first_loss: float | None
    """First logged loss; null if none was logged."""
    last: dict[str, float]
    """Latest value of each curve."""
    score: NotRequired[float | None]
    """Loss on the first evaluation set at this step; null if it was not measured."""
    micro_batch_tokens: NotRequired[int]
    """Largest number of tokens of a micro-batch at this step. An older halo wrote none."""
    micro_batch_option: NotRequired[int | str]
    """The option `micro_batch_tokens` that it comes from."""
    files: NotRequired[dict[str, FileCheck]]
    """Check values of the checkpoint's other files; none from an older halo."""
    processes: NotRequired[int]
    """Number of processes that computed the step. An older halo wrote none."""


class SavedPiece(TypedDict):
    """A block of a tensor that one process wrote into its file of a checkpoint."""

    file: str
    """Name of the file."""
    offset: list[int]
    """First position of the block on each axis of the whole tensor."""
    shape: list[int]
    """Size of the block on each axis."""


class SavedTensor(TypedDict):
    """A tensor of a checkpoint, which several processes wrote."""

    shape: list[int]
    """Shape of the whole tensor."""
    pieces: list[SavedPiece]
    """Blocks that make up the tensor."""


class ShardRecord(TypedDict):
    """`shard.json`, while a checkpoint is written: the part of a process is on the disk.

    The finished checkpoint has its content in `shards.json` and `state.json`.
    """

    schema: NotRequired[int]
    """Version of the file."""
    file: str
    """Name of the process's file."""
    check: FileCheck
    """Check value of the file."""
    tensors: dict[str, SavedTensor]
    """Tensors in the file, each with one piece."""


class ShardsRecord(TypedDict):
    """`shards.json` in a checkpoint whose tensors were spread over the processes of a training."""

    schema: NotRequired[int]
    """Version of the file."""
    processes: int
    """Number of processes, each of which wrote a file."""
    tensors: dict[str, SavedTensor]
    """All tensors by name: `weights/...`, `optimizer/...` and `reference/...`."""
    texts: dict[str, str]
    """Step and age of a reference that changes; empty if there is none."""


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


class DataRecord(TypedDict):
    """`data.json` next to the rows of a source."""

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
    """Number of dropped rows by reason."""
    held_elsewhere: int
    """Number of rows on the other side of a hold-out."""
    digest: str
    """Hash of the rows."""
    ignored_columns: NotRequired[dict[str, int]]
    """Number of rows with a value, by column that is not read."""
    files: NotRequired[dict[str, FileCheck]]
    """Check values of the file of rows; none from an older halo."""


class JoinRecord(TypedDict):
    """`join.json` in `.join/` of a run's folder, while the run uses several machines.

    Only the user who runs it can read it.
    """

    schema: NotRequired[int]
    """Version of the file."""
    host: str
    """Name or address of the machine of `halo run`."""
    port: int
    """Port on which it waits for other machines."""
    token: str
    """Secret of this run, with which they show that they share the workspace."""


class OwnerRecord(TypedDict):
    """`owner.json` in the folder of a run or a stage: the process that is writing there now.

    It is valid only while this process holds the folder's lock.
    """

    schema: NotRequired[int]
    """Version of the file."""
    host: str
    """Name of the machine."""
    process: int
    """Id of the process there."""
    since: float
    """Start of the process in Unix seconds."""


class TitleRecord(TypedDict):
    """`title.json` in the folder of a run or suite: its title from `halo runs rename`, its note."""

    schema: NotRequired[int]
    """Version of the file."""
    title: str
    """Title that people gave, which takes precedence over that of `run.json`; may be empty."""
    note: str
    """Text about the run; empty if there is none."""


class TrashRecord(TypedDict):
    """`trash.json` in a folder below `trash/`: what is being removed. It is written first.

    If the process is killed, the next `halo runs rm` or `halo runs gc` ends its work.
    """

    schema: NotRequired[int]
    """Version of the file."""
    time: float
    """Start of the removal in Unix seconds."""
    folders: list[str]
    """Files and folders to remove, relative to the workspace; first runs, then what they used."""


class TrackingRecord(TypedDict):
    """`tracking.json` in a run's folder: the position of each tracker in the events."""

    schema: NotRequired[int]
    """Version of the file."""
    offsets: dict[str, int]
    """Position in bytes after the last event that each tracker took."""


class ModelRecord(TypedDict):
    """`halo.json` in a model's folder: how prompts for the model are made."""

    schema: NotRequired[int]
    """Version of the file."""
    prompt_suffix: str | None
    """Control token that ends every prompt; null for an ordinary model."""
    control_tokens: list[str]
    """All control tokens that the model was trained with."""
    score_at: NotRequired[Literal["completion-end"]]
    """Position at which the score of a reward model is read."""
    template_date: NotRequired[str]
    """Date that was given to the chat template, if it asks for one."""
    content_tokens: NotRequired[list[str]]
    """Added tokens that occurred in the content that the model was trained on. A leading `-` marks
    those that did not occur."""
    chat_template: NotRequired[bool]
    """Whether a chat template was saved with the model, so that a missing one is an error."""


RUN = ObjectFile("run.json", RunRecord, "The halo run that wrote it writes it again")
STAGE = ObjectFile("stage.json", StageRecord, AGAIN)
DONE = ObjectFile("done.json", DoneRecord, "Remove it; the same command computes the stage again")
CHECKED = ObjectFile("checked.json", CheckedRecord, "Remove it; the files are read again")
CHECKPOINT = ObjectFile(
    "state.json",
    CheckpointRecord,
    "Start the run again: it continues from the checkpoint before",
)
SHARD = ObjectFile("shard.json", ShardRecord, CHECKPOINT.mend)
SHARDS = ObjectFile("shards.json", ShardsRecord, CHECKPOINT.mend)
REFERENCE_STORE = ObjectFile(
    "store.json",
    ReferenceStoreRecord,
    "Remove it; the reference is loaded again",
)
ERROR = ObjectFile("error.json", ErrorRecord, "Remove it")
SUITE = ObjectFile("suite.json", SuiteRecord, "Remove it; halo run SUITE writes it again")
DATA = ObjectFile("data.json", DataRecord, "Remove it; the rows are read again")
TITLE = ObjectFile("title.json", TitleRecord, "Remove it; the run is shown by its folder's name")
TRASH = ObjectFile("trash.json", TrashRecord, "Remove the folder that contains it")
OWNER = ObjectFile("owner.json", OwnerRecord, "Remove it")
JOIN = ObjectFile("join.json", JoinRecord, "Remove it; the next run writes it again")
TRACKING = ObjectFile("tracking.json", TrackingRecord, "Remove it; all events are sent again")
MODEL = ObjectFile(
    "halo.json",
    ModelRecord,
    "Remove it; the model is then asked without a control token",
    checks_itself=False,
)


def stage_done(folder: Path) -> DoneRecord | None:
    """Returns the record of a finished stage; None if the stage is not finished."""
    return DONE.read(folder)
