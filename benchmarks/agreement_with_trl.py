"""Compares halo's DPO and KTO with TRL 1.16's on one model and batch: losses and gradients.

TRL's side is its own trainers' `compute_loss`. Our side runs the pure functions of halo-methods on
log-probabilities that are computed here, sequence by sequence, without padding. The model is a
small Llama of random weights; the reference is another one. The weights are float64, but TRL's
fused output head works in float32, whose rounding is what the differences below show.

TRL is no dependency of halo. In an environment with halo's plugins:

    pip install trl==1.16.0
    python benchmarks/agreement_with_trl.py

Prints one line per comparison; exits with 1 when a difference exceeds 1e-5, with 2 without TRL.
"""

from __future__ import annotations

import copy
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import datasets
import torch
from torch import Tensor

from halo_methods.dpo import dpo_loss
from halo_methods.kto import kto_loss
from halo_methods.mismatched_kl import mismatched_kl

TOLERANCE = 1e-5
"""Absolute for losses, in nats; for gradients relative to the largest entry of each tensor."""
EXPECTED_TRL = "1.16."
WORDS = "the cow says moo and a dog barks while seven ants walk home slowly".split()
ROWS = 8
LABEL_SMOOTHING = 0.1

Batch = dict[str, Tensor]
Loss = Callable[[torch.nn.Module, torch.nn.Module, Batch], Tensor]


@dataclass(frozen=True)
class Agreement:
    """How far two computations of one loss lie apart."""

    name: str
    ours: float
    trl: float
    gradient: float

    @property
    def holds(self) -> bool:
        """Whether loss and gradient agree within the tolerance."""
        return abs(self.ours - self.trl) <= TOLERANCE and self.gradient <= TOLERANCE


def main() -> int:
    try:
        import trl
    except ModuleNotFoundError:
        print("TRL is not installed; expected 1.16: pip install trl==1.16.0", file=sys.stderr)
        return 2
    datasets.disable_progress_bars()
    if not trl.__version__.startswith(EXPECTED_TRL):
        print(f"warning: TRL is {trl.__version__}; this was written for 1.16.0", file=sys.stderr)
    torch.set_num_threads(1)
    agreements = [*dpo_agreements(beta=0.1), *kto_agreements(beta=0.1), *kto_agreements(beta=0.5)]
    print_table(agreements)
    return 0 if all(agreement.holds for agreement in agreements) else 1


def print_table(agreements: Sequence[Agreement]) -> None:
    print(f"{'':44}{'halo':>12}{'TRL':>12}{'difference':>12}{'gradient':>12}")
    for row in agreements:
        difference = abs(row.ours - row.trl)
        verdict = "" if row.holds else "  beyond 1e-5"
        print(
            f"{row.name:44}{row.ours:12.7f}{row.trl:12.7f}{difference:12.1e}{row.gradient:12.1e}"
            + verdict
        )


def dpo_agreements(beta: float) -> list[Agreement]:
    """DPO on the batch and on each pair alone, and label smoothing from TRL's two directions."""
    from trl import DPOConfig, DPOTrainer

    policy, reference = make_model(seed=1), make_model(seed=2)
    trainer = DPOTrainer(
        model=copy.deepcopy(policy),
        ref_model=copy.deepcopy(reference),
        args=DPOConfig(beta=beta, **common_options()),
        train_dataset=paired_rows(),
        processing_class=make_tokenizer(),
    )
    batch = next(iter(trainer.get_train_dataloader()))

    def ours(policy: torch.nn.Module, reference: torch.nn.Module, batch: Batch) -> Tensor:
        return our_dpo(policy, reference, batch, beta, label_smoothing=0.0)

    def ours_smoothed(policy: torch.nn.Module, reference: torch.nn.Module, batch: Batch) -> Tensor:
        return our_dpo(policy, reference, batch, beta, label_smoothing=LABEL_SMOOTHING)

    def trl_loss(batch: Batch) -> Tensor:
        return trainer.compute_loss(trainer.model, batch)

    def trl_smoothed(batch: Batch) -> Tensor:
        swapped = {name: values.roll(ROWS, dims=0) for name, values in batch.items()}
        return (1 - LABEL_SMOOTHING) * trl_loss(batch) + LABEL_SMOOTHING * trl_loss(swapped)

    def compared(name: str, ours: Loss, theirs: Callable[[Batch], Tensor], b: Batch) -> Agreement:
        return compare(name, ours(policy, reference, b), policy, theirs(b), trainer.model)

    name = f"DPO beta {beta}"
    pairs = [{key: v[[row, row + ROWS]] for key, v in batch.items()} for row in range(ROWS)]
    return [
        compared(name, ours, trl_loss, batch),
        compared(f"{name} smoothing {LABEL_SMOOTHING}", ours_smoothed, trl_smoothed, batch),
        *(compared(f"{name} pair {i}", ours, trl_loss, pair) for i, pair in enumerate(pairs)),
    ]


