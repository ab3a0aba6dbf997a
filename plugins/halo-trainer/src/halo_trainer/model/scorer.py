"""The module that computes log-probabilities, the only one through which a model computes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from halo_core.errors import ModelError
from halo_core.loss import Head
from halo_trainer.batch import attention
from halo_trainer.batch.micro_batch import Routed, Scores
from halo_trainer.batch.packing import PackedRow
from halo_trainer.model.heads import read_head
from halo_trainer.model.router import routed

Route = Literal["packed", "padded"]


class Scorer(nn.Module):
    """A language model as a function from packed sequences to token log-probabilities.

    Nothing outside uses a parameter or a submodule. So wrappers (DDP) and models of every kind
    (with tied heads, adapters, or transformed logits) work. Only completion positions reach the
    output head.

    Args:
        model: A causal language model of transformers, or a peft model around one.
        route: ``packed`` computes no padding, and needs `attention.NAME` as the model's attention.
            ``padded`` works for every model.
        compute_dtype: The dtype of matrix products, through autocast if the weights are float32.

    Attributes:
        wanted: The heads in addition to the model's own; see `add_heads`.
        heads: The layers of these heads.
        experts: Number of experts per token, if router statistics are needed; otherwise None.
        scores_tokens: Whether the log-probabilities of tokens are needed. Without them, only the
            states at the ends of sequences reach the output head.
    """

    def __init__(self, model: nn.Module, *, route: Route, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.route = route
        self.compute_dtype = compute_dtype
        self.wanted: tuple[Head, ...] = ()
        self.heads = nn.ModuleDict()
        self.scores_tokens = True
        self.experts: int | None = None

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
        logits = self._packed_logits if self.route == "packed" else self._padded_logits
        device = row.input_ids.device.type
        reduced = self.compute_dtype != torch.float32
        ends = row.ends is not None and any(head.at == "end" for head in self.wanted)
        tokens = self.scores_tokens or not ends
        places = _places(row, tokens=tokens, ends=ends)
        with _states(self.model, self.wanted) as captured:
            with torch.autocast(device, self.compute_dtype, enabled=reduced):
                scores, router_logits = logits(row, places)
        done = None if router_logits is None else self._routed(router_logits, row)
        if not self.wanted:
            return Scores(token_logps(scores, row.targets), {}, done)
        states = self._at(captured[0], row, places)
        parts = {"end": states[-row.sequences :]} if ends else {}
        if not tokens:
            # Zero, but it gives every weight of the output head a gradient.
            values = self._head_values(parts, scores.float().sum() * 0)
            return Scores(scores.new_zeros(len(row.targets), dtype=torch.float32), values, done)
        parts["tokens"] = states[: len(row.targets)]
        logps = token_logps(scores[: len(row.targets)], row.targets)
        return Scores(logps, self._head_values(parts, logps.new_zeros(())), done)

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
        real = None if self.route == "packed" else self._padded(row)[1].flatten().bool()
        return routed(logits, real, chosen=self.experts)

    @property
    def _asked(self) -> dict[str, bool]:
        """Extra arguments of the model, for outputs other than logits."""
        return {} if self.experts is None else {"output_router_logits": True}

    def _packed_logits(
        self, row: PackedRow, places: Tensor
    ) -> tuple[Tensor, Sequence[Tensor] | None]:
        output = self.model(
            input_ids=row.input_ids[None],
            position_ids=row.position_ids[None],
            logits_to_keep=places,
            use_cache=False,
            packed=row.layout,
            **self._asked,
        )
        return output.logits[0], self._router_logits(output)

    def _router_logits(self, output: Any) -> Sequence[Tensor] | None:
        return None if self.experts is None else tuple(output.router_logits or ())

    @staticmethod
    def _padded(row: PackedRow) -> tuple[Tensor, Tensor]:
        """Returns the right-padded sequences, and which tokens are real, each [B, longest]."""
        sequence, position = row.sequence_ids, row.position_ids
        ids = row.input_ids.new_zeros(int(sequence[-1]) + 1, int(position.max()) + 1)
        ids[sequence, position] = row.input_ids
        mask = torch.zeros_like(ids)
        mask[sequence, position] = 1
        return ids, mask

    def _padded_logits(
        self, row: PackedRow, places: Tensor
    ) -> tuple[Tensor, Sequence[Tensor] | None]:
        """Returns the same from right-padded sequences. Causality keeps the padding out."""
        ids, mask = self._padded(row)
        position = row.position_ids
        # Models keep the same positions of all sequences, so this is the first one that any needs.
        first = int(position[places].min())
        positions = torch.arange(first, ids.shape[1], device=ids.device)
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            logits_to_keep=positions,
            use_cache=False,
            **self._asked,
        )
        return self._at(output.logits, row, places), self._router_logits(output)

    def _at(self, values: Tensor, row: PackedRow, places: Tensor) -> Tensor:
        """Returns the values at these places of a row, from the model's output [places, ...]."""
        if self.route == "packed":
            return values[0]
        position = row.position_ids[places]
        return values[row.sequence_ids[places], position - position.min()]


def _places(row: PackedRow, *, tokens: bool, ends: bool) -> Tensor:
    """Returns the positions of a row that reach the output head."""
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


def use_packed_attention(model: Any) -> bool:
    """Returns whether a model accepted the packed attention."""
    attention.register()
    try:
        model.set_attn_implementation(attention.NAME)
    except (ValueError, ImportError, NotImplementedError):
        return False
    return bool(model.config._attn_implementation == attention.NAME)


class _TokenLogps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        scores = logits.float()
        normalisers = scores.logsumexp(dim=-1)
        ctx.save_for_backward(logits, normalisers, targets)
        return scores.gather(1, targets[:, None])[:, 0] - normalisers

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        logits, normalisers, targets = ctx.saved_tensors
        grad = grads[0][:, None]
        # d logp / d logits = one_hot(target) - softmax
        out = torch.sub(logits, normalisers[:, None]).exp_().mul_(-grad)
        at_targets = out.gather(1, targets[:, None]) + grad
        out.scatter_(1, targets[:, None], at_targets)
        return out.to(logits.dtype), None


def token_logps(logits: Tensor, targets: Tensor) -> Tensor:
    """Returns log softmax(logits)[targets], in nats and float32 [N].

    The only array as large as the logits in the backward pass is the gradient itself.

    Args:
        logits: Scores of the whole vocabulary, in any floating-point type [N, V].
        targets: The tokens [N].
    """
    values: Tensor = _TokenLogps.apply(logits, targets)  # type: ignore[no-untyped-call]
    return values
