"""Calls a loss's methods, and refuses invalid results with an error that names the plugin.

A loss is somebody else's code. Its results are checked here before they are used, so that a mistake
becomes an error about the loss and its file, and not about halo. No check makes a GPU wait.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, TypeGuard

from halo_core.guarded.blame import blaming, plugin_error
from halo_core.loss import ClassCounts, Head, Loss, LossBatch, LossOutput, Settled

if TYPE_CHECKING:
    from torch import Tensor

_HEAD_NAME = re.compile(r"[A-Za-z0-9_-]+")


def is_tensor(value: object) -> TypeGuard[Tensor]:
    """Returns whether a value is a tensor, without an import of torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_number(value: object) -> TypeGuard[float]:
    """Returns whether a value is a plain number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def output_of(loss: Loss, batch: LossBatch) -> LossOutput:
    """Returns the output of a loss for a batch.

    Args:
        loss: The loss.
        batch: The batch that it sees.

    Raises:
        PluginError: When it returns anything but a `LossOutput` with one loss per example, or
            changes the batch in place, which others also use.
    """
    before = _versions(batch)
    output: object = loss(batch)
    changed = [name for name, version in _versions(batch).items() if version != before[name]]
    if changed:
        what = f"changed {changed[0]} of the batch in place; work on a copy"
        raise plugin_error(loss, "__call__", what)
    return checked_output(loss, "__call__", output, batch, examples=_examples(loss, batch))


def _examples(loss: Loss, batch: LossBatch) -> int:
    """Returns the number of examples in a batch, without reading a GPU."""
    if loss.resolved_feedback() == "scored":
        return batch.examples
    completions = 2 if loss.resolved_feedback() == "paired" else 1
    return len(batch.desirable) // (completions + (batch.sampled is not None))


def _versions(batch: LossBatch) -> dict[str, int]:
    """Returns how often each tensor of a batch was changed in place, as torch counts it."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    values |= batch.heads
    return {name: value._version for name, value in values.items() if is_tensor(value)}


def checked_output(
    loss: Loss, method: str, output: object, batch: LossBatch, *, examples: int
) -> LossOutput:
    """Returns an output after checking it.

    Args:
        loss: The loss whose method returned it.
        method: The method that returned it.
        output: The returned value.
        batch: The batch that the method was given.
        examples: Number of examples in the batch.

    Raises:
        PluginError: When it is not a valid output.
    """
    if not isinstance(output, LossOutput):
        raise plugin_error(
            loss,
            method,
            f"returned {_kind(output)}; expected LossOutput(losses), with one value per example",
        )
    wrong = _wrong_losses(output, batch, examples) or _wrong_extras(output, batch)
    if wrong:
        raise plugin_error(loss, method, wrong)
    return output


def _wrong_losses(output: LossOutput, batch: LossBatch, examples: int) -> str | None:
    losses, weights = output.losses, output.weights
    wrong = _wrong_values("losses", losses, examples)
    if wrong is not None:
        return wrong
    learned = [batch.policy_token_logps, *batch.heads.values()]
    # A reward model learns only through its head. And when a set is only evaluated, nothing has a
    # gradient, which is right.
    if not losses.requires_grad and any(values.requires_grad for values in learned):
        return "gave losses without a gradient; they must depend on the policy or a head"
    if weights is None:
        return None
    wrong = _wrong_values("weights", weights, len(losses))
    if wrong is None and weights.requires_grad:
        return (
            "gave weights with a gradient, which would be wrong: halo divides by the sum of the "
            "weights of the whole step, and knows it only after the backward passes. Use "
            ".detach(). To train through the weights, multiply the losses by them instead"
        )
    return wrong


def _wrong_values(name: str, values: object, examples: int) -> str | None:
    if not is_tensor(values):
        return f"gave {name} that are {_kind(values)}; expected a tensor, one value per example"
    if tuple(values.shape) != (examples,):
        came = f"gave {name} of the shape {tuple(values.shape)}"
        return f"{came} for {examples} examples; expected ({examples},), one value per example"
    if not values.is_floating_point():
        return f"gave {name} of {values.dtype}; expected floats, as the batch has them"
    return None


