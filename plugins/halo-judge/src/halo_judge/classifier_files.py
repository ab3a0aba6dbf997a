"""Loads a sequence classifier of transformers with its tokenizer, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from halo_core.errors import ModelError, UserError
from halo_core.stage import ModelInput

NOTES = "halo.json"
"""What a model that was trained with halo says of itself."""
JUDGE = "the judge reward-model"


@dataclass(frozen=True)
class Classifier:
    """A loaded classifier.

    Attributes:
        network: In evaluation mode.
        tokenizer: Its tokenizer.
        notes: What `NOTES` in its folder says; empty for one that was made elsewhere.
    """

    network: Any
    tokenizer: Any
    notes: dict[str, Any]


def load_classifier(model: ModelInput, *, dtype: torch.dtype, device: torch.device) -> Classifier:
    """Returns a classifier.

    Args:
        model: A folder or a hub id.
        dtype: Of the weights.
        device: Where the weights go.

    Raises:
        ModelError: When it cannot be had, is no sequence classifier, or lacks weights.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    given = {"revision": model.revision, "trust_remote_code": False}
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # Its report of missing weights: the error below says it.
    try:
        network, report = _guarded(
            model,
            lambda: AutoModelForSequenceClassification.from_pretrained(
                model.path, dtype=dtype, use_safetensors=True, output_loading_info=True, **given
            ),
        )
    finally:
        logging.set_verbosity(verbosity)
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{len(missing)} weights are missing, among them {missing[0]!r}: it is no sequence "
            "classifier. Expected a model with a head that scores, such as a train stage with "
            "loss: bradley-terry makes",
            location=model.path,
        )
    tokenizer = _guarded(model, lambda: AutoTokenizer.from_pretrained(model.path, **given))
    return Classifier(network.to(device).eval(), tokenizer, _notes(model))


def pick_device(option: str) -> torch.device:
    """Returns the device that an option means; auto is a GPU where there is one.

    Raises:
        UserError: When a GPU is asked for and torch sees none.
    """
    there = torch.cuda.is_available()
    if option == "cuda" and not there:
        raise UserError(
            "device is cuda, but torch sees no GPU; expected auto or cpu", location=JUDGE
        )
    return torch.device("cuda" if there and option != "cpu" else "cpu")


def pick_dtype(option: str, device: torch.device) -> torch.dtype:
    """Returns the type of the weights; auto is bfloat16 on a GPU that has it, else float32."""
    if option != "auto":
        return torch.bfloat16 if option == "bfloat16" else torch.float32
    reduced = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if reduced else torch.float32


def _notes(model: ModelInput) -> dict[str, Any]:
    from transformers.utils import cached_file

    file = cached_file(
        model.path,
        NOTES,
        revision=model.revision,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if file is None:
        return {}
    try:
        found: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{NOTES} is no JSON: {error}", location=model.path) from error
    return found


def _guarded(model: ModelInput, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:
        if model.revision is not None:
            # The text of a hub error may hold an address with credentials.
            raise ModelError(
                f"cannot be had from the hub ({type(error).__name__}). Check the id, the revision "
                f"{model.revision!r}, the network, and for a gated model that you are logged in. "
                "It has to be a sequence classifier in safetensors",
                location=model.path,
            ) from error
        first = (str(error).strip().splitlines() or [""])[0][:300]
        raise ModelError(
            f"cannot be read: {type(error).__name__}: {first}. Expected a folder with a sequence "
            "classifier in safetensors, as transformers' save_pretrained writes it",
            location=model.path,
        ) from error
