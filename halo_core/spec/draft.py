"""Drafts a first spec from three answers: the model, the data and the method."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, cast

from halo_core.data import DataInfo, DataSource
from halo_core.errors import HaloError, UserError
from halo_core.feedback import Feedback
from halo_core.guarded.blame import blaming
from halo_core.loss import Loss
from halo_core.plugins.registrar import Registration
from halo_core.plugins.registry import Registry, import_target
from halo_core.spec.base_model import HUB_NAME
from halo_core.spec.document import Document, parse_value
from halo_core.spec.inserted import base_model_stages, only_needed_option
from halo_core.spec.mistakes import Mistakes, unknown_name
from halo_core.spec.resolver import Resolver

NEW = "new"
"""The answer for a small new model."""
_PLAIN = re.compile(r"[A-Za-z0-9_./@+-]+")


@dataclass(frozen=True)
class DraftData:
    """The data of a draft.

    Attributes:
        name: A short name, for the name of the run.
        written: The source as written in the spec, without its split.
        info: The source's description of itself.
    """

    name: str
    written: str
    info: DataInfo

    @property
    def feedback(self) -> Feedback | None:
        """The kind of feedback of its rows."""
        return self.info.feedback


def draft_model(answer: str, folder: Path, registry: Registry) -> str:
    """Returns the value of ``model:`` for an answer.

    A file is read by the stage that is called as the name of the file ends, such as ``gguf``.

    Args:
        answer: A folder, a GGUF file, an id on the hub, or `NEW`.
        folder: The folder of the spec, which paths in it are relative to.
        registry: The installed components.

    Raises:
        UserError: When the answer is none of these.
    """
    if answer == NEW:
        return _NEW_MODEL
    path = Path(answer).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            problem = "this folder has no config.json; expected a folder saved by transformers"
            raise UserError(problem, location=f"--model {answer}")
        return f" {{path: {_text(_relative(path, folder))}}}"
    ending = path.suffix.removeprefix(".").lower()
    if path.exists() and ending in _file_readers(registry):
        return f" {{{ending}: {_text(_relative(path, folder))}}}"
    if path.exists():
        problem = (
            "this is a file; expected a folder with a model, an id on the hub, or a file that ends "
            f"in {_endings(registry)}"
        )
        raise UserError(problem, location=f"--model {answer}")
    if HUB_NAME.fullmatch(answer) and not answer.startswith("."):
        return f" {{hub: {_text(answer)}}}"
    raise UserError(
        f"got {answer!r}; expected a folder with a model, a file that ends in "
        f"{_endings(registry)}, an id on the hub (owner/name), or {NEW}",
        location=f"--model {answer}",
    )


def _file_readers(registry: Registry) -> list[str]:
    """Returns the stages that make a model from one file: ``model: {gguf: FILE}``."""
    stages = base_model_stages(registry)
    return [name for name in stages if only_needed_option(registry, name) is not None]


def _endings(registry: Registry) -> str:
    return ", ".join(f".{name}" for name in _file_readers(registry))


def draft_data(answer: str, folder: Path, registry: Registry) -> DraftData:
    """Returns the data for an answer.

    Args:
        answer: A file, a folder, the name of a data source, or an id on the hub.
        folder: The folder of the spec, which paths in it are relative to.
        registry: The installed components.

    Raises:
        UserError: When the answer is none of these, or the data have mistakes.
    """
    path = Path(answer).expanduser()
    if path.exists():
        options: dict[str, str] = {"use": "files", "path": _relative(path, folder)}
    elif answer in registry.names("data"):
        options = {"use": answer}
    elif HUB_NAME.fullmatch(answer) and not answer.startswith(".") and not path.suffix:
        options = {"use": "hub", "id": answer}
    else:
        unknown = unknown_name("data source", answer, _sources(registry))
        raise UserError(f"no such file or folder, and {unknown}", location=f"--data {answer}")
    written = "use: " + ", ".join(
        f"{'' if key == 'use' else f'{key}: '}{_text(value)}" for key, value in options.items()
    )
    info = _inspected(options, folder, registry, f"--data {answer}")
    return DraftData(_slug(path.stem or answer), written, info)


def _sources(registry: Registry) -> list[str]:
    """Returns the names of the data sources that need no option."""
    sources = [r for r in registry.registrations if r.kind == "data"]
    return [registry.written(r) for r in sources if _built_without_options(r) is not None]


def _built_without_options(registration: Registration) -> Any:
    """Returns a component with its defaults; None if it has options that must be given."""
    try:
        return import_target(registration)()
    except Exception:
        return None


def _inspected(options: dict[str, str], folder: Path, registry: Registry, where: str) -> DataInfo:
    document = Document(where, folder, {"train": dict(options)})
    mistakes = Mistakes(document)
    resolved = Resolver(registry, mistakes).resolve("data", document.tree["train"], ("train",))
    mistakes.raise_if_any("the data")
    assert resolved is not None
    source = cast(DataSource, resolved.component)
    with blaming(source, "inspect"):
        return source.inspect()


def fitting_methods(feedback: Feedback | None, registry: Registry) -> list[str]:
    """Returns the losses that can align a model on a kind of feedback without any option.

    Conversions that halo inserts count.
    """
    conversions = [r.converts for r in registry.registrations if r.kind == "data" and r.converts]
    kinds = {feedback, *(made for given, made in conversions if given == feedback)}
    # Plain text can be learned as demonstrations are.
    kinds |= {"demonstration"} if feedback == "text" else set()
    losses = [r for r in registry.registrations if r.kind == "loss"]
    return sorted(registry.written(r) for r in losses if _aligns(r, kinds))


def _aligns(registration: Registration, kinds: set[Any]) -> bool:
    loss: Loss | None = _built_without_options(registration)
    if loss is None or loss.resolved_feedback() not in kinds:
        return False
    # A head at the end of a completion makes a reward model, which cannot answer prompts.
    return not any(head.at == "end" for head in loss.heads())


def draft_spec(
    file: str, model: str, data: DraftData, method: str, *, new: bool, slug: str, lora: bool = False
) -> str:
    """Returns the text of a commented spec.

    Args:
        file: The name of the spec's file, for the commands in comments.
        model: The value of ``model:``; see `draft_model`.
        data: The data; see `draft_data`.
        method: The name of a loss.
        new: Whether the model is new, and so has to learn to answer first.
        slug: The id of the stage that aligns.
        lora: Whether the stage that aligns trains low-rank factors instead of all weights.
    """
    first = _sft(new) if method != "sft" and data.feedback in ("paired", "demonstration") else ""
    rate = "1.0e-3" if new and method == "sft" else "5.0e-5" if new else "1.0e-6"
    if lora:
        rate = "1.0e-4"
    return _SPEC.format(
        file=quote(file),
        name=f"{data.name}-{slug}",
        model=model,
        data=_sets(data.written, data.info.splits),
        rows=f"{data.feedback} feedback" if data.feedback else "feedback of a kind not known yet",
        first=first,
        stage=slug,
        method=_text(method),
        rate=rate,
        about_rate="that of LoRA" if lora else "higher with lora, for example 1.0e-4",
        lora=_LORA if lora else _NO_LORA,
    )


def _sets(source: str, splits: Sequence[str]) -> str:
    if "train" in splits and "test" in splits:
        return f"  train: {{{source}}}\n  test: {{{source}, split: test}}"
    split = f", split: {_text(splits[0])}" if len(splits) == 1 and splits[0] != "train" else ""
    held_out = "  holdout: 0.1  # a tenth of the prompts becomes the set `test`"
    return f"  train: {{{source}{split}}}\n{held_out}"


def _sft(new: bool) -> str:
    if new:
        return _SFT.format(mark="", why="The new model first learns to answer.", rate="1.0e-3")
    why = "A model that does not chat yet first learns to answer: remove the marks."
    return _SFT.format(mark="# ", why=why, rate="1.0e-5")


def method_slug(method: str) -> str:
    """Returns the id of the stage for a method: ``kto`` for ``acme/kto``."""
    return _slug(method.rpartition("/")[2].rpartition(":")[2]).replace(".", "-")


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._") or "data"


def _relative(path: Path, folder: Path) -> str:
    """Returns a path relative to the spec's folder; absolute if it is not below it."""
    absolute = Path(os.path.abspath(path))
    return str(absolute.relative_to(folder)) if absolute.is_relative_to(folder) else str(absolute)