def _wrong_extras(output: LossOutput, batch: LossBatch) -> str | None:
    rewards, expected = output.rewards, tuple(batch.desirable.shape)
    if rewards is not None and not is_tensor(rewards):
        return f"gave rewards that are {_kind(rewards)}; expected a tensor or None"
    if rewards is not None and tuple(rewards.shape) != expected:
        return (
            f"gave rewards of the shape {tuple(rewards.shape)}; expected {expected}, one per "
            "completion"
        )
    return wrong_metrics(output.metrics)


def wrong_metrics(metrics: object) -> str | None:
    """Returns what is wrong with metrics, name to (sum, count); None if they are valid."""
    if not isinstance(metrics, Mapping):
        return f"gave metrics that are {_kind(metrics)}; expected name to (sum, count)"
    for name, pair in metrics.items():
        if not isinstance(name, str):
            return f"gave the metric {name!r}; expected a text as its name"
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            return f"gave the metric {name!r} as {_kind(pair)}; expected a pair (sum, count)"
        for part, value in zip(("sum", "count"), pair, strict=True):
            if is_tensor(value) and value.is_complex():
                return f"gave the {part} of the metric {name!r} of {value.dtype}; expected a float"
            if is_tensor(value) and value.ndim > 0:
                shape = tuple(value.shape)
                return f"gave the {part} of the metric {name!r} of the shape {shape}; expected []"
            if not is_tensor(value) and not is_number(value):
                return (
                    f"gave the {part} of the metric {name!r} as {_kind(value)}; expected a number "
                    "or a tensor []"
                )
    return None


def changed_logratios(loss: Loss, token_logratios: Tensor) -> Tensor:
    """Returns the tokens' log-ratios that a loss and its reference point see, in nats [N].

    Args:
        loss: The loss that may change them.
        token_logratios: Policy minus reference log-probability of each token, nats [N].

    Raises:
        PluginError: When the loss returns anything but one number per token with the gradient, or
            changes them in place.
    """
    before = token_logratios._version
    changed: object = loss.change_logratios(token_logratios)
    wrong = None
    if not is_tensor(changed):
        wrong = f"returned {_kind(changed)}; expected a tensor, one log-ratio per token"
    elif changed.shape != token_logratios.shape:
        came, expected = tuple(changed.shape), tuple(token_logratios.shape)
        wrong = f"gave log-ratios of the shape {came}; expected {expected}, one per token"
    elif not changed.is_floating_point():
        wrong = f"gave log-ratios of {changed.dtype}; expected floats, as in its input"
    elif token_logratios._version != before:
        wrong = "changed the log-ratios that it was given in place; return a new tensor"
    elif token_logratios.requires_grad and not changed.requires_grad:
        wrong = "gave log-ratios without a gradient; one must flow through the change"
    if wrong is not None:
        raise plugin_error(loss, "change_logratios", wrong)
    assert is_tensor(changed)
    return changed


def with_changed_logratios(loss: Loss, batch: LossBatch) -> LossBatch:
    """Returns the batch that a loss sees, with its change of the tokens' log-ratios.

    The policy's log-probabilities are changed so that they give the changed log-ratios. A loss that
    changes nothing gets the batch itself.

    Raises:
        PluginError: When the loss returns anything but one log-ratio per token.
    """
    reference = batch.reference_token_logps
    if reference is None:
        return batch
    token_logratios = batch.policy_token_logps - reference
    changed = changed_logratios(loss, token_logratios)
    # This returns the same object, not only the same numbers: adding the reference back would
    # round.
    if changed is token_logratios:
        return batch
    return replace(batch, policy_token_logps=reference + changed)


def heads_of(loss: Loss) -> tuple[Head, ...]:
    """Returns the heads that a loss needs.

    Raises:
        PluginError: When it raises, or returns anything but heads with distinct names.
    """
    with blaming(loss, "heads"):
        heads: object = loss.heads()
    if not isinstance(heads, Sequence) or not all(isinstance(head, Head) for head in heads):
        came = _kind(heads) if not isinstance(heads, list | tuple) else repr(list(heads))
        raise plugin_error(loss, "heads", f"returned {came}; expected Heads, as in (Head(...),)")
    names = [head.name for head in heads]
    if len(set(names)) < len(names):
        raise plugin_error(loss, "heads", f"named {names}; expected each with a name of its own")
    for head in heads:
        if wrong := _wrong_head(head):
            raise plugin_error(loss, "heads", f"gave {head}: {wrong}")
    return tuple(heads)


