"""Whether the weights of a model are finite: one pass over them, and one wait for the device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from halo_core.errors import ModelError
from halo_core.stage import ModelInput


@dataclass(frozen=True)
class WeightReport:
    """The result of a pass over weights.

    Attributes:
        bad: The first tensor with NaN or an infinite number, in words; None if there is none.
        count: Number of such tensors.
        largest: The largest absolute value among the other tensors.
    """

    bad: str | None
    count: int
    largest: float


@torch.no_grad()
def look_over(named: Iterable[tuple[str, Tensor]]) -> WeightReport:
    """Returns whether tensors on one device are finite.

    Args:
        named: Name and tensor; what holds no floating-point numbers is passed over.
    """
    tensors = [(name, t) for name, t in named if t.is_floating_point() and t.numel()]
    if not tensors:
        return WeightReport(None, 0, 0.0)
    # The smallest and the largest in one pass and without a copy: where one is NaN, both are.
    ends = torch.stack([torch.stack(_comparable(t).aminmax()).double() for _, t in tensors])
    largest = ends.abs().amax(1).tolist()
    bad = [tensors[i] for i, value in enumerate(largest) if not value < float("inf")]
    rest = max((value for value in largest if value < float("inf")), default=0.0)
    return WeightReport(_in_words(*bad[0]) if bad else None, len(bad), rest)


def _comparable(tensor: Tensor) -> Tensor:
    # torch compares no floats of 8 bits.
    return tensor.float() if tensor.dtype.itemsize == 1 else tensor


def _in_words(name: str, tensor: Tensor) -> str:
    wrong = ~_comparable(tensor).isfinite()
    values = _comparable(tensor)[wrong]
    kind = "NaN" if bool(values.isnan().all()) else "NaN or infinite"
    kind = kind if bool(values.isnan().any()) else "infinite"
    return f"{len(values):,} of the {tensor.numel():,} numbers of {name!r} are {kind}"


def check_weights(network: torch.nn.Module, model: ModelInput) -> None:
    """Checks that a model that was loaded is finite.

    Raises:
        ModelError: When it does not; it names the tensor.
    """
    report = look_over(network.named_parameters())
    if report.bad is not None:
        more = f" (and of {report.count - 1} more tensors)" if report.count > 1 else ""
        raise ModelError(
            f"{report.bad}{more}. Expected finite weights: this model would say nothing but "
            "nonsense. Save or download it again, or train it again with a lower learning_rate",
            location=model.path,
        )