def kto_agreements(beta: float) -> list[Agreement]:
    """KTO on the batch, on each class alone, and on each completion with its own pair as z0."""
    from trl import KTOConfig, KTOTrainer

    weights = {"desirable_weight": 0.8, "undesirable_weight": 1.25}
    policy, reference = make_model(seed=1), make_model(seed=2)
    trainer = KTOTrainer(
        model=copy.deepcopy(policy),
        ref_model=copy.deepcopy(reference),
        args=KTOConfig(beta=beta, **weights, **common_options()),
        train_dataset=binary_rows(),
        processing_class=make_tokenizer(),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    label = batch["label"].bool()

    def compared(name: str, rows: Tensor) -> Agreement:
        part = {key: values[rows] for key, values in batch.items()}
        losses, point = our_kto(policy, reference, part, beta, weights)
        theirs = trainer.compute_loss(trainer.model, part)
        title = f"KTO beta {beta} {name}, z0 {point:.3f}"
        return compare(title, losses.mean(), policy, theirs, trainer.model)

    return [
        compared("mixed", torch.arange(ROWS)),
        compared("desirable only", label.nonzero().flatten()),
        compared("undesirable only", (~label).nonzero().flatten()),
        *(compared(f"completion {row}", torch.tensor([row])) for row in range(ROWS)),
    ]


def our_dpo(
    policy: torch.nn.Module,
    reference: torch.nn.Module,
    batch: Batch,
    beta: float,
    label_smoothing: float,
) -> Tensor:
    """The mean of `dpo_loss` over a batch of TRL's, chosen completions in its first half."""
    chosen, rejected = completion_logps(policy, batch).chunk(2)
    ref_chosen, ref_rejected = completion_logps(reference, batch).detach().chunk(2)
    losses = dpo_loss(
        chosen, rejected, ref_chosen, ref_rejected, beta=beta, label_smoothing=label_smoothing
    )
    return losses.mean()


def our_kto(
    policy: torch.nn.Module,
    reference: torch.nn.Module,
    batch: Batch,
    beta: float,
    weights: dict[str, float],
) -> tuple[Tensor, float]:
    """`kto_loss` of a batch of TRL's, and the reference point of the mismatched pairs it holds."""
    with torch.no_grad():
        logratios = completion_logps(policy, batch, "KL_") - completion_logps(
            reference, batch, "KL_"
        )
    point = mismatched_kl(logratios.tolist())
    losses = kto_loss(
        completion_logps(policy, batch),
        completion_logps(reference, batch).detach(),
        batch["label"].bool(),
        torch.tensor(point, dtype=torch.float64),
        beta=beta,
        **weights,
    )
    return losses, point


def completion_logps(model: torch.nn.Module, batch: Batch, prefix: str = "") -> Tensor:
    """Summed log-probability of each completion [B], one sequence at a time, padding cut off."""
    logps = []
    for ids, seen, completion in zip(
        batch[f"{prefix}input_ids"],
        batch[f"{prefix}attention_mask"].bool(),
        batch[f"{prefix}completion_mask"].bool(),
        strict=True,
    ):
        tokens = ids[seen]
        predictions = model(tokens[None]).logits[0, :-1].log_softmax(-1)
        token_logps = predictions.gather(1, tokens[1:, None])[:, 0]
        logps.append(token_logps[completion[seen][1:]].sum())
    return torch.stack(logps)


def compare(
    name: str, our_loss: Tensor, our_model: torch.nn.Module, their_loss: Tensor, their_model: object
) -> Agreement:
    """Compares values, and the gradients of all weights."""
    assert isinstance(their_model, torch.nn.Module)
    ours, theirs = dict(our_model.named_parameters()), dict(their_model.named_parameters())
    assert ours.keys() == theirs.keys()
    our_gradients = torch.autograd.grad(our_loss, list(ours.values()))
    their_gradients = torch.autograd.grad(their_loss, [theirs[key] for key in ours])
    worst = max(
        ((mine - other).abs().max() / other.abs().max()).item()
        for mine, other in zip(our_gradients, their_gradients, strict=True)
    )
    return Agreement(name, our_loss.item(), their_loss.item(), worst)


def make_model(seed: int) -> torch.nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(WORDS) + 3,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config).double()


def make_tokenizer() -> object:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["[pad]", "[bos]", "[eos]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[pad]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[pad]", bos_token="[bos]", eos_token="[eos]"
    )


def random_text(generator: torch.Generator, shortest: int, longest: int) -> str:
    length = int(torch.randint(shortest, longest + 1, (), generator=generator))
    words = torch.randint(len(WORDS), (length,), generator=generator)
    return " ".join(WORDS[word] for word in words)


def paired_rows() -> datasets.Dataset:
    g = torch.Generator().manual_seed(0)
    columns = {"prompt": (2, 6), "chosen": (1, 8), "rejected": (1, 8)}
    return datasets.Dataset.from_list(
        [
            {column: f"{random_text(g, *lengths)} " for column, lengths in columns.items()}
            for _ in range(ROWS)
        ]
    )


def binary_rows() -> datasets.Dataset:
    g = torch.Generator().manual_seed(0)
    return datasets.Dataset.from_list(
        [
            {
                "prompt": f"{random_text(g, 2, 6)} ",
                "completion": f"{random_text(g, 1, 8)} ",
                "label": row % 3 != 0,
            }
            for row in range(ROWS)
        ]
    )


def common_options() -> dict[str, object]:
    return {
        "output_dir": tempfile.mkdtemp(),
        "per_device_train_batch_size": ROWS,
        "bf16": False,
        "use_cpu": True,
        "report_to": [],
        "max_length": 64,
        "disable_tqdm": True,
    }


if __name__ == "__main__":
    sys.exit(main())
