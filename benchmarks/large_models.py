"""Computes on paper what large models take on 8 machines with 8 GPUs of 80 GB each.

    python benchmarks/large_models.py

It prints the tables of the page on large models. Nothing is measured: the memory is that of
`halo plan`, the traffic follows from the sizes, and the bandwidths are those of data sheets.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from halo_core.devices import GPUS, USABLE
from halo_trainer.sizes.architecture import Architecture, architecture_of
from halo_trainer.sizes.memory import Memory, Setting, exchange, memory_of
from halo_trainer.sizes.published import published
from halo_trainer.sizes.speed import COMPLETION_TOKENS, UTILISATION

BATCH = 32
"""Pairs of a step, as in the report. Of 64 ranks, half compute a pair, and the others wait."""
LONGEST = 2048
DEVICE = 80
"""Memory of a GPU in GB."""
REPORT = {
    "Pythia 2.8B": "eleutherai/pythia-2.8b",
    "Pythia 6.9B": "eleutherai/pythia-6.9b",
    "Llama 30B": "huggyllama/llama-30b",
}
"""Some of the report's models, and their ids on the hub."""
INFINIBAND = {"A100": 25.0, "H100": 50.0}
"""Bandwidth of a GPU to other machines, in GB per second and direction: one InfiniBand adapter per
GPU, HDR with 200 Gb/s in the DGX A100 and NDR with 400 Gb/s in the DGX H100 (NVIDIA's data sheets).
"""
# Sizes from config.json of meta-llama/Llama-2-70b-hf and mistralai/Mixtral-8x7B-v0.1 on the hub.
OTHERS: dict[str, dict[str, Any]] = {
    "Llama 2 70B": {
        "model_type": "llama",
        "hidden_size": 8192,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "intermediate_size": 28672,
        "vocab_size": 32000,
    },
    "Mixtral 8x7B": {
        "model_type": "mixtral",
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "vocab_size": 32000,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
    },
}


@dataclass(frozen=True)
class Traffic:
    """Bytes that a rank receives in one step with one micro-batch.

    Attributes:
        forward: Weights gathered for the forward pass, in bfloat16.
        backward: Weights gathered again for the backward pass.
        gradients: Gradients, reduced in float32.
        reference: Weights of the reference gathered for its forward pass.
    """

    forward: float
    backward: float
    gradients: float
    reference: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.forward + self.backward + self.gradients + self.reference


def traffic(model: Architecture, ranks: int) -> Traffic:
    """Returns the bytes that a rank receives in a step of DPO with a live reference.

    A ring over all ranks moves (ranks - 1) / ranks of a tensor through each of them (Rajbhandari et
    al. 2020, ZeRO, section 7).

    Args:
        model: The model.
        ranks: Number of ranks that share every weight.
    """
    share = (ranks - 1) / ranks
    gathered = 2 * model.weights * share
    return Traffic(gathered, gathered, 4 * model.weights * share, gathered)


def compute_seconds(model: Architecture, tokens: float, gpu: str) -> float:
    """Returns the seconds that a rank computes.

    A step has a forward pass, the same again for checkpointing, a backward pass that counts as two,
    and a forward pass of the reference.

    Args:
        model: The model.
        tokens: Tokens of the step on this rank.
        gpu: A name of a GPU.
    """
    operations = 2 * model.used * tokens * (3 + 1 + 1)
    return operations / (UTILISATION * GPUS[gpu].tflops * 1e12)


def break_even_tokens(model: Architecture, gpu: str, bandwidth: float, ranks: int) -> float:
    """Returns the tokens per rank and micro-batch for which computing takes as long as traffic.

    Args:
        model: The model.
        gpu: A name of a GPU.
        bandwidth: GB per second and direction of the slowest link.
        ranks: Number of ranks.
    """
    seconds = traffic(model, ranks).total / (bandwidth * 1e9)
    return seconds / compute_seconds(model, 1, gpu)


def models() -> dict[str, Architecture]:
    """Returns the models of the tables by name."""
    found = {"Llama 30B": architecture_of(published(REPORT["Llama 30B"]) or {})}
    found |= {name: architecture_of(config) for name, config in OTHERS.items()}
    return {name: model for name, model in found.items() if model is not None}


