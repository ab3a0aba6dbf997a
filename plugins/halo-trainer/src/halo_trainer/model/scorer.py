"""The module that computes log-probabilities, the only one through which a model computes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from halo_core.errors import ModelError
from halo_core.loss import Head
from halo_trainer.batch import attention
from halo_trainer.batch.micro_batch import Routed, Scores, joined
from halo_trainer.batch.packing import PackedRow, pack
from halo_trainer.batch.variable_length import KERNEL, Heads, usable
from halo_trainer.model.heads import read_head
from halo_trainer.model.output_head import output_head_of, token_logps
from halo_trainer.model.router import routed

Route = Literal["packed", "padded"]


class Scorer(nn.Module):
    """A language model as a function from packed sequences to token log-probabilities.

    Nothing outside uses a parameter or a submodule. So wrappers (DDP) and models of every kind
    (with tied heads, adapters, or transformed logits) work. Only completion positions reach the
    output head, and they do so in chunks.

    Args:
        model: A causal language model of transformers, or a peft model around one.
        route: ``packed`` computes no padding, and needs `attention.NAME` as the model's attention.
            ``padded`` works for every model, and computes each prompt with each of its completions.
        compute_dtype: The dtype of matrix products, through autocast if the weights are float32.
        chunked: Whether the output head is computed in chunks. Otherwise the model itself gives
            all scores of the vocabulary at once.
        together: Whether the model computes all sequences of a row in one pass. Otherwise it
            computes one after another.

    Attributes:
        wanted: The heads in addition to the model's own; see `add_heads`.
        heads: The layers of these heads.
        experts: Number of experts per token, if router statistics are needed; otherwise None.
        scores_tokens: Whether the log-probabilities of tokens are needed. Without them, only the
            states at the ends of sequences are used.
        shares: Whether the model computes a prompt once for several completions.
        layers: Shapes of the attention layers, if the packed attention computes them.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        route: Route,
        compute_dtype: torch.dtype,
        chunked: bool = False,
        together: bool = True,
    ) -> None:
        super().__init__()
        self.model = model
        self.route = route
        self.compute_dtype = compute_dtype
        self.chunked = chunked
        self.together = together
        self.wanted: tuple[Head, ...] = ()
        self.heads = nn.ModuleDict()
        self.scores_tokens = True
        self.experts: int | None = None
        self.shares = route == "packed"
        self.layers: frozenset[Heads] = frozenset()

    def add_heads(self, wanted: Sequence[Head], heads: nn.ModuleDict, *, tokens: bool) -> None:
        """Adds heads to the model's own.

        Args:
            wanted: Descriptions of the heads.
            heads: Layers of the heads by name.
            tokens: Whether log-probabilities of tokens are also needed.
        """
        self.wanted = tuple(wanted)
        self.heads = heads
        self.scores_tokens = tokens

    def forward(self, row: PackedRow) -> Scores:
        """Returns the log-probability of each completion token of a row, and the head outputs.

        A head that reads ends returns nothing for a row without `ends`.
        """
        if self.together or len(row.sequences) == 1:
            return self._in_one_pass(row)
        ends, device = row.ends is not None, row.input_ids.device
        rows = (pack([sequence], ends=ends).to(device) for sequence in row.sequences)
        return joined([self._in_one_pass(each) for each in rows])

    def _in_one_pass(self, row: PackedRow) -> Scores:
        ends = row.ends is not None and any(head.at == "end" for head in self.wanted)
        tokens = self.scores_tokens or not ends
        places = _places(row, tokens=tokens, ends=ends)
        compute = self._from_states if self.chunked else self._from_logits
        logps, states, router_logits = compute(row, places, tokens=tokens)
        done = None if router_logits is None else self._routed(router_logits, row)
        if not self.wanted:
            return Scores(logps, {}, done)
        parts = {"end": states[-len(row.sequences) :]} if ends else {}
        if tokens:
            parts["tokens"] = states[: len(row.targets)]
            nothing = logps.new_zeros(())
        else:
            # Zero, but it gives every weight of the output head a gradient.
            nothing = logps.sum() * 0
            logps = logps.new_zeros(len(row.targets))
        return Scores(logps, self._head_values(parts, nothing), done)

    def _from_states(
        self, row: PackedRow, places: Tensor, *, tokens: bool
    ) -> tuple[Tensor, Tensor, Sequence[Tensor] | None]:
        """Returns log-probabilities, the states at the places, and the routers' logits."""
        made = output_head_of(self.model, self.compute_dtype)
        assert made is not None
        body, head = made
        with self._autocast(row):
            output = body(**self._inputs(row), use_cache=False, **self._asked)
        states = self._at(output.last_hidden_state, row, places)
        targets = row.targets if tokens else row.targets.new_zeros(len(places))
        logps = head.token_logps(states[: len(targets)], targets)
        return logps, states, self._router_logits(output)

    def _from_logits(
        self, row: PackedRow, places: Tensor, *, tokens: bool
    ) -> tuple[Tensor, Tensor, Sequence[Tensor] | None]:
        """Returns the same from the scores that the model itself gives for the whole vocabulary."""
        # Models keep the same positions of all sequences, so they are all that any needs.
        if self.route == "packed":
            kept = places
        else:
            # From the sequences, so that nobody waits for a GPU.
            longest = max(_lengths(row))
            first = min(len(s.prompt_ids) - 1 if tokens else s.tokens for s in row.sequences)
            kept = torch.arange(first, longest, device=places.device)
        with _states(self.model, self.wanted) as captured, self._autocast(row):
            output = self.model(
                **self._inputs(row), logits_to_keep=kept, use_cache=False, **self._asked
            )
        at = self._kept_at(row, places)
        scores = output.logits[at]
        states = captured[0][at] if captured else scores
        targets = row.targets if tokens else row.targets.new_zeros(len(places))
        logps = token_logps(scores[: len(targets)], targets)
        return logps, states, self._router_logits(output)

    def _autocast(self, row: PackedRow) -> torch.autocast:
        reduced = self.compute_dtype != torch.float32
        return torch.autocast(row.input_ids.device.type, self.compute_dtype, enabled=reduced)

    def _inputs(self, row: PackedRow) -> dict[str, Any]:
        if self.route == "packed":
            return {
                "input_ids": row.input_ids[None],
                "position_ids": row.position_ids[None],
                "packed": row.layout,
            }
        # Causality keeps the padding on the right out.
        ids, mask = _padded(row)
        return {"input_ids": ids, "attention_mask": mask}

    def _at(self, values: Tensor, row: PackedRow, places: Tensor) -> Tensor:
        """Returns the values at these places of a row, from those of all tokens [B, L, D]."""
        if self.route == "packed":
            return values[0].index_select(0, places)
        return values[row.sequence_ids[places], row.position_ids[places]]

    def _kept_at(self, row: PackedRow, places: Tensor) -> tuple[Tensor | int, ...]:
        """Returns the index of each place among the positions that the model kept."""
        if self.route == "packed":
            return (0,)
        position = row.position_ids[places]
        return row.sequence_ids[places], position - position.min()

    def _head_values(self, states: Mapping[str, Tensor], nothing: Tensor) -> dict[str, Tensor]:
        return {
            head.name: read_head(self.heads[head.name], head, states[head.at]) + nothing
            for head in self.wanted
            if head.at in states
        }

    def _routed(self, logits: Sequence[Tensor], row: PackedRow) -> Routed:
        assert self.experts is not None
        if not logits:
            raise ModelError(
                f"{type(self.model).__name__} does not tell what its routers do, so their load "
                "cannot be balanced; leave router_aux_loss_coef out",
                location="router_aux_loss_coef",
            )
        # Padding counts for nothing, and a shared prompt for each of its completions.
        weights = row.shared if self.route == "packed" else _padded(row)[1].flatten()
        return routed(logits, weights, chosen=self.experts)

    @property
    def _asked(self) -> dict[str, bool]:
        """Extra arguments of the model, for outputs other than logits."""
        return {} if self.experts is None else {"output_router_logits": True}

    def _router_logits(self, output: Any) -> Sequence[Tensor] | None:
        return None if self.experts is None else tuple(output.router_logits or ())


