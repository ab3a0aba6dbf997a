"""Checks of the shapes of a loss's arguments, so that nothing is broadcast by mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def check_pairs(function: str, **values: Tensor) -> None:
    """Checks that all arguments have one value per pair.

    Args:
        function: Name of the calling function, for the message.
        **values: The arguments by name [P].

    Raises:
        ValueError: When a shape is different. The error has all names and shapes.
    """
    shapes = [tuple(tensor.shape) for tensor in values.values()]
    if len(shapes[0]) != 1 or any(shape != shapes[0] for shape in shapes):
        came = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in values.items())
        raise ValueError(f"{function}: {came}: all must have the shape [P], one value per pair")


def check_completions(
    function: str,
    policy_logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    reference_point: Tensor,
) -> None:
    """Checks the arguments of a loss on desirable and undesirable completions.

    Args:
        function: Name of the calling function, for the message.
        policy_logps: Must be [B].
        ref_logps: Must be [B].
        desirable: Must be [B] bool.
        reference_point: Must be [] or [B].

    Raises:
        ValueError: When a shape is different, or `desirable` is not bool.
    """
    import torch

    expected = tuple(policy_logps.shape)
    for name, values in {"ref_logps": ref_logps, "desirable": desirable}.items():
        if len(expected) != 1 or tuple(values.shape) != expected:
            raise ValueError(
                f"{function}: policy_logps {expected} and {name} {tuple(values.shape)} must both "
                "have the shape [B], one value per completion"
            )
    if tuple(reference_point.shape) not in ((), expected):
        raise ValueError(
            f"{function}: reference_point has the shape {tuple(reference_point.shape)}; expected "
            f"[] (one for the batch) or {expected} (one per completion)"
        )
    if desirable.dtype != torch.bool:
        raise ValueError(f"{function}: desirable is {desirable.dtype}; expected torch.bool")


def check_tokens(function: str, sequence_index: Tensor, **values: Tensor) -> None:
    """Checks that all arguments have one value per token.

    Args:
        function: Name of the calling function, for the message.
        sequence_index: The completion of each token [N].
        **values: The arguments by name [N].

    Raises:
        ValueError: When a shape is different. The error has all names and shapes.
    """
    expected = tuple(sequence_index.shape)
    if len(expected) != 1 or any(tuple(tensor.shape) != expected for tensor in values.values()):
        came = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in values.items())
        raise ValueError(
            f"{function}: {came} and sequence_index {expected}: all must have the shape [N], one "
            "value per token"
        )
