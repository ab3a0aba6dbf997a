"""How a model's answers come about: prompts to token ids, to batches, to samples on disk."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from halo_core.errors import UserError
from halo_core.progress import SilentProgress
from halo_core.stage import StageContext, StageResult
from halo_core.workspace.records import SAMPLES, SampleLine
from halo_models.control_tokens import suffixes
from halo_models.device import pick_device, pick_dtype
from halo_models.load import context_length, load_model, load_tokenizer
from halo_models.notes import ModelNotes, read_notes
from halo_models.prompts import EncodedPrompt, PromptEncoder
from halo_models.tokenizers import end_ids, token_ids
from halo_trainer.sample.generate import Choice, Generated, Sampler
from halo_trainer.sample.probe import answers_together
from halo_trainer.sample.sample_file import SampleFile
from halo_trainer.sample.select_prompts import SamplePrompt, select_prompts

LONGEST = 2048
"""Tokens of prompt and completion when neither the options nor the model say less."""


@dataclass(frozen=True)
class SampleRecipe:
    """What sampling is asked to do, as plain values.

    Attributes:
        n: Most distinct prompts; None for all.
        choice: How a token is chosen.
        max_new_tokens: Most tokens of a completion; None for the default.
        max_prompt_length: Most tokens of a prompt; None for the default.
        batch_size: Prompts answered at a time.
        template: Chat template; None for the tokenizer's own.
        precision: What weights are held and computed in.
        device: Where to compute.
    """

    n: int | None
    choice: Choice
    max_new_tokens: int | None
    max_prompt_length: int | None
    batch_size: int
    template: str | None
    precision: Literal["auto", "float32", "bfloat16"]
    device: Literal["auto", "cpu", "cuda"]


def sample(recipe: SampleRecipe, context: StageContext) -> StageResult:
    """Answers the prompts and writes ``samples.jsonl``; see `Sample.run`."""
    prompts = select_prompts(context.data["prompts"], recipe.n, context.seed)
    source = context.models["from"]
    tokenizer = load_tokenizer(source, recipe.template)
    device = pick_device(recipe.device)
    model = load_model(source, dtype=pick_dtype(recipe.precision, device), device=device)
    max_prompt_length, max_new_tokens = sample_lengths(
        recipe.max_prompt_length, recipe.max_new_tokens, context_length(model)
    )
    encoded = _encoded(prompts, tokenizer, max_prompt_length, read_notes(source))
    _warn_of_cut(encoded, max_prompt_length, context)
    batches = length_batches(prompts, encoded, recipe.batch_size)
    file = SampleFile(context.folder, [[prompt.id for prompt in batch] for batch in batches])
    ends = end_ids(tokenizer, model)
    sampler = Sampler(
        model=model,
        ends=ends,
        choice=recipe.choice,
        max_new_tokens=max_new_tokens,
        seed=context.seed,
        stopped=context.stop.is_set,
        together=answers_together(
            model,
            ends=ends,
            max_prompt_length=max_prompt_length,
            max_new_tokens=max_new_tokens,
            warn=context.warn if recipe.batch_size > 1 else SilentProgress().warn,
        ),
    )
    _answer(batches, encoded, sampler, tokenizer, file, context)
    file.finish([prompt.id for prompt in prompts])
    context.events.append("samples", stage=context.id, path=SAMPLES.name, count=len(prompts))
    return _result(file.samples)


def _encoded(
    prompts: Sequence[SamplePrompt], tokenizer: Any, limit: int, notes: ModelNotes
) -> dict[str, EncodedPrompt]:
    """The prompts' token ids, with the control token behind them that the model was trained on."""
    ends = suffixes(tokenizer, None, notes)
    encoder = PromptEncoder(tokenizer, limit - (ends is not None))
    encoded = encoder.encode({p.id: p.prompt for p in prompts})
    if ends is None:
        return encoded
    return {id_: replace(p, ids=[*p.ids, ends[0]]) for id_, p in encoded.items()}


