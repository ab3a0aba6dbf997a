"""The stage `sample`: prompts to token ids, to batches, to samples on disk."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

from halo_core.progress import SilentProgress
from halo_core.stage import ModelInput, StageContext, StageResult
from halo_core.workspace.records import SAMPLES
from halo_models.chat_format import end_ids
from halo_models.device import pick_device, pick_dtype
from halo_models.load import (
    context_length,
    load_model,
    load_tokenizer,
    read_config,
    read_generation,
)
from halo_models.notes import read_notes
from halo_models.templates import asks_for_date
from halo_trainer.sample.by_endpoint import sample_by_endpoint, warn_of_gaps
from halo_trainer.sample.chat import Chat
from halo_trainer.sample.crew import Crew
from halo_trainer.sample.encoded_prompts import LengthBatches, encode_prompts, repeated
from halo_trainer.sample.lengths import sample_lengths
from halo_trainer.sample.probe import find_route
from halo_trainer.sample.recipe import SampleRecipe, seed_of_draw
from halo_trainer.sample.sample_file import (
    SampleFile,
    check_room_for_samples,
    sampling_result,
)
from halo_trainer.sample.sampler import Room, Sampler
from halo_trainer.sample.select_prompts import prompts_to_answer
from halo_trainer.sample.vllm_engine import VllmSampler
from halo_trainer.sample.write_batches import Draws, write_batches


def sample(recipe: SampleRecipe, context: StageContext) -> StageResult:
    """Answers the prompts and writes ``samples.jsonl``; see `Sample.run`."""
    if recipe.endpoint is not None:
        return sample_by_endpoint(recipe, recipe.endpoint, context)
    with context.stop.at_once(
        "the samples that were kept remain; run the same command again to continue"
    ):
        selected = prompts_to_answer(
            context.data["prompts"], recipe.n, seed_of_draw(context.seed, recipe.draw), context.warn
        )
        source = context.models["from"]
        tokenizer = load_tokenizer(source, recipe.template)
        crew = Crew(recipe.processes, pick_device(recipe.device))
        with context.progress.phase("loading the model"):
            model = _model(recipe, source, crew.device)
        lengths = sample_lengths(
            recipe.max_prompt_length, recipe.max_new_tokens, context_length(model)
        )
        chat = Chat(tokenizer, read_notes(source), recipe.chat)
        if asks_for_date(tokenizer):
            context.warn(f"the chat template asks for the date and gets {chat.options.date}")
        with context.progress.phase(f"encoding {len(selected):,} prompts"):
            prompts = encode_prompts(selected, chat, lengths[0], context.warn)
        copies = recipe.samples_per_prompt
        check_room_for_samples(context.folder, len(prompts) * copies)
        batches = LengthBatches(prompts, recipe.batch_size)
        sampled = (repeated(batch, copies) for batch in batches)
        file = SampleFile(context.folder, prompts.ids, sampled) if crew.main else None
        ends = end_ids(tokenizer, model)
        make = _in_vllm if recipe.engine == "vllm" else _in_transformers
        sampler = make(recipe, context, model, ends, lengths)
    drawn = recipe.known_sampling
    write_batches(batches, prompts, sampler, chat, file, context, crew, drawn)
    crew.leave()
    if file is None:
        return StageResult({}, "")  # Rank 0 has the result.
    file.finish()
    if isinstance(sampler, VllmSampler):
        warn_of_gaps(file, context.warn, sampler.unusable)
    context.events.append("samples", stage=context.id, path=SAMPLES.name, count=len(file))
    return sampling_result(file)


def _model(recipe: SampleRecipe, source: ModelInput, device: torch.device) -> Any:
    """Returns the model, or only its configuration if another engine loads it."""
    if recipe.engine == "vllm":
        return SimpleNamespace(
            config=read_config(source), generation_config=read_generation(source)
        )
    return load_model(source, dtype=pick_dtype(recipe.precision, device), device=device)


def _in_transformers(
    recipe: SampleRecipe,
    context: StageContext,
    model: Any,
    ends: Sequence[int],
    lengths: tuple[int, int],
) -> Draws:
    with context.progress.phase("checking whether prompts can be answered together"):
        many = recipe.batch_size * recipe.samples_per_prompt > 1
        route = find_route(
            model,
            ends=ends,
            max_prompt_length=lengths[0],
            max_new_tokens=lengths[1],
            warn=context.warn if many else SilentProgress().warn,
        )
    return Sampler(
        model=model,
        ends=ends,
        choice=recipe.choice,
        max_new_tokens=lengths[1],
        seed=seed_of_draw(context.seed, recipe.draw),
        stopped=context.stop.is_set,
        route=route,
        samples=recipe.samples_per_prompt,
        room=Room(recipe.tokens_at_once, context.warn),
    )


def _in_vllm(
    recipe: SampleRecipe,
    context: StageContext,
    model: Any,
    ends: Sequence[int],
    lengths: tuple[int, int],
) -> Draws:
    dtype = pick_dtype(recipe.precision, pick_device(recipe.device))
    return VllmSampler(
        context.models["from"],
        dtype=str(dtype).removeprefix("torch."),
        ends=ends,
        choice=recipe.choice,
        max_new_tokens=lengths[1],
        max_length=sum(lengths),
        seed=seed_of_draw(context.seed, recipe.draw),
        samples=recipe.samples_per_prompt,
        stopped=context.stop.is_set,
    )
