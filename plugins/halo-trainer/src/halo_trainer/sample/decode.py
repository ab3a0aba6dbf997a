"""Completions of several prompts without padding: prompts packed, keys kept, ended rows gone.

Each prompt is computed once, however many completions it gets. Each following pass computes one
token per unfinished completion. Prompts beyond a limit wait until others have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from halo_trainer.batch.attention import FILLED, SHORT, AttentionLayout, KeptKeys, Segment
from halo_trainer.sample.key_blocks import Decoding, RowBlock

PROMPT_TOKENS = 4096
"""Largest number of tokens of prompts in one pass. More make no device faster, and take memory."""

JOIN_AT = 0.25
"""Share of the limit that must be free before waiting prompts join, unless nothing else is left."""

ChooseNext = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Takes logits [T, V], the number of each one's completion [T] and the position in it [T], and
returns the next token of each [T]."""


def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    samples: int,
    ends: Sequence[int],
    max_new_tokens: int,
    choose_next: ChooseNext,
    limit: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> list[list[int]]:
    """Returns the tokens that a model writes after prompts, with the token that ends them, if any.

    Completion ``p * samples + s`` is number s of prompt p.

    Args:
        model: A transformers causal language model with the attention `key_blocks.NAME`.
        prompts: Token ids of each prompt, at least one each.
        samples: Number of completions of each prompt.
        ends: Ids of the tokens that end a completion.
        max_new_tokens: Largest number of tokens of a completion.
        choose_next: Chooses the next tokens.
        limit: Largest number of tokens of prompts and completions that are in memory at once. One
            prompt is computed even if it has more. None for no limit.
        stopped: Whether to stop early. It is called after every pass.
    """
    return _Run(model, prompts, samples, ends, max_new_tokens, choose_next, limit).made(stopped)


class _Run:
    def __init__(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        samples: int,
        ends: Sequence[int],
        most: int,
        choose_next: ChooseNext,
        limit: int | None,
    ) -> None:
        self._model = model
        self._prompts = prompts
        self._samples = samples
        self._ends = frozenset(ends)
        self._most = most
        self._choose_next = choose_next
        self._limit = limit
        self._device = model.device
        self._made: list[list[int]] = [[] for _ in range(len(prompts) * samples)]
        self._blocks: list[RowBlock] = []
        # Prompts of similar length share a block.
        self._waiting = sorted(range(len(prompts)), key=lambda p: -len(prompts[p]))

    def made(self, stopped: Callable[[], bool]) -> list[list[int]]:
        with torch.inference_mode():
            while (self._waiting or self._blocks) and not stopped():
                if joining := self._joining():
                    self._begin(joining)
                else:
                    self._go_on()
        return self._made

    def _joining(self) -> list[int]:
        """Returns the waiting prompts that are computed now, and removes them."""
        if not self._waiting:
            return []
        free = self._room()
        joining: list[int] = []
        tokens = 0
        for prompt in self._waiting:
            tokens += len(self._prompts[prompt])
            free -= self._tokens(prompt)
            alone = not joining and not self._blocks
            if not alone and (free < 0 or (joining and tokens > PROMPT_TOKENS)):
                break
            joining.append(prompt)
        self._waiting = self._waiting[len(joining) :]
        return joining

    def _room(self) -> float:
        """Returns the number of tokens for which there is room, or 0 if it is too little to use."""
        if self._limit is None:
            return float("inf")
        free = self._limit - sum(block.tokens for block in self._blocks)
        return free if free >= JOIN_AT * self._limit or not self._blocks else 0

    def _tokens(self, prompt: int) -> int:
        return self._samples * (len(self._prompts[prompt]) + self._most)

    def _begin(self, prompts: Sequence[int]) -> None:
        """Computes prompts in one pass, and chooses the first token of their completions."""
        ids = [self._prompts[prompt] for prompt in prompts]
        lengths = [len(each) for each in ids]
        starts = np.cumsum([0, *lengths[:-1]]).tolist()
        segments = [Segment(*each) for each in zip(starts, lengths, strict=True)]
        kept = KeptKeys()
        layout = replace(AttentionLayout.of(segments).to(self._device), kept=kept)
        positions = torch.cat([torch.arange(length) for length in lengths])
        last = (torch.tensor(starts) + torch.tensor(lengths) - 1).to(self._device)
        tokens = torch.tensor([token for each in ids for token in each])
        logits = self._logits(tokens, positions.to(self._device), layout, last)
        blocks: list[RowBlock] = []
        order: list[int] = []
        for group in _groups(lengths):
            members = [place for place in group for _ in range(self._samples)]
            numbers = [number for _ in group for number in range(self._samples)]
            rows = [prompts[p] * self._samples + n for p, n in zip(members, numbers, strict=True)]
            sizes, begun = [lengths[p] for p in members], [starts[p] for p in members]
            blocks.append(RowBlock(rows, sizes, kept, begun, self._most, self._device))
            order += members
        self._take(blocks, logits[torch.tensor(order, device=self._device)])
        self._blocks += [block for block in blocks if len(block)]

    def _go_on(self) -> None:
        """Computes the last token of each completion, and chooses the next one."""
        for block in self._blocks:
            block.advance()
        tokens = torch.tensor([self._made[row][-1] for block in self._blocks for row in block.rows])
        positions = torch.cat([block.positions for block in self._blocks])
        logits = self._logits(tokens, positions, Decoding(self._blocks), None)
        self._take(self._blocks, logits)
        self._blocks = [block for block in self._blocks if len(block)]

    def _logits(
        self,
        tokens: Tensor,
        positions: Tensor,
        packed: AttentionLayout | Decoding,
        at: Tensor | None,
    ) -> Tensor:
        """Returns the logits at some tokens of a row, or at all [T, V]."""
        keep = {} if at is None else {"logits_to_keep": at}
        logits: Tensor = self._model(
            input_ids=tokens.to(self._device)[None],
            position_ids=positions[None],
            packed=packed,
            use_cache=False,
            **keep,
        ).logits[0]
        # A model that does not know the option gives the logits of all tokens.
        return logits[at] if at is not None and len(logits) == len(tokens) else logits

    def _take(self, blocks: Sequence[RowBlock], logits: Tensor) -> None:
        """Chooses the next token of each row of some blocks, and ends those that are complete."""
        rows = [row for block in blocks for row in block.rows]
        places = [len(self._made[row]) for row in rows]
        numbers = torch.tensor([rows, places], device=self._device)
        chosen = self._choose_next(logits, numbers[0], numbers[1]).tolist()
        for row, token in zip(rows, chosen, strict=True):
            self._made[row].append(token)
        for block in blocks:
            left = [place for place, row in enumerate(block.rows) if not self._has_ended(row)]
            if len(left) < len(block):
                block.keep(left)

    def _has_ended(self, row: int) -> bool:
        made = self._made[row]
        return len(made) >= self._most or made[-1] in self._ends


def _groups(lengths: Sequence[int]) -> list[list[int]]:
    """Returns the places of prompts in groups of similar length, the longest first."""
    groups: list[list[int]] = []
    longest = 0
    for place in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if groups and (longest <= SHORT or lengths[place] >= FILLED * longest):
            groups[-1].append(place)
        else:
            groups.append([place])
            longest = lengths[place]
    return groups
