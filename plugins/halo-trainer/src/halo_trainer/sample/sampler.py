"""A model's completions of a batch of prompts, by the fastest way that is right for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from halo_core.errors import NotFiniteError, UserError
from halo_core.sampling import Sampling
from halo_models.memory_use import is_out_of_memory
from halo_trainer.model.output_head import token_logps
from halo_trainer.sample.decode import decode
from halo_trainer.sample.generate import go_on
from halo_trainer.sample.logit_watch import LogitWatch
from halo_trainer.sample.next_token import choose, uniforms

Route = Literal["packed", "padded", "single"]
"""How completions are computed: `decode` without padding, or transformers' `generate` with left
padding, or for one completion at a time."""

Named = tuple[str, Sequence[int]]
"""The id of a prompt and its token ids."""


@dataclass(frozen=True)
class Generated:
    """A completion from a model.

    Attributes:
        token_ids: The token ids, without the token that ended the completion; None if a server
            gave only the text.
        finish: ``stop`` if the model ended it, ``length`` if it was cut off.
        token_logps: Log-probability of each token under the model in nats, before temperature,
            top-k and top-p. If the finish is ``stop``, one more for the token that ended it, unless
            this is not the one that is trained. None if a server did not give them.
        text: The text, if there are no token ids.
        unusable: Why its log-probabilities cannot be used, if a server gave some.
    """

    token_ids: list[int] | None
    finish: Literal["stop", "length"]
    token_logps: list[float] | None = None
    text: str = ""
    unusable: str = ""


@dataclass
class Room:
    """The largest number of tokens of prompts and completions in memory at once.

    Attributes:
        tokens: The number; None for no limit.
        warn: Receives a warning when memory ran out and the limit became smaller.
    """

    tokens: int | None = None
    warn: Callable[[str], None] = lambda _: None

    def shrink(self, used: int, most: int) -> None:
        """Halves the limit.

        Args:
            used: Number of tokens of the work that did not fit.
            most: Number of tokens of the longest completion and its prompt.

        Raises:
            UserError: When a single completion did not fit.
        """
        tokens = min(used, self.tokens or used)
        if tokens <= most:
            raise UserError(
                f"out of memory with a prompt and a completion of {most} tokens. Lower "
                "max_new_tokens or max_prompt_length, or use a device with more memory"
            )
        self.tokens = max(most, tokens // 2)
        self.warn(
            f"out of memory with {tokens} tokens of prompts and completions at once; repeated with "
            f"{self.tokens}, which this sampling keeps. Set tokens_at_once to begin with it"
        )


@dataclass(frozen=True)
class Sampler:
    """A model with everything that determines its completion of a prompt.

    Attributes:
        model: A transformers causal language model.
        ends: Ids of the tokens that end a completion, beginning with the one that is trained.
        choice: How the next token is chosen.
        max_new_tokens: Length at which a completion is cut off.
        seed: Seed of the random numbers that tokens are drawn with.
        stopped: Whether to stop early. It is called after every pass of the model.
        route: How completions are computed; see `halo_trainer.sample.probe`.
        samples: Number of completions of each prompt.
        room: Largest number of tokens in memory at once.
    """

    model: Any
    ends: Sequence[int]
    choice: Sampling
    max_new_tokens: int
    seed: int
    stopped: Callable[[], bool] = lambda: False
    route: Route = "padded"
    samples: int = 1
    room: Room = field(default_factory=Room)

    def batch(
        self, prompts: Sequence[Named], drew: Callable[[int], None] | None = None
    ) -> list[Generated] | None:
        """Returns the completions of each prompt, one prompt after another; None if stopped early.

        If memory runs out, it begins again with half as many tokens at once. The random numbers
        are the same, so only rounding can change a completion.

        Args:
            prompts: Prompt id and token ids of each.
            drew: Receives the number of tokens that were drawn, after each pass.

        Raises:
            NotFiniteError: When no token can be drawn from the model's logits.
            UserError: When there is not enough memory for one completion.
        """
        while True:
            try:
                return self._batch(prompts, drew or (lambda _: None))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # The error is gone here, and with it all that its frames hold.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            sizes = [len(ids) + self.max_new_tokens for _, ids in prompts]
            self.room.shrink(sum(sizes) * self.samples, max(sizes))

    def positions(self, prompts: int) -> int:
        """Returns the largest number of tokens that are drawn for a batch of prompts."""
        return self.max_new_tokens * prompts * self.samples

    def _batch(
        self, prompts: Sequence[Named], drew: Callable[[int], None]
    ) -> list[Generated] | None:
        drawer = _Drawer(self, prompts, drew)
        if self.route == "packed":
            made = decode(
                self.model,
                [ids for _, ids in prompts],
                samples=self.samples,
                ends=self.ends,
                max_new_tokens=self.max_new_tokens,
                choose_next=drawer.next,
                limit=self.room.tokens,
                stopped=lambda: bool(drawer.watch.any()) or self.stopped(),
            )
        else:
            made = self._by_generate(prompts, drawer)
        drawer.check()
        return None if self.stopped() else [*map(self._ended, made, drawer.logps.tolist())]

    def _by_generate(self, prompts: Sequence[Named], drawer: _Drawer) -> list[list[int]]:
        """Returns the tokens of each completion by transformers' `generate`, group by group."""
        ids = [ids for _, ids in prompts for _ in range(self.samples)]
        made: list[list[int]] = []
        while len(made) < len(ids) and not self.stopped():
            group = self._group(ids[len(made) :])
            rows = torch.arange(len(made), len(made) + len(group), device=self.model.device)

            def choose_next(scores: Tensor, position: int, rows: Tensor = rows) -> Tensor:
                return drawer.next(scores, rows, torch.full_like(rows, position))

            made += go_on(
                self.model,
                group,
                ends=self.ends,
                max_new_tokens=self.max_new_tokens,
                choose_next=choose_next,
                # On the device: generation looks there after every token anyway.
                stopped=lambda: drawer.watch.any() | self.stopped(),
            ).tolist()
            if drawer.watch.any():
                break
        return made

    def _group(self, ids: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
        """Returns the first of these prompts, as many as are computed together."""
        if self.route == "single":
            return ids[:1]
        if self.room.tokens is None:
            return ids
        width = 0
        for count, prompt in enumerate(ids):
            width = max(width, len(prompt) + self.max_new_tokens)
            if count and width * (count + 1) > self.room.tokens:
                return ids[:count]
        return ids

    def _ended(self, ids: list[int], logps: list[float]) -> Generated:
        for position, token in enumerate(ids):
            if token in self.ends:
                # Training ends a completion with the first of these tokens, whichever was drawn.
                known = position + (token == self.ends[0])
                return Generated(ids[:position], "stop", logps[:known])
        return Generated(ids, "length", logps[: len(ids)])


class _Drawer:
    """Draws the tokens of a batch, and records their log-probabilities.

    Attributes:
        watch: Watches the logits.
        logps: Log-probability of each drawn token [completions, positions].
    """

    def __init__(
        self, sampler: Sampler, prompts: Sequence[Named], drew: Callable[[int], None]
    ) -> None:
        most, device = sampler.max_new_tokens, sampler.model.device
        numbers = [
            uniforms(sampler.seed, name, most, sample)
            for name, _ in prompts
            for sample in range(sampler.samples)
        ]
        self._prompts = prompts
        self._samples = sampler.samples
        self._choice = sampler.choice
        self._drew = drew
        self._numbers = torch.from_numpy(np.stack(numbers)).to(device)
        self.logps = torch.zeros(len(numbers), most, dtype=torch.float32, device=device)
        self.watch = LogitWatch(len(numbers), sampler.ends, device)

    def next(self, logits: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        """Returns the next token of some completions [R].

        Args:
            logits: Scores of the next token [R, V].
            rows: The completions, by number [R].
            positions: Position in each completion [R].
        """
        usable = self.watch.see(logits, positions, rows)
        tokens = choose(usable, self._numbers[rows, positions], self._choice)
        self.logps[rows, positions] = token_logps(usable, tokens)
        self.watch.drew(tokens, rows)
        self._drew(len(rows))
        return tokens

    def check(self) -> None:
        """Raises `NotFiniteError` if no token could be drawn from some logits."""
        if bad := self.watch.first():
            raise NotFiniteError(
                f"prompt {self._prompts[bad.row // self._samples][0]}: the logits of token "
                f"{bad.position + 1} of its completion are {bad.what}; expected finite numbers. "
                "The model is damaged or its training diverged: train it again with a lower "
                "learning_rate, or sample with precision: float32"
            )
