"""Options of a training that contradict each other, the loss or the optimiser; no torch.

Each function yields pairs of an option and what is wrong with it.
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
from halo_trainer.train.reference_shares import TRIED, UNMIXABLE, mixes_weights, shares_of

PROVIDED = (
    "policy_logps",
    "reference_logps",
    "reference_point",
    "reference_samples",
    "statistics",
)
"""What the stage can compute for a loss."""

Mistakes = Iterator[tuple[str, str]]


def loss_mistakes(loss: Loss) -> Mistakes:
    """What the stage cannot do for a loss."""
    for need in sorted(set(loss.needed()) - set(PROVIDED)):
        yield "loss", f"needs {need!r}, which train cannot compute; it has {PROVIDED}"
    if loss.resolved_feedback() == "scored":
        yield "loss", "learns from scored feedback, which train cannot read yet"


def reference_mistakes(
    loss: Loss, estimator: RefPointEstimator | None, *, reference_named: bool, compares: bool
) -> Mistakes:
    """What does not go together of a loss, a reference point and a reference model.

    Args:
        loss: What is minimised.
        estimator: The reference point that is named or the loss's own; None where there is none.
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
            "with a reference model, such as kto or prospect; this loss is none",
        )
    if estimator is not None and estimator.observes == "pair":
        for mistake in mistakes_within_pairs_of(loss):
            yield "loss", mistake


def sample_mistakes(loss: Loss, *, samples_named: bool) -> Mistakes:
    """Whether samples of the reference are named exactly where a loss wants them."""
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
    """What is wrong with a reference that takes in the policy's weights.

    Args:
        update: When it does; None for never.
        compares: Whether there is a reference.
        adapted: Whether only low-rank factors are trained.
        steps: Optimiser steps; None where the data decide.
    """
    if update is None:
        return
    if not compares:
        yield "reference_update", "the loss uses no reference model; leave it out"
    shares = shares_of(update, min(steps or TRIED, TRIED))
    if adapted and mixes_weights(shares):
        yield "reference_update", UNMIXABLE


def control_token_mistakes(loss: Loss, feedback: Feedback, lora: LoraOptions | None) -> Mistakes:
    """Where the control tokens of a loss could not be put, or not be learned."""
    tokens = control_tokens_of(loss)
    if tokens is None:
        return
    if feedback == "paired":
        yield "loss", "puts a control token behind each prompt, which a pair shares"
    if lora is not None and lora.train_tokens != "new":
        if not set(tokens) <= set(lora.train_tokens or ()):
            yield (
                "lora",
                "leaves the embeddings as they are, so control tokens could not be learned; set "
                "lora.train_tokens: new, or train all weights",
            )


def duration_mistakes(epochs: int | None, steps: int | None, warmup_steps: int) -> Mistakes:
    """What does not go together of epochs, steps and warm-up."""
    if epochs is not None and steps is not None:
        yield "steps", "epochs and steps are both given; give one of them"
    if steps is not None and warmup_steps > steps:
        yield "warmup_steps", f"{warmup_steps} is more than the {steps} steps"


def length_mistakes(max_length: int | None, max_prompt_length: int | None) -> Mistakes:
    """Whether prompts leave room for a completion."""
    if max_length is None or max_prompt_length is None or max_prompt_length < max_length:
        return
    yield "max_prompt_length", f"{max_prompt_length} leaves no room in max_length {max_length}"


def optimizer_mistakes(name: str, options: Mapping[str, Option]) -> Mistakes:
    """Options that an optimiser does not have, and values that it cannot take."""
    for message in (*unknown_options(name, options), *wrong_values(name, options)):
        yield "optimizer_options", message


def export_mistakes(every: int | None, sets: int, *, keep_best: int, updated: bool) -> Mistakes:
    """Whether the step with the lowest loss can be told and is kept, where it is to be exported."""
    if not sets:
        yield "export", "nothing is evaluated that could be best; name sets under `evaluate`"
    elif every is None:
        yield "export", "only the last step is measured; set evaluate_every"
    if keep_best == 0:
        yield "keep_best", "0 keeps no checkpoint that could be exported; leave it out"
    if updated:
        yield (
            "export",
            "losses of different steps compare with different references under reference_update, "
            "so the lowest says nothing; leave export out",
        )


def evaluation_mistakes(every: int | None, sets: int, *, keep_best: int) -> Mistakes:
    """Whether there is something to evaluate on."""
    if keep_best > 1 and not sets:
        yield "keep_best", "nothing is evaluated that could be best; name sets under `evaluate`"
    if every is not None and not sets:
        yield "evaluate_every", "there is nothing to evaluate on; name sets under `evaluate`"


def unfinished_mistakes(unfinished: str, reads: Feedback) -> Mistakes:
    """Labels for completions that have none."""
    if unfinished == "undesirable" and reads != "binary":
        yield (
            "unfinished",
            f"is undesirable, but {reads} feedback has no labels; expected keep or drop",
        )
