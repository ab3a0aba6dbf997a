"""How a model's completions are made: prompts to token ids, to batches, to samples on disk."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from halo_core.errors import DataError, NotFiniteError, UserError
from halo_core.progress import SilentProgress
from halo_core.stage import StageContext, StageResult
from halo_core.workspace.disk import check_room
from halo_core.workspace.records import SAMPLES, SampleLine
from halo_models.chat_encoder import ChatEncoder, EncodedPrompt
from halo_models.chat_format import ChatFormat, end_ids
from halo_models.control_tokens import suffixes
from halo_models.conversation import (
    SPELLED_ADVICE,
    SPELLS,
    ChatOptions,
    Conversation,
    TemplateMismatchError,
)
from halo_models.device import pick_device, pick_dtype
from halo_models.digests import template_digest, tokenizer_digest
from halo_models.load import context_length, load_model, load_tokenizer
from halo_models.memory_use import memory_fact
from halo_models.notes import ModelNotes, read_notes
from halo_models.templates import asks_for_date
from halo_trainer.sample.next_token import Choice
from halo_trainer.sample.probe import find_route
from halo_trainer.sample.sample_file import SampleFile
from halo_trainer.sample.sampler import Generated, Room, Sampler
from halo_trainer.sample.select_prompts import SamplePrompt, select_prompts

LONGEST = 2048
"""Largest number of tokens of prompt and completion, if no option or model has a smaller limit."""

LOGP_DIGITS = 6
"""Decimal places of stored log-probabilities, which have about as many in float32."""


@dataclass(frozen=True)
class SampleRecipe:
    """The task of a sampling stage, as plain values.

    Attributes:
        n: Largest number of distinct prompts; None for all.
        choice: How the next token is chosen.
        max_new_tokens: Largest number of tokens of a completion; None for the default.
        max_prompt_length: Largest number of tokens of a prompt; None for the default.
        samples_per_prompt: Number of completions of each prompt.
        batch_size: Number of prompts per batch.
        tokens_at_once: Largest number of tokens of prompts and completions in memory at once; None
            for no limit.
        template: Chat template; None for the tokenizer's own.
        chat: Options for converting rows to text.
        precision: Precision of weights and computation.
        device: The device to compute on.
    """

    n: int | None
    choice: Choice
    max_new_tokens: int | None
    max_prompt_length: int | None
    samples_per_prompt: int
    batch_size: int
    tokens_at_once: int | None
    template: str | None
    chat: ChatOptions
    precision: Literal["auto", "float32", "bfloat16"]
    device: Literal["auto", "cpu", "cuda"]


def sample(recipe: SampleRecipe, context: StageContext) -> StageResult:
    """Answers the prompts and writes ``samples.jsonl``; see `Sample.run`."""
    with context.stop.at_once(
        "the samples that were kept remain; run the same command again to continue"
    ):
        prompts = select_prompts(context.data["prompts"], recipe.n, context.seed)
        if recipe.n is not None and len(prompts) < recipe.n:
            there = f"the data have {len(prompts):,} distinct prompts"
            context.warn(f"n is {recipe.n:,}, but {there}, so that fewer are answered")
        source = context.models["from"]
        tokenizer = load_tokenizer(source, recipe.template)
        device = pick_device(recipe.device)
        with context.progress.phase("loading the model"):
            model = load_model(source, dtype=pick_dtype(recipe.precision, device), device=device)
        max_prompt_length, max_new_tokens = sample_lengths(
            recipe.max_prompt_length, recipe.max_new_tokens, context_length(model)
        )
        chat = Chat(tokenizer, read_notes(source), recipe.chat)
        if asks_for_date(tokenizer):
            context.warn(f"the chat template asks for the date and gets {chat.options.date}")
        with context.progress.phase(f"encoding {len(prompts):,} prompts"):
            encoded = chat.encoded(prompts, max_prompt_length, context.warn)
        prompts = [prompt for prompt in prompts if prompt.id in encoded]
        batches = length_batches(prompts, encoded, recipe.batch_size)
        copies = range(recipe.samples_per_prompt)
        names = [[prompt.id for prompt in batch for _ in copies] for batch in batches]
        file = SampleFile(context.folder, names)
        ends = end_ids(tokenizer, model)
        with context.progress.phase("checking whether prompts can be answered together"):
            many = recipe.batch_size * recipe.samples_per_prompt > 1
            route = find_route(
                model,
                ends=ends,
                max_prompt_length=max_prompt_length,
                max_new_tokens=max_new_tokens,
                warn=context.warn if many else SilentProgress().warn,
            )
        sampler = Sampler(
            model=model,
            ends=ends,
            choice=recipe.choice,
            max_new_tokens=max_new_tokens,
            seed=context.seed,
            stopped=context.stop.is_set,
            route=route,
            samples=recipe.samples_per_prompt,
            room=Room(recipe.tokens_at_once, context.warn),
        )
    _answer(batches, encoded, sampler, chat, file, context, device)
    file.finish([prompt.id for prompt in prompts])
    context.events.append("samples", stage=context.id, path=SAMPLES.name, count=len(file.samples))
    return _result(file.samples)


class Chat:
    """A tokenizer with its template, as used in the training of the sampled model.

    Args:
        tokenizer: A tokenizer with the chat template.
        notes: The model's notes.
        asked: The stage's options for rows.

    Attributes:
        options: The options for rows, completed from the model's notes.
    """

    def __init__(self, tokenizer: Any, notes: ModelNotes, asked: ChatOptions) -> None:
        self.options = notes.chat_options(asked)
        self._tokenizer = tokenizer
        self._format = ChatFormat(tokenizer, self.options)
        self._suffix = suffixes(tokenizer, None, notes)
        self._tokenizer_digest = tokenizer_digest(tokenizer)
        self._template_digest = template_digest(tokenizer, self.options)

    def encoded(
        self, prompts: Sequence[SamplePrompt], limit: int, warn: Callable[[str], None]
    ) -> dict[str, EncodedPrompt]:
        """Returns the token ids of prompts, with the control token of the model, if any.

        Prompts that the template cannot write are left out if the options say so.

        Raises:
            DataError: When the template cannot write a prompt, or no prompt is left.
        """
        encoder = ChatEncoder(self._format, limit - (self._suffix is not None))
        encoded = encoder.prompts({prompt.id: _conversation(prompt) for prompt in prompts})
        known = {id_: p for id_, p in encoded.items() if isinstance(p, EncodedPrompt)}
        mismatches = [p.kind for p in encoded.values() if isinstance(p, TemplateMismatchError)]
        for kind, count in Counter(mismatches).items():
            warn(f"dropped {count} of {len(prompts)} prompts: {kind}")
        if not known:
            raise DataError("there are no prompts left; expected at least one", location="prompts")
        if cut := sum(prompt.truncated for prompt in known.values()):
            warn(
                f"{cut} of {len(known)} prompts were longer than max_prompt_length {limit} and "
                "lost their beginning"
            )
        spelled = sum(prompt.spells_control for prompt in known.values())
        if spelled:
            warn(f"{spelled} prompts {SPELLS}{SPELLED_ADVICE}")
        if self._suffix is None:
            return known
        return {id_: replace(p, ids=[*p.ids, self._suffix[0]]) for id_, p in known.items()}

    def records(
        self, batch: Sequence[SamplePrompt], answers: Sequence[Generated]
    ) -> list[SampleLine]:
        """Returns the samples of a batch as records of their file.

        Args:
            batch: The prompts.
            answers: The same number of completions of each, one prompt after another.
        """
        tokeniser = self._format.tokeniser
        targets = [prompt.target.text if prompt.target else None for prompt in batch]
        lengths = map(len, tokeniser.encode([target or "" for target in targets]))
        copies = len(answers) // len(batch)
        return [
            self._record(prompt, answer, target, length)
            for number, (prompt, target, length) in enumerate(
                zip(batch, targets, lengths, strict=True)
            )
            for answer in answers[number * copies : (number + 1) * copies]
        ]

    def _record(
        self, prompt: SamplePrompt, answer: Generated, target: str | None, target_tokens: int
    ) -> SampleLine:
        line = SampleLine(
            prompt_id=prompt.id,
            prompt=list(prompt.prompt),
            completion=self.content(prompt, answer.token_ids),
            target=target,
            tokens=len(answer.token_ids),
            target_tokens=None if target is None else target_tokens,
            token_ids=answer.token_ids,
            token_logps=[round(value, LOGP_DIGITS) for value in answer.token_logps],
            finish=answer.finish,
            tokenizer=self._tokenizer_digest,
            template=self._template_digest,
        )
        if prompt.tools is not None:
            line["tools"] = [dict(tool) for tool in prompt.tools]
        if prompt.target and prompt.target.fields:
            line["target_fields"] = dict(prompt.target.fields)
        return line

    def content(self, prompt: SamplePrompt, ids: Sequence[int]) -> str:
        """Returns a completion as the content of a message, without the template's additions."""
        # Control tokens stay visible: they show if a model continues as the user.
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False)
        return self._format.content(_conversation(prompt), text)


