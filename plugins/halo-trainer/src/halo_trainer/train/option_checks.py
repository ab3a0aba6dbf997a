"""Checks for options that contradict each other, the loss or the optimiser. They need no torch.

Each function yields pairs of an option and a message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from halo_core.feedback import Feedback
from halo_core.guarded.loss_calls import control_tokens_of, mistakes_within_pairs_of
from halo_core.loss import Loss
from halo_core.reference_point import RefPointEstimator
from halo_core.reference_update import ReferenceUpdate
from halo_trainer.model.lora_options import LoraOptions
from halo_trainer.train.optimizers import Option, unknown_options, wrong_values
from halo_trainer.train.reference.shares import TRIED, UNMIXABLE, mixes_weights, shares_of

PROVIDED = (
    "policy_logps",
    "reference_logps",
    "reference_point",
    "reference_samples",
    "statistics",
    "scores",
    "sampler_logps",
)
"""The needs of a loss that the stage can provide."""

Mistakes = Iterator[tuple[str, str]]


def loss_mistakes(loss: Loss) -> Mistakes:
    """Yields what a loss needs that the stage cannot provide."""
    for need in sorted(set(loss.needed()) - set(PROVIDED)):
        yield "loss", f"needs {need!r}, which train cannot compute; it can compute {PROVIDED}"
    scored = loss.resolved_feedback() == "scored"
    if "scores" in loss.needed() and not scored:
        yield "loss", f"needs 'scores', which {loss.resolved_feedback()} feedback does not have"
    if "reference_samples" in loss.needed() and scored:
        yield "loss", "needs a sample of the reference, which has no score within a group"


def reference_mistakes(
    loss: Loss, estimator: RefPointEstimator | None, *, reference_named: bool, compares: bool
) -> Mistakes:
    """Yields conflicts between a loss, a reference point and a reference model.

    Args:
        loss: The loss.
        estimator: The reference point that is named, or the loss's own; None if there is none.
        reference_named: Whether a reference model is named.
        compares: Whether the loss or its reference point compares with a reference model.
    """
    needs = set(loss.needed())
    if estimator is not None and "reference_point" not in needs:
        yield "reference_point", "the loss uses no reference point; leave it out"
    if reference_named and not compares:
        yield "reference", "the loss uses no reference model; leave it out"
    lacking = estimator is None and not loss.resolved_reference_point()
    if "reference_point" in needs and lacking:
        yield "reference_point", "the loss needs one and has no default; name one"
    suits = loss.resolved_feedback() == "binary" and "reference_logps" in needs
    if estimator is not None and estimator.observes == "pair" and not suits:
        yield (
            "reference_point",
            "takes the point from within pairs, for a loss on binary feedback that compares "
            "with a reference model, such as kto or prospect; this loss is not one of them",
        )
    if estimator is not None and estimator.observes == "pair":
        for mistake in mistakes_within_pairs_of(loss):
            yield "loss", mistake


def sample_mistakes(loss: Loss, *, samples_named: bool) -> Mistakes:
    """Yields a mistake unless samples of the reference are named exactly if the loss needs them."""
    wanted = "reference_samples" in loss.needed()
    if wanted and not samples_named:
        yield (
            "samples",
            "the loss is regularised on samples of the reference: name a sample stage that "
            "answers every prompt of the data",
        )
    if samples_named and not wanted:
        yield "samples", "the loss uses no samples of the reference; leave it out"


def update_mistakes(
    update: ReferenceUpdate | None, *, compares: bool, adapted: bool, steps: int | None
) -> Mistakes:
    """Yields mistakes about a reference that takes in the policy's weights.

    Args:
        update: The reference update; None if the reference never changes.
        compares: Whether there is a reference.
        adapted: Whether only low-rank factors are trained.
        steps: Number of optimiser steps; None if it depends on the data.
    """
    if update is None:
        return
    if not compares:
        yield "reference_update", "the loss uses no reference model; leave it out"
    shares = shares_of(update, min(steps or TRIED, TRIED))
    if adapted and mixes_weights(shares):
        yield "reference_update", UNMIXABLE


def store_mistakes(*, compares: bool, updated: bool, stored: bool) -> Mistakes:
    """Yields a mistake if the reference's log-probabilities cannot be stored.

    Args:
        compares: Whether there is a reference.
        updated: Whether the reference takes in the policy's weights.
        stored: Whether its log-probabilities should come from a store.
    """
    if stored and not compares:
        yield "reference_store", "the loss uses no reference model; leave it out"
    if stored and updated:
        yield (
            "reference_store",
            "keeps what a reference computes, but reference_update changes the reference; leave "
            "one of them out",
        )


def control_token_mistakes(loss: Loss, feedback: Feedback, lora: LoraOptions | None) -> Mistakes:
    """Yields mistakes if a loss's control tokens could not be placed or learned."""
    tokens = control_tokens_of(loss)
    if tokens is None:
        return
    if feedback in ("paired", "scored"):
        what = "pair" if feedback == "paired" else "group"
        yield "loss", f"puts a control token after each prompt, but a {what} shares one prompt"
    if lora is not None and lora.train_tokens != "new":
        if not set(tokens) <= set(lora.train_tokens or ()):
            yield (
                "lora",
                "leaves the embeddings as they are, so control tokens could not be learned; set "
                "lora.train_tokens: new, or train all weights",
            )


