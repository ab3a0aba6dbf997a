"""Tests whether a model computes packed sequences correctly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from halo_core.errors import ModelError
from halo_models.finite import look_over
from halo_trainer.batch.packing import PackedRow, Scored, pack, pack_onto
from halo_trainer.batch.variable_length import try_kernel
from halo_trainer.model.output_head import output_head_of, token_logps
from halo_trainer.model.scorer import Scorer, use_packed_attention

PROBE_LENGTHS = ((3, 9), (1, 4), (17, 6))
"""Prompt and completion tokens of the test sequences with prompts of their own."""

BRANCH = 8
"""Completion tokens of the test sequences that share the prompt of another one."""

FOLLOWING = 5
"""Tokens after a test sequence, which a causal model's results before them do not depend on."""

TIMES_NOISE = 30
"""Largest difference that counts as rounding, relative to one that is known to be rounding."""

LEAST_TOLERANCE = 2e-6
"""Difference of a token's log-probability that always counts as rounding, in float32, relative to
the largest log-probability plus 1 nat."""

LARGEST_TOLERANCE = 1e-4
"""Difference that never counts as rounding, relative to the same."""


def make_scorer(
    model: Any, *, compute_dtype: torch.dtype, max_length: int, warn: Callable[[str], None]
) -> Scorer:
    """Returns a scorer that agrees with the model's own logits, token by token.

    The scorer takes every shortcut that gives the same results as the model for each sequence
    alone: sequences packed into one row, prompts shared by several completions, and an output head
    that is computed in chunks. It warns about the others. The probe is computed in float32, and its
    tolerance follows the rounding of the model itself, so that rounding cannot hide a wrong mask,
    even if the weights are new and small.

    Args:
        model: A causal language model of transformers in float32 and evaluation mode, not wrapped.
        compute_dtype: The dtype in which the scorer computes.
        max_length: Largest length of a probe.
        warn: Receives a warning about shortcuts that are not taken.

    Raises:
        ModelError: When the slowest path does not agree either, or the model gives no
            finite numbers.
    """
    probes = _probes(model, max_length)
    expected = [_alone(model, sequences) for sequences in probes]
    if not torch.cat(expected).isfinite().all():
        largest = look_over(model.named_parameters()).largest
        raise gives_no_numbers(type(model).__name__, largest)
    tolerance = _tolerance(model, probes[0], expected)
    for scorer in _ways(model, compute_dtype):
        if _agrees(scorer, probes, expected, tolerance):
            device = next(model.parameters()).device
            for heads in scorer.layers:
                try_kernel(heads, device=device, dtype=compute_dtype)
            if missing := _not_taken(scorer):
                warn(
                    f"{type(model).__name__} does not give the same log-probabilities "
                    f"{' or '.join(missing)}; the results are right, but training "
                    f"{'is slower' if scorer.chunked else 'is slower or takes more memory'}"
                )
            return scorer
    raise ModelError(
        f"{type(model).__name__} gives other log-probabilities for several sequences than for "
        "each alone, so it cannot be trained; expected a causal language model that takes "
        "attention_mask and logits_to_keep"
    )


def gives_no_numbers(name: str, largest: float) -> ModelError:
    """Returns the error for a model with finite weights that gives no finite numbers.

    Args:
        name: Name of the model's class.
        largest: Its largest absolute weight.
    """
    return ModelError(
        f"{name} gives no finite numbers for random tokens, though its weights are finite, up to "
        f"{largest:.3g}; expected a model whose training did not diverge. Train it again with a "
        "lower learning_rate"
    )


def _ways(model: Any, compute_dtype: torch.dtype) -> Iterator[Scorer]:
    """Yields scorers from the fastest to the slowest. The model is set up for the latest one."""
    original = model.config._attn_implementation
    heads = [True, False] if output_head_of(model, compute_dtype) is not None else [False]
    if use_packed_attention(model):
        for shares in (True, False):
            for chunked in heads:
                scorer = Scorer(model, route="packed", compute_dtype=compute_dtype, chunked=chunked)
                scorer.shares = shares
                yield scorer
    model.set_attn_implementation(original)
    for together in (True, False):
        for chunked in heads:
            yield Scorer(
                model,
                route="padded",
                compute_dtype=compute_dtype,
                chunked=chunked,
                together=together,
            )


def _not_taken(scorer: Scorer) -> list[str]:
    """Returns the shortcuts that a scorer does not take, in words."""
    missing = []
    if not scorer.together:
        missing.append("for several sequences at one time, so they are computed one after another")
    elif scorer.route == "padded":
        missing.append("with packed sequences, so they are padded")
    elif not scorer.shares:
        missing.append("if completions share a prompt, so it is computed for each of them")
    if not scorer.chunked:
        missing.append(
            "from its last hidden states, so the scores of the whole vocabulary are computed at "
            "one time"
        )
    return missing


def _tolerance(model: Any, sequences: Sequence[Scored], expected: Sequence[Tensor]) -> float:
    """Returns the largest difference of a log-probability that counts as rounding, nats.

    Args:
        model: The model.
        sequences: The sequences of the first probe.
        expected: The log-probabilities of all probes.
    """
    # Matrices of another shape are summed in another order.
    again = _alone(model, sequences, following=FOLLOWING)
    noise = float((again - expected[0]).abs().max())
    scale = 1 + max(float(logps.abs().max()) for logps in expected)
    return min(max(TIMES_NOISE * noise, LEAST_TOLERANCE * scale), LARGEST_TOLERANCE * scale)