def _padded(row: PackedRow) -> tuple[Tensor, Tensor]:
    """Returns the right-padded sequences, and which tokens are real, each [B, longest]."""
    device = row.input_ids.device
    lengths = _lengths(row)
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    for i, (sequence, length) in enumerate(zip(row.sequences, lengths, strict=True)):
        whole = np.concatenate([sequence.prompt_ids, sequence.completion_ids])[:length]
        ids[i, :length] = torch.from_numpy(whole.astype(np.int64))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return ids.to(device), mask.long().to(device)


def _lengths(row: PackedRow) -> list[int]:
    """Returns the number of tokens of each sequence that are computed."""
    extra = 0 if row.ends is None else 1
    return [sequence.tokens + extra for sequence in row.sequences]


def _places(row: PackedRow, *, tokens: bool, ends: bool) -> Tensor:
    """Returns the positions of a row whose hidden states are needed."""
    if not ends or row.ends is None:
        return row.scored
    return torch.cat([row.scored, row.ends]) if tokens else row.ends


@contextmanager
def _states(model: Any, wanted: Sequence[Head]) -> Iterator[list[Tensor]]:
    """Yields a list that receives the last hidden states, which reach the output head."""
    captured: list[Tensor] = []
    if not wanted:
        yield captured
        return
    layer = model.get_output_embeddings()
    handle = layer.register_forward_pre_hook(lambda _, inputs: captured.append(inputs[0]))
    try:
        yield captured
    finally:
        handle.remove()


@contextmanager
def without_dropout(module: nn.Module) -> Iterator[None]:
    """Disables dropout inside the context, and restores the module's mode afterwards."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


def kernel_of(scorer: Scorer) -> str:
    """Returns the kernel for sequences of different lengths; "" if no layer is computed by it."""
    device, dtype = next(scorer.parameters()).device, scorer.compute_dtype
    tried = [usable(heads, device=device, dtype=dtype, plain=True) for heads in scorer.layers]
    return KERNEL if any(tried) else ""


def use_packed_attention(model: Any) -> bool:
    """Returns whether a model accepted the packed attention."""
    attention.register()
    try:
        model.set_attn_implementation(attention.NAME)
    except (ValueError, ImportError, NotImplementedError):
        return False
    return bool(model.config._attn_implementation == attention.NAME)