def _text(text: str) -> str:
    """Returns a text as YAML, quoted if it would be read as something else."""
    try:
        plain = bool(_PLAIN.fullmatch(text)) and parse_value(text) == text
    except HaloError:
        plain = False
    return text if plain else json.dumps(text, ensure_ascii=False)


_NEW_MODEL = """
  scratch:
    data: train  # the tokenizer is trained on these rows
    vocab_size: 4096
    config:
      hidden_size: 256
      intermediate_size: 768
      num_hidden_layers: 4
      num_attention_heads: 4
      max_position_embeddings: 512
      tie_word_embeddings: true"""

_SFT = """\
  # {why}
  {mark}sft: {{use: train, loss: sft, data: train, learning_rate: {rate}, warmup_steps: 10}}

"""

_NO_LORA = "    # lora: {rank: 16}       # trains low-rank factors instead of all weights"
_LORA = "    lora: {rank: 16}        # trains low-rank factors instead of all weights"

_SPEC = """\
# yaml-language-server: $schema=halo.schema.json
# The line above is for editors. This command makes the file: halo schema > halo.schema.json
#
#   halo validate {file}
#   halo plan {file}
#   halo run {file}
name: {name}
seed: 1

# The run starts from {{hub: owner/name}}, {{path: folder}}, {{gguf: file}} or a new one (scratch).
model:{model}

# Rows of {rows}. This command shows them: halo data {file}
data:
{data}

stages:
{first}  # The loss is {method}. Its options: halo plugins show {method}
  {stage}:
    use: train
    loss: {method}
    data: train
    batch_size: 32          # examples in an optimiser step
    epochs: 1
    learning_rate: {rate}   # {about_rate}
    warmup_steps: 10
    max_length: 512         # tokens of prompt and completion
{lora}
    # gradient_checkpointing: true  # needs less memory, takes more time

  # The model answers prompts that it was not trained on.
  answers: {{use: sample, prompts: test, n: 100, max_new_tokens: 128}}
  # A judge compares the answers with those in the data. This one prefers the longer text.
  # win: {{use: judge, judge: longest, of: answers, against: target}}

# The key `rounds` repeats stages that sample, label and train: docs/how-to/rounds.md

# tracking: [mlflow]  # shows the run in MLflow
"""
