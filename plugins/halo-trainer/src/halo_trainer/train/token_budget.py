"""The token budget of micro-batches: how it is found before the first step, and its record.

On a GPU, the longest examples are computed forward and backward with falling budgets. On a CPU, the
bytes that such a row keeps for its backward pass are counted, because a host without memory ends
processes instead of raising an error. They are also counted if weights are sharded, because a
process that tries a larger row than the others would wait for them forever. Neither changes
weights, gradients or random states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor

from halo_models.memory_use import is_out_of_memory
from halo_models.shards import local
from halo_trainer.batch.micro_batch import computed_tokens
from halo_trainer.encode.examples import EncodedExample
from halo_trainer.model.scorer import Scorer
from halo_trainer.sharding.shard import gathered_bytes, is_spread
from halo_trainer.sizes.memory import OPTIMIZER_STATES
from halo_trainer.train.objective import Objective
from halo_trainer.train.optimizers import Named
from halo_trainer.train.reference.scores import LiveReference
from halo_trainer.train.sharding_choice import free_bytes

Option = int | Literal["auto"]
BEFORE = 4096
"""The budget that was the default before checkpoints stored one."""
MOST = {"cpu": 4096, "cuda": 65_536}
"""Largest budget to try, by kind of device. Larger rows make a CPU no faster."""
LEAST = 128
"""Smallest budget to try. If it is too large, memory for one example is hardly there."""
SHARE = {"cpu": 0.5, "cuda": 0.9}
"""Share of the free memory to use. Others also use a host, and rows differ in what they need."""
LOOKED_AT = 4096
"""Number of examples among which the longest are searched for."""


@dataclass(frozen=True)
class Budget:
    """A token budget of micro-batches.

    Attributes:
        tokens: Largest number of tokens of a micro-batch.
        option: The option that it comes from.
    """

    tokens: int
    option: Option

    def halved(self) -> Budget:
        """Returns half the budget, from the same option."""
        return Budget(max(1, self.tokens // 2), self.option)


def first_budget(
    option: Option, stored: Budget | None, *, done: int, find: Callable[[], int]
) -> Budget:
    """Returns the budget to begin or continue with.

    Args:
        option: The option of this call.
        stored: The budget of the checkpoint; None if there is none, or none was stored.
        done: Number of steps that are done.
        find: Returns the budget that fits into memory.
    """
    if stored is not None and stored.option == option:
        return stored
    if option != "auto":
        return Budget(option, option)
    if stored is None and done > 0:
        return Budget(BEFORE, option)
    return Budget(find(), option)


def budget_that_fits(
    objective: Objective,
    parameters: Named,
    optimizer: torch.optim.Optimizer,
    data: Sequence[EncodedExample],
    batch_size: int,
) -> int:
    """Returns a budget whose micro-batches fit into the memory of every process.

    Args:
        objective: The models and the loss.
        parameters: The trained parameters by name, without a gradient.
        optimizer: Optimiser of the parameters.
        data: The examples to learn from.
        batch_size: Number of examples per step.
    """
    ranks = objective.ranks
    longest = longest_examples(objective, data, -(-batch_size // ranks.world))
    sizes = [size_of(objective, example) for example in longest]
    trained = [parameter for _, parameter in parameters]
    with _untouched(objective, trained):
        if ranks.device.type == "cuda" and not is_spread(objective.policy):
            found = _that_fits_gpu(objective, trained, optimizer, longest, sizes)
        else:
            found = _that_fits_by_count(objective, trained, optimizer, longest, sizes)
    found_by_all: list[int] = ranks.gather(found)
    return min(found_by_all)


def longest_examples(
    objective: Objective, data: Sequence[EncodedExample], count: int
) -> list[EncodedExample]:
    """Returns the longest of some examples that are spread over the data, the longest first."""
    every = -(-len(data) // LOOKED_AT)
    looked_at = [data[i] for i in range(0, len(data), every)]
    return sorted(looked_at, key=lambda example: -size_of(objective, example))[:count]


def size_of(objective: Objective, example: EncodedExample) -> int:
    """Returns the number of tokens that the policy computes for an example."""
    return computed_tokens(example, share=objective.shares_prompts_now)


@contextmanager
def _untouched(objective: Objective, parameters: Sequence[Tensor]) -> Iterator[None]:
    """Keeps random states as they are, and drops gradients. Processes exchange nothing inside."""
    device = objective.ranks.device
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices), objective.ranks.aside(objective.policy):
            yield
    finally:
        for parameter in parameters:
            parameter.grad = None


def _row(examples: Sequence[EncodedExample], sizes: Sequence[int], budget: int) -> int:
    """Returns the number of examples, at least 1, that fit into a budget, the longest first."""
    tokens = 0
    for count, size in enumerate(sizes):
        tokens += size
        if tokens > budget:
            return max(1, count)
    return len(examples)


def _scored(objective: Objective, examples: Sequence[EncodedExample]) -> list[Tensor]:
    """Returns the policy's values for examples, whose gradient flows to all trained weights."""
    micro = objective.collate(examples)
    scores = objective.scores(micro, None)
    if isinstance(objective.reference, LiveReference):
        objective.reference.token_logps(micro.row)
    values = [scores.token_logps, *scores.heads.values()]
    return [value for value in values if value.requires_grad]