def _agrees(
    scorer: Scorer,
    probes: Sequence[Sequence[Scored]],
    expected: Sequence[Tensor],
    tolerance: float,
) -> bool:
    """Returns whether a scorer gives the expected log-probabilities, computed in float32."""
    compute_dtype, scorer.compute_dtype = scorer.compute_dtype, torch.float32
    device = next(scorer.parameters()).device
    try:
        with torch.no_grad():
            first = pack(probes[0], share=scorer.shares).to(device).keeping()
            found = [scorer(first).token_logps]
            scorer.layers = frozenset(first.layout.heads)
            # Others continue the prompts of the first row, as mismatched completions do.
            others = pack_onto(first, probes[1]) if scorer.shares else pack(probes[1], share=False)
            found.append(scorer(others.to(device).onto(first)).token_logps)
    except (TypeError, ValueError, RuntimeError, IndexError, KeyError):
        return False
    finally:
        scorer.compute_dtype = compute_dtype
    return all(bool((a - b).abs().max() <= tolerance) for a, b in zip(found, expected, strict=True))


def probe_row(model: Any, max_length: int) -> PackedRow:
    """Returns a packed row of test sequences of a model, on its device, each with its own prompt.

    Args:
        model: A causal language model of transformers, not wrapped.
        max_length: Largest length of a sequence.
    """
    sequences, _ = _probes(model, max_length)
    return pack(sequences, share=False).to(next(model.parameters()).device)


def _alone(model: Any, sequences: Sequence[Scored], *, following: int = 0) -> Tensor:
    """Returns the log-probabilities of the sequences from the model itself, one at a time.

    Args:
        model: A causal language model of transformers.
        sequences: The sequences.
        following: Number of other tokens after each sequence.
    """
    device = next(model.parameters()).device
    logps = []
    with torch.no_grad():
        for sequence in sequences:
            ids = np.concatenate([sequence.prompt_ids, sequence.completion_ids])
            tokens = torch.from_numpy(ids.astype(np.int64)).to(device)
            inputs = torch.cat([tokens[:-1], tokens[-1:].expand(following)])
            logits = model(input_ids=inputs[None], use_cache=False).logits[0]
            start = len(sequence.prompt_ids)
            logps.append(token_logps(logits[start - 1 : len(tokens) - 1], tokens[start:]))
    return torch.cat(logps)


def _probes(model: Any, max_length: int) -> tuple[list[Scored], list[Scored]]:
    """Returns random sequences of a row, and of another one that continues its prompts.

    If possible, one is longer than the window that a token sees.
    """
    config = model.config.get_text_config()
    windows = probed_windows(model.config, max_length)
    lengths = [*PROBE_LENGTHS, *((window, 5) for window in windows.values())]
    rng = np.random.Generator(np.random.PCG64(0))

    def draw(tokens: int) -> Any:
        return rng.integers(0, config.vocab_size, tokens)

    first = [_cut(draw(prompt + completion), prompt, max_length) for prompt, completion in lengths]
    branches = [_continued(sequence, draw(BRANCH), max_length) for sequence in first]
    onto = [_continued(sequence, draw(BRANCH), max_length) for sequence in first]
    other = _cut(draw(12), 4, max_length)
    return [*first, *branches], [*onto, other]


def probed_windows(config: Any, max_length: int) -> dict[str, int]:
    """Returns the attention windows of a model that are shorter than its longest sequence.

    The length above which a model turns its positions by other angles counts too. In transformers
    the longest sequence of a pass decides for all of them.

    Args:
        config: The model's configuration.
        max_length: Largest length of a sequence.
    """
    text = config.get_text_config()
    names = ("sliding_window", "attention_chunk_size")
    windows = {name: getattr(text, name, None) or 0 for name in names}
    windows |= _rotary_limits(text)
    return {name: window for name, window in windows.items() if 0 < window < max_length}


def _rotary_limits(config: Any) -> dict[str, int]:
    """Returns the lengths above which a model has other rotary angles, by type of layer."""
    name = "original_max_position_embeddings"
    found = getattr(config, "rope_parameters", None) or {}
    # Some models have parameters for each type of layer.
    by_layer = found if all(isinstance(each, dict) for each in found.values()) else {"": found}
    return {
        f"{name} {layer}".strip(): int(parameters.get(name) or getattr(config, name, None) or 0)
        for layer, parameters in by_layer.items()
        if parameters.get("rope_type") == "longrope"
    }


def _continued(sequence: Scored, completion: Any, max_length: int) -> Scored:
    """Returns the prompt of a sequence with another completion."""
    ids = np.concatenate([sequence.prompt_ids, completion])
    return _cut(ids, len(sequence.prompt_ids), max_length)


def _cut(ids: Any, prompt: int, max_length: int) -> Scored:
    ids = ids[:max_length].astype(np.int32)
    prompt = min(prompt, len(ids) - 1)
    return Scored(ids[:prompt], ids[prompt:])