def _wrong_head(head: Head) -> str | None:
    """Returns what is wrong with a head. Its name becomes the name of a torch module."""
    if not isinstance(head.name, str) or not _HEAD_NAME.fullmatch(head.name):
        return f"the name is {head.name!r}; expected letters, digits, - and _"
    if head.at not in ("tokens", "end"):
        return f"at is {head.at!r}; expected 'tokens' or 'end'"
    layers: object = head.hidden_layers
    if not isinstance(layers, int) or isinstance(layers, bool) or layers < 0:
        return f"hidden_layers is {layers!r}; expected a whole number of at least 0"
    return None


def mistakes_within_pairs_of(loss: Loss) -> tuple[str, ...]:
    """Returns what is wrong with a loss's options if it sees only chosen completions.

    Raises:
        PluginError: When it raises, or returns anything but sentences.
    """
    with blaming(loss, "mistakes_within_pairs"):
        mistakes: object = loss.mistakes_within_pairs()
    texts = isinstance(mistakes, tuple | list) and all(isinstance(text, str) for text in mistakes)
    if not (texts and isinstance(mistakes, tuple | list)):
        what = f"returned {mistakes!r}; expected sentences, as in ('... has no effect',)"
        raise plugin_error(loss, "mistakes_within_pairs", what)
    return tuple(mistakes)


def control_tokens_of(loss: Loss) -> tuple[str, str] | None:
    """Returns a loss's tokens for desirable and undesirable completions; None if it has none.

    Raises:
        PluginError: When it raises, or returns anything but None or two different texts.
    """
    with blaming(loss, "control_tokens"):
        tokens: object = loss.control_tokens()
    if tokens is None:
        return None
    texts = isinstance(tokens, tuple | list) and all(
        isinstance(token, str) and token.strip() for token in tokens
    )
    if not (texts and isinstance(tokens, tuple | list) and len(set(tokens)) == 2 == len(tokens)):
        what = f"returned {tokens!r}; expected two texts that differ, or None"
        raise plugin_error(loss, "control_tokens", what)
    desirable, undesirable = tokens
    return desirable, undesirable


def settled(loss: Loss, counts: ClassCounts) -> Settled:
    """Returns the loss settled for the numbers of desirable and undesirable completions.

    Raises:
        PluginError: When it raises, or returns anything but a `Settled` with a copy of itself and
            texts.
    """
    with blaming(loss, "settle"):
        made: object = loss.settle(counts)
    if not isinstance(made, Settled):
        what = f"returned {_kind(made)}; expected Settled(loss, remark, caution)"
        raise plugin_error(loss, "settle", what)
    if not isinstance(made.loss, Loss):
        raise plugin_error(loss, "settle", f"gave a loss that is {_kind(made.loss)}")
    if type(made.loss) is not type(loss):
        what = f"gave another loss, {_kind(made.loss)}; expected a copy of itself"
        raise plugin_error(loss, "settle", what)
    if not isinstance(made.remark, str) or not isinstance(made.caution, str | None):
        what = f"gave the remark {made.remark!r} and the caution {made.caution!r}; expected texts"
        raise plugin_error(loss, "settle", what)
    return made


def statistics_of(loss: Loss, batch: LossBatch) -> Mapping[str, Tensor]:
    """Returns a loss's sums over a micro-batch.

    Raises:
        PluginError: When it returns anything but single numbers by name, without a gradient.
    """
    sums: object = loss.statistics(batch)
    if not isinstance(sums, Mapping):
        what = f"returned {_kind(sums)}; expected name to a tensor []"
        raise plugin_error(loss, "statistics", what)
    for name, value in sums.items():
        if not isinstance(name, str):
            raise plugin_error(loss, "statistics", f"gave the name {name!r}; expected a text")
        if not is_tensor(value) or value.ndim > 0 or value.requires_grad:
            came = f"the shape {tuple(value.shape)}" if is_tensor(value) else _kind(value)
            what = f"gave {name!r} of {came}; expected a tensor [], detached: a sum over examples"
            raise plugin_error(loss, "statistics", what)
    return sums


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


__all__ = [
    "changed_logratios",
    "checked_output",
    "control_tokens_of",
    "heads_of",
    "is_number",
    "is_tensor",
    "mistakes_within_pairs_of",
    "output_of",
    "settled",
    "statistics_of",
    "with_changed_logratios",
    "wrong_metrics",
]
