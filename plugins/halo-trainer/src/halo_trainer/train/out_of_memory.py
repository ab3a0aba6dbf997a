"""Repeats work with half the token budget when memory runs out, or ends with one error.

A single process repeats its work from the start. Several processes cannot, because each has already
exchanged something with the others. The process without memory ends with an error that names the
option, and the others end when it is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from halo_core.errors import UserError
from halo_models.memory_use import is_out_of_memory
from halo_trainer.train.optimizers import Named
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.token_budget import Budget

Result = TypeVar("Result")


class RankOutOfMemory(UserError):
    """A process among several ran out of memory, and the others do not know it."""


class ExampleOutOfMemory(UserError):
    """Even one example at a time needs too much memory."""


class WithinMemory:
    """Repeats work with half the token budget when memory runs out.

    Args:
        ranks: The processes.
        parameters: The trained parameters by name, whose gradients are dropped before a repetition.
        budget: The budget to begin with.
        warn: Shows a warning to the user.

    Attributes:
        budget: The budget to compute with.
    """

    def __init__(
        self, ranks: Ranks, parameters: Named, budget: Budget, warn: Callable[[str], None]
    ) -> None:
        self.budget = budget
        self._ranks = ranks
        self._parameters = parameters
        self._warn = warn

    def run(
        self,
        where: str,
        work: Callable[[], Result],
        *,
        longest: Callable[[], int],
        kept: Callable[[], int | None],
    ) -> Result:
        """Returns the result of work, which is repeated until it fits into memory.

        Args:
            where: The step, and what is computed there, for messages.
            work: The work. It begins from the start each time, and reads the budget.
            longest: Returns the number of tokens of the longest example.
            kept: Returns the step of the last checkpoint; None if there is none.

        Raises:
            ExampleOutOfMemory: When a smaller budget cannot help.
            RankOutOfMemory: When there are several processes. Only this one raises it.
        """
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # The error is gone here, and with it all that its frames hold.
            self._make_room(where, longest, kept)

    def _make_room(
        self, where: str, longest: Callable[[], int], kept: Callable[[], int | None]
    ) -> None:
        for _, parameter in self._parameters:
            parameter.grad = None
        if self._ranks.device.type == "cuda":
            torch.cuda.empty_cache()
        tokens = self.budget.tokens
        where = f"{where}: out of memory with micro_batch_tokens at {tokens}"
        if self._ranks.world > 1:
            step = kept()
            raise RankOutOfMemory(
                f"{where}, in process {self._ranks.rank} of {self._ranks.world}. Set "
                f"micro_batch_tokens to {self.budget.halved().tokens}, or set "
                "gradient_checkpointing: true, and run the same command again: it "
                + (
                    "begins at step 1"
                    if (step := kept()) is None
                    else f"continues from step {step}"
                )
            )
        # A longer example than the budget is alone, so it stays as it is.
        if tokens <= (most := longest()):
            raise ExampleOutOfMemory(
                f"{where}; a smaller one does not help, because the longest example has {most} "
                "tokens. Decrease max_length, set gradient_checkpointing: true, or train low-rank "
                "factors with lora"
            )
        self.budget = self.budget.halved()
        self._warn(f"{where}; repeated with {self.budget.tokens}, which this training keeps")


def outside_of_steps(error: BaseException) -> UserError:
    """Returns the error for memory that ran out outside of the steps."""
    first = str(error).strip().partition("\n")[0]
    return UserError(
        f"out of memory outside of a micro-batch ({first}); the weights, their gradients and the "
        "optimizer's state do not fit. Train low-rank factors with lora, spread the weights over "
        "several processes with sharding: full, or use a device with more memory; halo plan "
        "estimates it"
    )
