"""The kernel for sequences of different lengths, with a stand-in that has its documented meaning.

The kernel itself needs a GPU. These tests show that a row reaches it with the right sequences, keys
and windows, and that it is used only where it exists and agrees.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from halo_methods.components import SFT
from halo_trainer.batch import variable_length
from halo_trainer.batch.packing import Scored, pack, pack_onto
from halo_trainer.batch.variable_length import Heads, try_kernel, usable
from halo_trainer.model.probe import make_scorer
from halo_trainer.model.scorer import Scorer
from halo_trainer.train.computation import how_it_computes
from halo_trainer.train.objective import Objective
from halo_trainer.train.ranks import Ranks

CPU = torch.device("cpu")
SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "initializer_range": 0.1,
}


class StandIn:
    """Attention of sequences one after another, as torch documents it, and how often it ran.

    Args:
        error: Added to the output, as a kernel that computes something else would.
        top_left: Whether the first query stands at the first key, which is a usual mistake.
    """

    def __init__(self, *, error: float = 0.0, top_left: bool = False) -> None:
        self.error, self.top_left, self.calls = error, top_left, 0

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        cu_seq_q: Tensor,
        cu_seq_k: Tensor,
        max_q: int,
        max_k: int,
        *,
        scale: float,
        window_size: tuple[int, int],
        enable_gqa: bool = False,
    ) -> Tensor:
        self.calls += 1
        assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
        assert int(cu_seq_q.diff().max()) == max_q
        assert int(cu_seq_k.diff().max()) == max_k
        assert len(query) == int(cu_seq_q[-1])
        assert len(key) == len(value) == int(cu_seq_k[-1])
        assert enable_gqa == (query.shape[1] != key.shape[1])
        left, right = window_size
        assert right == 0
        outputs = []
        for i in range(len(cu_seq_q) - 1):
            q = query[cu_seq_q[i] : cu_seq_q[i + 1]]
            k, v = key[cu_seq_k[i] : cu_seq_k[i + 1]], value[cu_seq_k[i] : cu_seq_k[i + 1]]
            shift = 0 if self.top_left else len(k) - len(q)
            for j in range(len(q)):
                end = j + shift + 1
                first = 0 if left < 0 else max(0, end - 1 - left)
                repeat = query.shape[1] // key.shape[1]
                some_keys = k[first:end].repeat_interleave(repeat, dim=1)
                some_values = v[first:end].repeat_interleave(repeat, dim=1)
                weights = torch.einsum("hd,khd->hk", q[j], some_keys).mul(scale).softmax(-1)
                outputs.append(torch.einsum("hk,khd->hd", weights, some_values))
        return torch.stack(outputs) + self.error


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A stand-in for the kernel that this processor and float32 have."""
    stand_in = StandIn()
    install(monkeypatch, stand_in)
    return stand_in


def install(monkeypatch: pytest.MonkeyPatch, stand_in: StandIn) -> None:
    monkeypatch.setattr(variable_length, "_kernel", lambda: stand_in)
    monkeypatch.setattr(variable_length, "_exists", lambda *_: True)
    monkeypatch.setattr(variable_length, "_TRIED", {})


def scorer(kind: str, **options: Any) -> Scorer:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SIZES, **options)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    return make_scorer(model, compute_dtype=torch.float32, max_length=64, warn=pytest.fail)


def sequences(*lengths: tuple[int, int, int]) -> list[Scored]:
    """Returns sequences of (which prompt, its tokens, tokens of the completion)."""
    generator = torch.Generator().manual_seed(1)
    prompts: dict[int, Any] = {}
    made = []
    for which, prompt, completion in lengths:
        ids = torch.randint(60, (prompt + completion,), generator=generator).numpy()
        prompts.setdefault(which, ids[:prompt].astype("int32"))
        made.append(Scored(prompts[which], ids[prompt:].astype("int32")))
    return made