def duration_mistakes(epochs: int | None, steps: int | None, warmup_steps: int) -> Mistakes:
    """Yields conflicts between epochs, steps and warm-up."""
    if epochs is not None and steps is not None:
        yield "steps", "epochs and steps are both given; give one of them"
    if steps is not None and warmup_steps > steps:
        yield "warmup_steps", f"{warmup_steps} is more than the {steps} steps"


def length_mistakes(max_length: int | None, max_prompt_length: int | None) -> Mistakes:
    """Yields a mistake if prompts leave no room for a completion."""
    if max_length is None or max_prompt_length is None or max_prompt_length < max_length:
        return
    yield "max_prompt_length", f"{max_prompt_length} leaves no room in max_length {max_length}"


def optimizer_mistakes(name: str, options: Mapping[str, Option]) -> Mistakes:
    """Yields options that the optimiser does not have, and values that it cannot take."""
    for message in (*unknown_options(name, options), *wrong_values(name, options)):
        yield "optimizer_options", message


def export_mistakes(
    every: int | None, sets: int, *, keep_best: int | None, updated: bool
) -> Mistakes:
    """Yields mistakes if the step with the lowest loss cannot be found, or is not kept."""
    if not sets:
        yield "export", "there is no evaluation to find the best step; name sets under `evaluate`"
    elif every is None:
        yield "export", "only the last step is measured; set evaluate_every"
    if keep_best == 0:
        yield "keep_best", "0 keeps no checkpoint to export; leave it out"
    if updated:
        yield (
            "export",
            "losses of different steps compare with different references under reference_update, "
            "so the lowest loss means nothing; leave export out",
        )


def evaluation_mistakes(every: int | None, sets: int, *, keep_best: int | None) -> Mistakes:
    """Yields mistakes if there is nothing to evaluate on."""
    if keep_best is not None and keep_best > 1 and not sets:
        yield (
            "keep_best",
            "there is no evaluation to find the best step; name sets under `evaluate`",
        )
    if every is not None and not sets:
        yield "evaluate_every", "there is nothing to evaluate on; name sets under `evaluate`"


def unfinished_mistakes(unfinished: str, reads: Feedback) -> Mistakes:
    """Yields a mistake if completions should get labels, but the feedback has none."""
    if unfinished == "undesirable" and reads != "binary":
        yield (
            "unfinished",
            f"is undesirable, but {reads} feedback has no labels; expected keep or drop",
        )