def sample_lengths(
    max_prompt_length: int | None, max_new_tokens: int | None, context: int | None
) -> tuple[int, int]:
    """Returns the most tokens of a prompt and of a completion.

    A prompt gets half of what there is, as in training, or what `max_new_tokens` leaves of it if
    that is less; a completion gets what the prompt leaves.

    Args:
        max_prompt_length: The option.
        max_new_tokens: The option.
        context: Tokens that the model can take, where it says so.

    Raises:
        UserError: When both together are longer than the model can take.
    """
    longest = min(LONGEST, context or LONGEST)
    prompt = max_prompt_length or min(longest // 2, (context or LONGEST) - (max_new_tokens or 1))
    completion = max_new_tokens or longest - prompt
    if prompt < 1 or completion < 1 or (context is not None and prompt + completion > context):
        raise UserError(
            f"a prompt of {max(prompt, 0)} and a completion of {max(completion, 0)} tokens do not "
            f"fit into the {context or longest} tokens that the model can take. Lower "
            "max_prompt_length or max_new_tokens",
            location="sample",
        )
    return prompt, completion


def _warn_of_cut(encoded: Mapping[str, EncodedPrompt], limit: int, context: StageContext) -> None:
    if cut := sum(prompt.truncated for prompt in encoded.values()):
        context.warn(
            f"{cut} of {len(encoded)} prompts were longer than max_prompt_length {limit} and lost "
            "their beginning"
        )


def length_batches(
    prompts: Sequence[SamplePrompt], encoded: Mapping[str, EncodedPrompt], size: int
) -> list[list[SamplePrompt]]:
    """Returns batches of prompts of similar length, longest first.

    So little padding is computed, and too large a batch fails at once.
    """
    ordered = sorted(prompts, key=lambda prompt: (-len(encoded[prompt.id].ids), prompt.id))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _answer(
    batches: Sequence[Sequence[SamplePrompt]],
    encoded: Mapping[str, EncodedPrompt],
    sampler: Sampler,
    tokenizer: Any,
    file: SampleFile,
    context: StageContext,
) -> None:
    total = sum(map(len, batches))
    with context.progress.bar(context.id, total, len(file.samples)) as bar:
        for batch in batches[file.batches_done :]:
            begun = time.perf_counter()
            answers = sampler.batch([(prompt.id, encoded[prompt.id].ids) for prompt in batch])
            if answers is None:
                context.stop.raise_interrupted(
                    f"{len(file.samples)} of {total} samples are kept; the same command goes on"
                )
            else:
                file.append(_records(batch, answers, tokenizer))
                tokens = sum(len(answer.token_ids) for answer in answers)
                bar.advance(len(batch), tok_s=f"{tokens / (time.perf_counter() - begun):.0f}")


def _records(
    batch: Sequence[SamplePrompt], answers: Sequence[Generated], tokenizer: Any
) -> list[SampleLine]:
    targets = token_ids(tokenizer, [prompt.target or "" for prompt in batch])
    return [
        SampleLine(
            prompt_id=prompt.id,
            prompt=list(prompt.prompt),
            # Control tokens stay visible: they show that a model runs on as the user.
            completion=tokenizer.decode(answer.token_ids, skip_special_tokens=False),
            target=prompt.target,
            tokens=len(answer.token_ids),
            target_tokens=None if prompt.target is None else len(target),
            token_ids=answer.token_ids,
            finish=answer.finish,
        )
        for prompt, answer, target in zip(batch, answers, targets, strict=True)
    ]


def _result(samples: Sequence[SampleLine]) -> StageResult:
    lengths = [sample["tokens"] for sample in samples]
    stopped = statistics.fmean(sample["finish"] == "stop" for sample in samples)
    metrics = {
        "n": float(len(samples)),
        "len": float(statistics.median(lengths)),
        "len_mean": statistics.fmean(lengths),
        "stopped": stopped,
    }
    headline = (
        f"{len(samples)} completions of {metrics['len']:.0f} tokens at the median; "
        f"{stopped:.0%} ended by themselves"
    )
    return StageResult(metrics, headline)
