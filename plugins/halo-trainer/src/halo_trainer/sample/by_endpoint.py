"""The stage `sample` with a server that writes the completions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import SimpleNamespace

from halo_core.stage import StageContext, StageResult
from halo_core.workspace.records import SAMPLES, SampleLine
from halo_models.chat_format import end_ids
from halo_models.load import context_length, load_tokenizer, read_config, read_generation
from halo_models.notes import read_notes
from halo_models.templates import asks_for_date
from halo_trainer.sample.ask_endpoint import ask_for_samples, stored_first
from halo_trainer.sample.chat import Chat
from halo_trainer.sample.encoded_prompts import encode_prompts
from halo_trainer.sample.endpoint import Asked, Endpoint
from halo_trainer.sample.endpoint_options import EndpointOptions
from halo_trainer.sample.lengths import sample_lengths
from halo_trainer.sample.recipe import SampleRecipe, seed_of_draw
from halo_trainer.sample.sample_file import (
    SampleFile,
    check_room_for_samples,
    sampling_result,
)
from halo_trainer.sample.sampler import Generated
from halo_trainer.sample.select_prompts import SamplePrompt, prompts_to_answer


def sample_by_endpoint(
    recipe: SampleRecipe, endpoint: EndpointOptions, context: StageContext
) -> StageResult:
    """Asks a server for the completions of prompts, and writes ``samples.jsonl``.

    Args:
        recipe: The task.
        endpoint: The server.
        context: The stage's surroundings.

    Raises:
        UserError: When a request failed, or a prompt cannot be sent.
        Interrupted: When asked to stop. Completions that were received are kept.
    """
    source = context.models["from"]
    server = Endpoint(endpoint.url, recipe.api_key_env, context.stop.is_set)
    tokenizer = load_tokenizer(source, recipe.template)
    config = read_config(source)
    max_prompt_length, max_new_tokens = sample_lengths(
        recipe.max_prompt_length,
        recipe.max_new_tokens,
        context_length(SimpleNamespace(config=config)),
    )
    chat = Chat(tokenizer, read_notes(source), recipe.chat)
    if asks_for_date(tokenizer):
        context.warn(f"the chat template asks for the date and gets {chat.options.date}")
    seed = seed_of_draw(context.seed, recipe.draw)
    selected = prompts_to_answer(context.data["prompts"], recipe.n, seed, context.warn)
    prompts = encode_prompts(selected, chat, max_prompt_length, context.warn)
    copies = recipe.samples_per_prompt
    check_room_for_samples(context.folder, len(prompts) * copies)
    stored = stored_first(context.folder, prompts.ids, copies)
    file = SampleFile(context.folder, prompts.ids, ([number] for number in stored))
    ends = end_ids(tokenizer, SimpleNamespace(generation_config=read_generation(source)))
    # Weights can have more rows than the tokenizer has tokens, and the reverse.
    vocabulary = max(len(tokenizer), config.get_text_config().vocab_size)
    asked = Asked(endpoint, recipe.choice, ends, max_new_tokens, seed, tokenizer, vocabulary)
    drawn, unusable = recipe.known_sampling, Counter[str]()

    def record(prompt: SamplePrompt, answer: Generated) -> SampleLine:
        unusable.update([answer.unusable] if answer.unusable else [])
        return chat.records([prompt], [answer], drawn)[0]

    try:
        ask_for_samples(
            prompts,
            file,
            context,
            ask=lambda id_, ids, n: asked.generated(server.ask(asked.body(id_, ids, n)), ids),
            copies=copies,
            at_once=recipe.requests_at_once,
            record=record,
        )
    finally:
        server.close()
    file.finish()
    warn_of_gaps(file, context.warn, unusable)
    context.events.append("samples", stage=context.id, path=SAMPLES.name, count=len(file))
    return sampling_result(file)


def warn_of_gaps(
    file: SampleFile, warn: Callable[[str], None], unusable: Mapping[str, int]
) -> None:
    """Warns about samples without token ids or log-probabilities.

    Args:
        file: All samples of the stage.
        warn: Receives the warnings.
        unusable: Number of samples whose log-probabilities came and cannot be used, by reason.
    """
    if file.texts:
        warn(
            f"{file.texts} of {len(file)} samples have only their text, because the server gave no "
            "token ids: training tokenises them again, and their lengths are those of this text"
        )
    if file.lacking:
        reasons = "; ".join(f"{reason}: {n}" for reason, n in unusable.items())
        came = f" (of those that came, {reasons})" if reasons else ""
        warn(
            f"{file.lacking} of {len(file)} samples have no log-probabilities{came}, so a loss "
            "that needs those of the sampler does not use them"
        )
