"""Finds mistakes that would end a training later, by trying it with the available inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from halo_core.errors import UserError
from halo_core.guarded.loss_calls import heads_of
from halo_core.rows import DataSet
from halo_core.stage import Inputs
from halo_core.token_view import TokenView
from halo_models.control_tokens import suffixes
from halo_models.device import pick_device, places
from halo_models.findings import Findings
from halo_models.notes import ModelNotes, write_notes
from halo_models.save import make_classifier
from halo_models.skeleton import skeleton
from halo_trainer.encode.encode_sets import check_sampler_logps, encoding_options
from halo_trainer.encode.rows_to_tokens import EncodingOptions, encode
from halo_trainer.encode.view_rows import view_rows
from halo_trainer.model.look_ahead import Ahead, look_at
from halo_trainer.model.lora import apply_lora
from halo_trainer.model.lora_options import LoraOptions
from halo_trainer.model.new_tokens import named_ids
from halo_trainer.sharding.versions import check_versions
from halo_trainer.train.export import becomes_classifier
from halo_trainer.train.load_models import check_vocabulary, told_of
from halo_trainer.train.optimizers import make_optimizer, update_weights
from halo_trainer.train.recipe import OptimizerRecipe, Recipe

SKETCHED = 8
"""Factor by which a sketch's tokenizer may need more tokens than the final one."""

_STEPPED: set[str] = set()
"""Optimisers that have taken a step in this process. The cells of a suite have few of them."""


def training_mistakes(
    recipe: Recipe, inputs: Inputs, *, spread: bool, processes: int = 1
) -> list[tuple[str, str]]:
    """Returns (option, message) pairs for what cannot be trained with these options.

    Args:
        recipe: The options of the training.
        inputs: The available inputs.
        spread: Whether the weights will surely be spread over processes.
        processes: Number of processes on this machine.
    """
    found = Findings()
    if inputs.begins:
        with found.at("device"):
            pick_device(recipe.device)
        if not found.pairs:
            with found.at("processes"):
                places(recipe.device, processes)
        if spread:
            with found.at("sharding"):
                check_versions()
    with found.at("optimizer_options"):
        _try_optimizer(recipe.optimizer)
    start = look_at(inputs, "from", recipe.models.template, found)
    if start is None:
        return found.pairs
    notes = _try_rows(recipe, start, inputs.data, found)
    if recipe.models.lora is not None:
        _try_adapters(recipe.models.lora, start, found)
    if notes is not None and becomes_classifier(heads_of(recipe.task.loss)):
        with found.at("loss"):
            _sketch_classifier(start, notes, inputs.sketch)
    if inputs.models.get("reference", inputs.models["from"]) != inputs.models["from"]:
        reference = look_at(inputs, "reference", None, found)
        sketched = start.is_sketch or reference is None or reference.is_sketch
        if notes is not None and reference is not None and not sketched:
            with found.at("reference"):
                check_vocabulary(start.tokenizer, notes, reference.source)
    return found.pairs


def _try_adapters(options: LoraOptions, start: Ahead, found: Findings) -> None:
    with found.at("lora"):
        apply_lora(skeleton(start.config), options, seed=0)
    if (
        start.tokenizer is not None
        and isinstance(options.train_tokens, list)
        and not start.is_sketch
    ):
        with found.at("lora"):
            named_ids(options.train_tokens, start.tokenizer)


def _sketch_classifier(start: Ahead, notes: ModelNotes, folder: Path) -> None:
    """Writes a sketch of a reward model, because fewer stages can use one."""
    with torch.device("meta"):
        classifier, _ = make_classifier(skeleton(start.config), start.tokenizer)
    config = classifier.config
    config.architectures = [type(classifier).__name__]
    config.save_pretrained(folder)
    start.tokenizer.save_pretrained(folder)
    write_notes(folder, replace(notes, score_at="completion-end"))


def _try_optimizer(recipe: OptimizerRecipe) -> None:
    """Takes one step with the optimiser, because torch checks some options only then."""
    key = repr((recipe.name, recipe.weight_decay, recipe.options))
    if key in _STEPPED:
        return
    weight = torch.nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.ones(2, 2)
    optimizer = make_optimizer(
        [("weight", weight)],
        recipe.name,
        weight_decay=recipe.weight_decay,
        options=recipe.options,
    )
    update_weights(optimizer, 1e-3)
    _STEPPED.add(key)


def _try_rows(
    recipe: Recipe, start: Ahead, data: Mapping[str, DataSet], found: Findings
) -> ModelNotes | None:
    """Encodes some rows of each set as in training, and returns the trained model's notes."""
    before, lengths = len(found.pairs), recipe.lengths
    with found.at("max_prompt_length"):
        options = encoding_options(lengths.sequence, lengths.prompt, start.config)
    if start.tokenizer is None or len(found.pairs) > before:
        return None
    with found.at("loss"):
        notes, options = _told(recipe, start, options)
    if len(found.pairs) > before:
        return None
    if start.is_sketch:
        longest = options.max_length * SKETCHED, options.max_prompt_length * SKETCHED
        options = replace(options, max_length=longest[0], max_prompt_length=longest[1])
    for option, rows in data.items():
        with found.at(option), TemporaryDirectory() as folder:
            encoded = encode(rows, start.tokenizer, options=options, cache=Path(folder))
            if options.needs_logps:
                check_sampler_logps(encoded.counts, rows.name, is_sketch=start.is_sketch)
    return notes


def _told(
    recipe: Recipe, start: Ahead, options: EncodingOptions
) -> tuple[ModelNotes, EncodingOptions]:
    """Returns the trained model's notes, and the options for tokens with its tokenizer."""
    loss, models = recipe.task.loss, recipe.models
    notes, chat = told_of(start.tokenizer, start.source, loss, models.chat)
    ends = suffixes(start.tokenizer, loss, notes)
    return notes, replace(
        options,
        suffixes=ends,
        chat=chat,
        unfinished=models.unfinished,
        needs_logps="sampler_logps" in loss.needed(),
    )


def view_training_rows(recipe: Recipe, option: str, inputs: Inputs) -> list[TokenView]:
    """Returns rows as a training sees them; none if its model is not available.

    Args:
        recipe: The options of the training.
        option: The option that names the data.
        inputs: The available inputs.

    Raises:
        UserError: When the model or a row cannot be used.
    """
    found = Findings()
    start = look_at(inputs, "from", recipe.models.template, found)
    if start is None or start.tokenizer is None:
        for place, message in found.pairs[:1]:
            raise UserError(message, location=place)
        return []
    lengths = recipe.lengths
    options = encoding_options(lengths.sequence, lengths.prompt, start.config)
    _, options = _told(recipe, start, options)
    rows = inputs.data[option]
    template = start.template_origin(recipe.models.template, options.chat)
    return view_rows(rows, len(rows), start.tokenizer, options, template)
