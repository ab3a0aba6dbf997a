"""Finds mistakes that would end sampling later, by trying it with the available inputs."""

from __future__ import annotations

import sys
from typing import Any

from halo_core.errors import UserError
from halo_core.progress import SilentProgress
from halo_core.stage import Inputs
from halo_core.token_view import TokenView
from halo_models.chat_encoder import EncodedPrompt
from halo_models.device import pick_device, places
from halo_models.findings import Findings
from halo_models.load import context_length
from halo_models.notes import read_notes
from halo_trainer.encode.view_rows import removed_between, tokens_of
from halo_trainer.model.look_ahead import Ahead, look_at
from halo_trainer.sample.chat import Chat
from halo_trainer.sample.lengths import LONGEST, sample_lengths
from halo_trainer.sample.recipe import SampleRecipe
from halo_trainer.sample.select_prompts import select_prompts


def sampling_mistakes(recipe: SampleRecipe, inputs: Inputs) -> list[tuple[str, str]]:
    """Returns (option, message) pairs for what cannot be sampled with these options.

    Args:
        recipe: The task.
        inputs: The available inputs.
    """
    found = Findings()
    if inputs.begins:
        with found.at("device"):
            pick_device(recipe.device)
        if not found.pairs:
            with found.at("processes"):
                places(recipe.device, recipe.processes)
    model = look_at(inputs, "from", recipe.template, found)
    if model is not None:
        _try_prompts(recipe, model, inputs, found)
    return found.pairs


def _try_prompts(recipe: SampleRecipe, model: Ahead, inputs: Inputs, found: Findings) -> None:
    longest = recipe.max_new_tokens, recipe.max_prompt_length
    before = len(found.pairs)
    with found.at("max_prompt_length" if longest[0] is None else "max_new_tokens"):
        limit, _ = sample_lengths(longest[1], longest[0], context_length(model))
    if model.tokenizer is None or "prompts" not in inputs.data or len(found.pairs) > before:
        return
    if model.is_sketch:
        limit += LONGEST
    with found.at("prompts"):
        prompts = select_prompts(inputs.data["prompts"], None, 0)
        chat = Chat(model.tokenizer, read_notes(model.source), recipe.chat)
        chat.encoded(prompts, limit, SilentProgress().warn)


def view_prompts(recipe: SampleRecipe, inputs: Inputs) -> list[TokenView]:
    """Returns prompts as the model sees them; none if the model is not available.

    Args:
        recipe: The task.
        inputs: The available inputs.

    Raises:
        UserError: When the model or a prompt cannot be used.
    """
    found = Findings()
    model = look_at(inputs, "from", recipe.template, found)
    if model is None or model.tokenizer is None:
        for place, message in found.pairs[:1]:
            raise UserError(message, location=place)
        return []
    context = context_length(model)
    limit, _ = sample_lengths(recipe.max_prompt_length, recipe.max_new_tokens, context)
    chat = Chat(model.tokenizer, read_notes(model.source), recipe.chat)
    rows = {row["prompt_id"]: row["id"] for row in reversed(inputs.data["prompts"])}
    prompts = select_prompts(inputs.data["prompts"], None, 0)
    encoded = chat.encoded(prompts, limit, SilentProgress().warn)
    cut = [prompt for prompt in prompts if prompt.id in encoded and encoded[prompt.id].truncated]
    whole = chat.encoded(cut, sys.maxsize, SilentProgress().warn) if cut else {}
    template = model.template_origin(recipe.template, recipe.chat)
    return [
        _view(row, model.tokenizer, encoded.get(id_), whole.get(id_), template)
        for id_, row in reversed(rows.items())
    ]


def _view(
    row: str,
    tokenizer: Any,
    prompt: EncodedPrompt | None,
    whole: EncodedPrompt | None,
    template: str,
) -> TokenView:
    if prompt is None:
        why = "the template cannot write it"
        return TokenView(row, None, dropped=why, template=template)
    removed = None if whole is None else removed_between(tokenizer, prompt.ids, whole.ids)
    return TokenView(
        row,
        tokens_of(tokenizer, prompt.ids),
        prompt_cut=prompt.truncated,
        removed=removed,
        template=template,
    )