def memory_table() -> list[str]:
    """Returns rows on the memory of a rank, DPO with a live reference."""
    lines = [
        "| model | optimiser | ranks | weights | gradients | optimiser state | reference "
        "| activations | peak | fits |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, model in models().items():
        for optimizer in ("RMSprop", "AdamW"):
            for ranks in (8, 64):
                lines.append(_memory_row(name, model, optimizer, ranks))
    return lines


def _setting(model: Architecture, optimizer: str, ranks: int, micro_batches: int = 1) -> Setting:
    tokens = ceil(BATCH / ranks) * 2 * LONGEST
    return Setting(
        model=model,
        precision="bfloat16",
        optimizer=optimizer,
        reference=True,
        refreshed=False,
        adapters=None,
        checkpointing=True,
        devices=ranks,
        sharded=True,
        row=tokens // micro_batches,
        step=tokens,
        device=DEVICE * 1e9,
    )


def _memory_row(name: str, model: Architecture, optimizer: str, ranks: int) -> str:
    memory = memory_of(_setting(model, optimizer, ranks))
    parts = [
        memory.parts[part]
        for part in ("weights", "gradients", "optimizer", "reference", "activations")
    ]
    numbers = " | ".join(f"{part / 1e9:.1f}" for part in [*parts, memory.peak])
    return f"| {name} | {optimizer} | {ranks} | {numbers} | {_fits(memory)} |"


def _fits(memory: Memory) -> str:
    return "yes" if memory.peak / 1e9 <= USABLE * DEVICE else "no"


def accumulation_table() -> list[str]:
    """Returns rows on steps of several micro-batches, of the report's models on 8 ranks."""
    lines = [
        "| model | micro-batches | whole gradients | exchange of gradients | peak | fits |",
        "|---|---|---|---|---|---|",
    ]
    for name in ("Pythia 2.8B", "Pythia 6.9B", "Llama 30B"):
        model = architecture_of(published(REPORT[name]) or {})
        assert model is not None
        for count in (1, 2, 4):
            setting = _setting(model, "RMSprop", 8, count)
            choice, memory = exchange(setting), memory_of(setting)
            each = choice is not None and not choice.full
            lines.append(
                f"| {name} | {count} | {4 * model.weights / 1e9:.1f} | "
                f"{'every micro-batch' if each else 'once per step'} | {memory.peak / 1e9:.1f} | "
                f"{_fits(memory)} |"
            )
    return lines


def time_table() -> list[str]:
    """Returns rows on traffic and computing of a step with the report's batch of pairs."""
    lines = [
        "| model | GPUs | ranks | gather forward | gather backward | reduce gradients "
        "| gather reference | exchange | compute |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, model in models().items():
        for gpu in INFINIBAND:
            for ranks in (8, 64):
                moved = traffic(model, ranks)
                link = GPUS[gpu].link if ranks == 8 else INFINIBAND[gpu]
                tokens = ceil(BATCH / ranks) * 2 * COMPLETION_TOKENS
                parts = (moved.forward, moved.backward, moved.gradients, moved.reference)
                numbers = " | ".join(f"{part / 1e9:.0f} GB" for part in parts)
                lines.append(
                    f"| {name} | {gpu} | {ranks} | {numbers} | "
                    f"{moved.total / (link * 1e9):.1f} s | "
                    f"{compute_seconds(model, tokens, gpu):.1f} s |"
                )
    return lines


def break_even_table() -> list[str]:
    """Returns rows on the tokens per rank from which computing hides the exchange."""
    lines = [
        "| model | GPUs | within a machine (NVLink) | across machines (InfiniBand) |",
        "|---|---|---|---|",
    ]
    for name, model in models().items():
        for gpu, outside in INFINIBAND.items():
            inside = break_even_tokens(model, gpu, GPUS[gpu].link, 8)
            across = break_even_tokens(model, gpu, outside, 64)
            lines.append(f"| {name} | {gpu} | {inside:,.0f} tokens | {across:,.0f} tokens |")
    return lines


def main() -> None:
    for table in (memory_table(), accumulation_table(), time_table(), break_even_table()):
        print("\n".join(table), end="\n\n")


if __name__ == "__main__":
    main()
