"""Records of models: checkpoints, stored log-probabilities, and how to prompt a model."""

# This file must not use `from __future__ import annotations`: Python would then not see NotRequired
# and would treat every field as required.

from typing import Any, Literal, NotRequired, TypedDict

from halo_core.workspace.folder_records import FileCheck


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