def values_and_gradients(made: Scorer) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the log-probabilities of a row and of one packed onto it, and their gradient."""
    row = sequences((0, 9, 4), (1, 1, 6), (0, 9, 2), (2, 14, 1), (3, 5, 12), (2, 14, 7))
    others = sequences((2, 14, 3), (0, 9, 5), (5, 4, 8))
    made.model.zero_grad()
    own = made(pack(row, share=made.shares)).token_logps
    with torch.no_grad():
        base = pack(row).keeping()
        made(base)
    continued = [Scored(row[3].prompt_ids, others[0].completion_ids), *others[1:]]
    onto = made(pack_onto(base, continued).onto(base)).token_logps
    logps = torch.cat([own, onto])
    logps.square().sum().backward()
    gradients = {n: p.grad.clone() for n, p in made.model.named_parameters() if p.grad is not None}
    return logps.detach(), gradients


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("llama", {}),
        ("mistral", {"sliding_window": 5}),
        ("qwen3", {}),
        ("gemma3_text", {"sliding_window": 6}),
    ],
    ids=["llama", "a short window", "norms of heads", "windows in some layers"],
)
def test_the_kernel_gives_the_numbers_of_the_blocks(
    kind: str, options: dict[str, Any], kernel: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scorer(kind, **options)
    assert made.layers == {Heads(4, 2, 8)}
    before = kernel.calls
    found, gradients = values_and_gradients(made)
    assert kernel.calls - before == 2 * 3  # two layers, three rows
    monkeypatch.setattr(variable_length, "_TRIED", {})
    before = kernel.calls
    expected, expected_gradients = values_and_gradients(made)
    assert kernel.calls == before
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    largest = max(float(each.abs().max()) for each in expected_gradients.values())
    for name, gradient in expected_gradients.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-5 * largest)


@pytest.mark.parametrize(
    "stand_in",
    [StandIn(error=0.2), StandIn(top_left=True)],
    ids=["other numbers", "causality from the first key"],
)
def test_a_kernel_that_computes_something_else_is_not_used(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, stand_in)
    made = scorer("llama")
    tried = stand_in.calls
    assert tried
    made(pack(sequences((0, 3, 4))))
    assert stand_in.calls == tried
    assert "varlen" not in how_it_computes(made, objective(made))


def test_a_gpu_without_a_number_is_the_one_in_use(
    kernel: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variable_length, "_agrees", lambda *_: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    heads, dtype = Heads(4, 2, 8), torch.bfloat16
    assert try_kernel(heads, device=torch.device("cuda"), dtype=dtype)
    assert usable(heads, device=torch.device("cuda:1"), dtype=dtype, plain=True)
    assert not usable(heads, device=torch.device("cuda:0"), dtype=dtype, plain=True)


class OlderStandIn(StandIn):
    """A kernel of a torch whose keys have as many heads as its queries."""

    def __call__(self, *args: Any, scale: float, window_size: tuple[int, int]) -> Tensor:  # type: ignore[override]
        return super().__call__(*args, scale=scale, window_size=window_size)


def test_an_older_kernel_gets_the_keys_of_each_query_head(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = OlderStandIn()
    install(monkeypatch, stand_in)
    assert try_kernel(Heads(4, 2, 8), device=CPU, dtype=torch.float32)
    assert stand_in.calls == 2


def test_a_kernel_that_fails_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Tensor:
        raise RuntimeError("no kernel image is available for execution on the device")

    install(monkeypatch, fails)  # type: ignore[arg-type]
    assert not try_kernel(Heads(4, 2, 8), device=CPU, dtype=torch.float32)


def test_soft_caps_keep_the_blocks(kernel: StandIn) -> None:
    made = scorer("gemma2", attn_logit_softcapping=2.0, sliding_window=6)
    tried = kernel.calls
    made(pack(sequences((0, 3, 4))))
    assert kernel.calls == tried
    assert "explicit scores" in how_it_computes(made, objective(made))


def test_dropout_keeps_the_blocks(kernel: StandIn) -> None:
    made = scorer("llama", attention_dropout=0.5)
    tried = kernel.calls
    made.train()
    made(pack(sequences((0, 3, 4))))
    assert kernel.calls == tried
    said = how_it_computes(made, objective(made, dropout=True))
    assert "torch's varlen_attn; for the policy halo_packed, blocks of sequences" in said


def objective(made: Scorer, **options: Any) -> Objective:
    return Objective(SFT(), made, None, Ranks("cpu"), 100, 64, **options)


def test_the_log_names_the_kernel(kernel: StandIn) -> None:
    made = scorer("llama")
    said = how_it_computes(made, objective(made))
    assert "attention: halo_packed, sequences of different lengths through torch's varlen_attn" in (
        said
    )


@pytest.mark.parametrize(
    ("heads", "dtype"),
    [(Heads(4, 2, 8), torch.float32), (Heads(4, 2, 8), torch.bfloat16)],
    ids=["float32", "no GPU"],
)
def test_where_the_kernel_does_not_exist_it_is_not_tried(heads: Heads, dtype: torch.dtype) -> None:
    assert not try_kernel(heads, device=CPU, dtype=dtype)
    assert not usable(heads, device=CPU, dtype=dtype, plain=True)


@pytest.mark.parametrize(
    ("heads", "capability", "dtype"),
    [
        (Heads(4, 2, 12), (9, 0), torch.bfloat16),
        (Heads(4, 2, 512), (9, 0), torch.bfloat16),
        (Heads(4, 3, 64), (9, 0), torch.bfloat16),
        (Heads(4, 2, 64), (7, 5), torch.bfloat16),
        (Heads(4, 2, 64), (9, 0), torch.float32),
    ],
    ids=["head size", "large head", "groups", "old GPU", "float32"],
)
def test_the_limits_of_the_kernel(
    heads: Heads,
    capability: tuple[int, int],
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    exists = variable_length._exists
    device = torch.device("cuda")
    assert exists(Heads(4, 2, 64), device, torch.bfloat16) == (capability >= (8, 0))
    assert not exists(heads, device, dtype)


def test_the_installed_torch_has_the_kernel_with_the_arguments_that_are_used() -> None:
    found = variable_length._kernel()
    if torch.__version__ >= "2.13":
        assert found is not None
    if found is not None:
        inspect.signature(found).bind(*range(7), scale=1.0, window_size=(-1, 0), enable_gqa=True)