def _conversation(prompt: SamplePrompt) -> Conversation:
    return Conversation(prompt.prompt, prompt.tools, f"prompt {prompt.id}")


def sample_lengths(
    max_prompt_length: int | None, max_new_tokens: int | None, context: int | None
) -> tuple[int, int]:
    """Returns the largest number of tokens of a prompt and of a completion.

    A prompt gets half of the total, as in training, or the rest after `max_new_tokens` if that is
    less. A completion gets the rest.

    Args:
        max_prompt_length: The option `max_prompt_length`.
        max_new_tokens: The option `max_new_tokens`.
        context: Number of tokens that the model can take, if known.

    Raises:
        UserError: When both together are longer than the model's context.
    """
    longest = min(LONGEST, context or LONGEST)
    prompt = max_prompt_length or min(longest // 2, (context or LONGEST) - (max_new_tokens or 1))
    completion = max_new_tokens or longest - prompt
    if prompt < 1 or completion < 1 or (context is not None and prompt + completion > context):
        raise UserError(
            f"a prompt of {max(prompt, 0)} and a completion of {max(completion, 0)} tokens do not "
            f"fit into the {context or longest} tokens that the model can take. Lower "
            "max_prompt_length or max_new_tokens"
        )
    return prompt, completion


def length_batches(
    prompts: Sequence[SamplePrompt], encoded: Mapping[str, EncodedPrompt], size: int
) -> list[list[SamplePrompt]]:
    """Returns batches of prompts of similar length, longest first.

    This keeps padding small, and a batch that is too large fails at once.
    """
    ordered = sorted(prompts, key=lambda prompt: (-len(encoded[prompt.id].ids), prompt.id))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _answer(
    batches: Sequence[Sequence[SamplePrompt]],
    encoded: Mapping[str, EncodedPrompt],
    sampler: Sampler,
    chat: Chat,
    file: SampleFile,
    context: StageContext,
    device: torch.device,
) -> None:
    total = sum(map(len, batches)) * sampler.samples
    needed = [_bytes(batch, encoded, sampler) for batch in batches]
    # All samples are written once more at the end, in the order of the prompts.
    left = sum(needed[file.batches_done :]) + sum(needed)
    check_room(context.folder, left, f"{total} samples")
    with context.progress.bar(context.id, total, len(file.samples), unit="sample") as bar:
        for batch in batches[file.batches_done :]:
            begun = time.perf_counter()
            try:
                with context.progress.phase(
                    f"answering {len(batch)} prompts", sampler.positions(len(batch)), unit="token"
                ) as drawn:
                    answers = sampler.batch(
                        [(prompt.id, encoded[prompt.id].ids) for prompt in batch], drawn.advance
                    )
            except NotFiniteError as error:
                raise NotFiniteError(error.message, location=context.id) from error
            if answers is None:
                context.stop.raise_interrupted(
                    f"{len(file.samples)} of {total} samples are kept; run the same command again "
                    "to continue"
                )
            else:
                check_room(context.folder, needed[file.batches_done], f"{len(answers)} samples")
                file.append(chat.records(batch, answers))
                tokens = sum(len(answer.token_ids) for answer in answers)
                speed = f"{tokens / (time.perf_counter() - begun):,.0f}"
                facts = {"tokens/s": speed} | memory_fact(device)
                bar.advance(len(answers), facts=facts)


def _bytes(
    batch: Sequence[SamplePrompt], encoded: Mapping[str, EncodedPrompt], sampler: Sampler
) -> int:
    """Returns about how many bytes the samples of a batch take at most.

    A token of the prompt is its text, one of the completion its text and two numbers.
    """
    lengths = (len(encoded[prompt.id].ids) for prompt in batch)
    return sum(
        sampler.samples * (1000 + 6 * length + 24 * sampler.max_new_tokens) for length in lengths
    )


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
