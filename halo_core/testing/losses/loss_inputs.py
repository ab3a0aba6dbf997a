"""Checks how a loss treats its inputs: it leaves them as they are, and follows their dtype."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Literal

from halo_core.errors import UserError
from halo_core.guarded.loss_calls import is_tensor
from halo_core.loss import Loss, LossBatch
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.losses.loss_cases import (
    TOKENS,
    Case,
    batch_of,
    call,
    extreme_cases,
    inputs_of,
    mixed_case,
    ordinary_cases,
    settled_loss,
)
from halo_core.testing.options.option_effects import legal_variants

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DTYPES = ("bfloat16", "float32", "float64")
"""Dtypes in which a loss is called."""

LARGEST_SLOPE = 1e-6
"""Derivatives whose sign is wrong by at most this count as zero."""

SAME = 1e-12
"""Relative tolerance in float64 for the same call again."""


def check_untouched(loss: Loss) -> None:
    """Checks that a call leaves inputs and random state as they are, and is repeatable.

    The batches also include those with extreme log-ratios, where a loss may be tempted to clamp
    its inputs, and batches in float32, whose memory a conversion such as ``.float().numpy()``
    shares. A change through ``tensor.data`` counts too.

    Raises:
        AssertionError: When an input has another value, has a gradient after the call, or asks for
            a gradient that it did not ask for before, when the random state or a setting of torch
            changes, or when the same call gives other losses.
    """
    loss = settled_loss(loss)
    _check_settings(loss)
    for case in (*ordinary_cases(loss), *extreme_cases(loss)):
        _check_untouched(loss, case, "float32")
        _check_untouched(loss, case, "float64")
    _check_without_gradients(loss, mixed_case(loss))


def _check_untouched(loss: Loss, case: Case, dtype: Literal["float32", "float64"]) -> None:
    import torch

    batch, before = batch_of(loss, case, dtype=dtype), batch_of(loss, case, dtype=dtype)
    inputs = inputs_of(loss, batch)
    asked = {name: tensor.requires_grad for name, tensor in tensors_of(batch).items()}
    random.random(), torch.rand(1)  # An earlier call may have set the seed already.
    states = random.getstate(), torch.get_rng_state()
    first = call(loss, batch, case)
    then = tensors_of(before)
    for name, now in tensors_of(batch).items():
        expect(
            torch.equal(now.detach(), then[name]),
            loss,
            f"on {case.name}: it changes the batch's {name} in place; work on a copy",
        )
        expect(
            now.requires_grad == asked[name],
            loss,
            f"on {case.name}: it sets requires_grad of the batch's {name} to "
            f"{now.requires_grad}; expected {asked[name]}, as it came",
        )
    for name, tensor in inputs.items():
        expect(
            tensor.grad is None,
            loss,
            f"on {case.name}: after the call, {name} has a gradient already, which the gradient "
            "of the training is added to; expected none. Use torch.autograd.grad, or leave "
            "backward() to the training",
        )
    expect(
        random.getstate() == states[0] and torch.equal(torch.get_rng_state(), states[1]),
        loss,
        "it draws random numbers or sets a seed; a resumed run would not repeat them",
    )
    again = call(loss, batch, case).losses
    expect(
        torch.allclose(again, first.losses, rtol=SAME, atol=SAME, equal_nan=True),
        loss,
        f"called again, losses are {again.tolist()}; expected {first.losses.tolist()}",
    )


def _check_settings(loss: Loss) -> None:
    """Checks that a call leaves those settings of torch as they are that hold for all code."""
    import torch

    case = mixed_case(loss)
    kept = torch.get_default_dtype()
    try:
        for name in ("float32", "float64"):
            batch = batch_of(loss, case)
            inputs_of(loss, batch)
            dtype: torch.dtype = getattr(torch, name)
            torch.set_default_dtype(dtype)
            call(loss, batch, case)
            now = torch.get_default_dtype()
            expect(
                now == dtype,
                loss,
                f"it changes torch's default dtype from {dtype} to {now}; all code after it would "
                "make other tensors",
            )
            expect(torch.is_grad_enabled(), loss, "it turns gradients off for all code after it")
    finally:
        torch.set_default_dtype(kept)
        torch.set_grad_enabled(True)


def _check_without_gradients(loss: Loss, case: Case) -> None:
    """Checks a call of an evaluation, in which gradients are off."""
    import torch

    batch = batch_of(loss, case)
    inputs_of(loss, batch)
    usual = call(loss, batch, case).losses.detach()
    # As in an evaluation, no input has a gradient either. A loss around others checks their output.
    evaluated = batch_of(loss, case)
    with torch.no_grad():
        losses = call(loss, evaluated, case).losses
        turned_on = torch.is_grad_enabled()
    expect(
        not turned_on,
        loss,
        "it turns gradients on for all code after it, where they were off: an evaluation would "
        "need the memory of a training. Use `with torch.enable_grad():`",
    )
    expect(
        torch.allclose(losses.detach(), usual, rtol=SAME, atol=SAME, equal_nan=True),
        loss,
        f"where gradients are off, as in an evaluation, losses are {losses.tolist()}; expected "
        f"{usual.tolist()}",
    )


def check_dtype_and_device(loss: Loss) -> None:
    """Checks that the output has the dtype and the device of the inputs.

    The default device is another one during the call, so a tensor that the loss makes without
    naming the device of its inputs is noticed, as it would be on a GPU.

    Raises:
        AssertionError: When the call raises, or when losses, weights or rewards have another dtype
            or device.
    """
    import torch

    loss = settled_loss(loss)
    case = mixed_case(loss)
    for name in DTYPES:
        dtype: torch.dtype = getattr(torch, name)
        batch = in_dtype(batch_of(loss, case), dtype)
        if any(tensor.is_meta for tensor in tensors_of(batch).values()):
            continue
        inputs_of(loss, batch)
        doing = (
            f"a call in {name}, with CPU inputs and another default device (make tensors with "
            "batch.policy_logps.new_tensor, torch.zeros_like or device=)"
        )
        with must_not_raise(loss, doing), torch.device("meta"):
            output = loss(batch)
        for part in ("losses", "weights", "rewards"):
            values: Tensor | None = getattr(output, part, None)
            if values is None:
                continue
            expect(
                values.dtype == dtype,
                loss,
                f"with inputs in {name}, {part} are in {_dtype(values)}; expected {name}",
            )
            expect(
                values.device.type == "cpu",
                loss,
                f"with inputs on the CPU, {part} are on {values.device}; expected the device of "
                "the inputs",
            )


def check_direction(loss: Loss) -> None:
    """Checks the signs of the derivatives where the policy equals its reference.

    There, the loss must not rise with the log-probability of a desirable completion, and not fall
    with that of an undesirable one, also with other values of its options: a share of wrong labels
    above one half, for example, would reverse what is learned. Elsewhere nothing is asked: losses
    such as IPO turn. With scores or heads, options may decide what an example is compared with, so
    only the given ones are checked.

    Raises:
        AssertionError: When a derivative has the wrong sign.
    """
    _check_direction(settled_loss(loss), "Is a sign wrong?")
    for variant in legal_variants(loss):
        if variant.resolved_feedback() == "scored" or variant.heads():
            continue
        with suppress(UserError):
            _check_direction(
                settled_loss(variant),
                "Do the bounds of an option allow values that reverse what is learned?",
            )


def _check_direction(loss: Loss, hint: str) -> None:
    import torch

    if "policy_logps" not in loss.needed():
        return
    mixed = mixed_case(loss)
    case = replace(mixed, name="a policy that equals its reference", policy=mixed.reference)
    batch = batch_of(loss, case)
    inputs = inputs_of(loss, batch)
    output = call(loss, batch, case)
    (slopes,) = torch.autograd.grad(
        (output.losses * output.counts).sum(), [inputs[TOKENS]], allow_unused=True
    )
    if slopes is None:
        return
    for token, slope in enumerate(slopes.tolist()):
        liked = is_liked(case, int(batch.sequence_index[token]), scored=batch.scores is not None)
        if liked is None or not (slope > LARGEST_SLOPE if liked else slope < -LARGEST_SLOPE):
            continue
        kind = "a desirable" if liked else "an undesirable"
        expect(
            False,
            loss,
            f"on {case.name}: the loss {'rises' if slope > 0 else 'falls'} when {kind} completion "
            f"becomes more likely (derivative {slope:.3g}); expected the opposite. {hint}",
        )


def is_liked(case: Case, row: int, *, scored: bool) -> bool | None:
    """Returns whether a completion should become more likely; None if nothing is known.

    Of scored completions, only the best and the worst one of the whole batch are known, if the
    score of the best one is positive and that of the worst one negative: a score may be compared
    with 0, with the mean of its group, or with that of the global batch.
    """
    if case.sampled[row]:
        return None
    if not scored:
        return case.desirable[row]
    best, worst = max(case.scores), min(case.scores)
    if not worst < 0 < best:
        return None
    return {best: True, worst: False}.get(case.scores[row])


def in_dtype(batch: LossBatch, dtype: torch.dtype) -> LossBatch:
    """Returns a batch whose numbers, without scores, are in another dtype."""

    def converted(value: object) -> object:
        if isinstance(value, Mapping):
            return {name: converted(each) for name, each in value.items()}
        floating = getattr(value, "is_floating_point", None)
        return value.detach().to(dtype) if floating and floating() else value  # type: ignore[attr-defined]

    values = {field.name: converted(getattr(batch, field.name)) for field in fields(LossBatch)}
    values["scores"] = batch.scores  # Scores have float64 in every training.
    return replace(batch, **values)  # type: ignore[arg-type]


def tensors_of(batch: LossBatch) -> dict[str, Tensor]:
    """Returns all tensors of a batch by name, without missing ones."""
    found: dict[str, Tensor] = {}
    for field in fields(LossBatch):
        value = getattr(batch, field.name)
        if isinstance(value, Mapping):
            found |= {f"{field.name}[{name!r}]": tensor for name, tensor in value.items()}
        elif is_tensor(value):
            found[field.name] = value
    return found


def _dtype(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")
