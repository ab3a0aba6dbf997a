"""Whether the weights of a model are finite: one pass over them, and one wait for the device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from halo_core.errors import ModelError
from halo_core.stage import ModelInput
from halo_models.shards import is_sharded, local, most_over, sum_over


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

    If they are sharded, the processes exchange what they found, so that all return the same.

    Args:
        named: Name and tensor; what holds no floating-point numbers is passed over.
    """
    tensors = [(name, t) for name, t in named if t.is_floating_point() and t.numel()]
    if not tensors:
        return WeightReport(None, 0, 0.0)
    ends = torch.stack([_ends(t) for _, t in tensors])
    # No NaN is exchanged, because it has no order.
    found = ends.abs().amax(1).nan_to_num(nan=torch.inf, posinf=torch.inf)
    largest = most_over(_first_sharded(tensors), found).tolist()
    bad = [tensors[i] for i, value in enumerate(largest) if not value < float("inf")]
    rest = max((value for value in largest if value < float("inf")), default=0.0)
    return WeightReport(_in_words(*bad[0]) if bad else None, len(bad), rest)


def _ends(tensor: Tensor) -> Tensor:
    """Returns the smallest and the largest number of this process's part of a tensor [2]."""
    own = local(tensor)
    if not own.numel():
        return own.new_zeros(2, dtype=torch.float64)
    # In one pass and without a copy: where one is NaN, both are.
    return torch.stack(_comparable(own).aminmax()).double()


def _first_sharded(tensors: list[tuple[str, Tensor]]) -> Tensor:
    """Returns the first sharded tensor, whose processes share all of them; if none, any tensor."""
    return next((t for _, t in tensors if is_sharded(t)), tensors[0][1])


def _comparable(tensor: Tensor) -> Tensor:
    # torch compares no floats of 8 bits.
    return tensor.float() if tensor.dtype.itemsize == 1 else tensor


def _in_words(name: str, tensor: Tensor) -> str:
    own = _comparable(local(tensor))
    values = own[~own.isfinite()]
    counts = torch.stack([values.new_tensor(len(values)).double(), values.isnan().sum().double()])
    bad, missing = sum_over(tensor, counts).tolist()
    kind = "infinite" if missing == 0 else "NaN" if missing == bad else "NaN or infinite"
    return f"{bad:,.0f} of the {tensor.numel():,} numbers of {name!r} are {kind}"


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