def _lacking_bytes(parameters: Sequence[Tensor], optimizer: torch.optim.Optimizer) -> int:
    """Returns the bytes of the optimiser's state that its first step will take."""
    states = OPTIMIZER_STATES.get(type(optimizer).__name__, 2)
    new = [local(p) for p in parameters if not optimizer.state.get(p)]
    return states * sum(p.numel() * p.element_size() for p in new)


def _that_fits_gpu(
    objective: Objective,
    parameters: Sequence[Tensor],
    optimizer: torch.optim.Optimizer,
    longest: Sequence[EncodedExample],
    sizes: Sequence[int],
) -> int:
    device = objective.ranks.device
    free, _ = torch.cuda.mem_get_info(device)
    usable = SHARE["cuda"] * (free + torch.cuda.memory_reserved(device))
    budget = MOST["cuda"]
    # Of more than the longest examples of a step, nothing can be tried.
    while budget // 2 >= max(LEAST, sum(sizes)):
        budget //= 2
    while budget > LEAST:
        examples = longest[: _row(longest, sizes, budget)]
        if _peak_bytes(objective, parameters, optimizer, examples) <= usable:
            break
        budget //= 2
    # The peak that is logged is that of the training.
    torch.cuda.reset_peak_memory_stats(device)
    return budget


def _peak_bytes(
    objective: Objective,
    parameters: Sequence[Tensor],
    optimizer: torch.optim.Optimizer,
    examples: Sequence[EncodedExample],
) -> float:
    """Returns the most bytes on the GPU while examples are computed; infinite for too many."""
    device = objective.ranks.device
    torch.cuda.reset_peak_memory_stats(device)
    try:
        lacking = _lacking_bytes(parameters, optimizer)
        held: Any = torch.empty(lacking, dtype=torch.uint8, device=device)
        torch.stack([value.sum() for value in _scored(objective, examples)]).sum().backward()  # type: ignore[no-untyped-call]
        return float(torch.cuda.max_memory_allocated(device))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return float("inf")
    finally:
        held = None  # noqa: F841
        for parameter in parameters:
            parameter.grad = None
        torch.cuda.empty_cache()


def _that_fits_by_count(
    objective: Objective,
    parameters: Sequence[Tensor],
    optimizer: torch.optim.Optimizer,
    longest: Sequence[EncodedExample],
    sizes: Sequence[int],
) -> int:
    device = objective.ranks.device
    examples = longest[: _row(longest, sizes, LEAST)]
    # The backward pass takes about as much again.
    per_token = 2 * _kept_bytes(objective, examples) / sum(sizes[: len(examples)])
    # The gradients of sharded weights are whole while they accumulate.
    held = parameters if objective.accumulates else [local(p) for p in parameters]
    gradients = sum(p.numel() * p.element_size() for p in held)
    usable = SHARE[device.type] * free_bytes(objective.ranks)
    usable -= gradients + _lacking_bytes(parameters, optimizer)
    if is_spread(objective.policy):
        usable -= gathered_bytes(cast(Scorer, objective.policy))
    budget = MOST[device.type]
    while budget > LEAST and budget * per_token > usable:
        budget //= 2
    return budget


def _kept_bytes(objective: Objective, examples: Sequence[EncodedExample]) -> int:
    """Returns the bytes that the policy keeps for the backward pass of examples."""
    weights = {local(p).untyped_storage().data_ptr() for p in objective.policy.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        # A result that is kept for its own gradient would hold the whole pass, and the weights, for
        # ever: the cycle is in C++, where Python's garbage collector does not see it.
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _scored(objective, examples)
    # Weights that were gathered for the pass have been released; `gathered_bytes` counts them.
    return sum(storage.nbytes() for storage in kept.values())
