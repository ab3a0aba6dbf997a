"""A model whose logits are not finite samples nothing."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

from halo_core.errors import ModelError, NotFiniteError
from halo_core.rows import DataSet
from halo_core.sampling import Sampling
from halo_core.stage import ModelInput, StageContext
from halo_models.testing import make_model
from halo_trainer.sample.generate import go_on
from halo_trainer.sample.logit_watch import BadLogits, LogitWatch
from halo_trainer.sample.next_token import choose
from halo_trainer.sample.options import Sample
from halo_trainer.sample.sampler import Sampler

NAN, INFINITE = float("nan"), float("inf")
PROMPTS = [(f"p{i}", list(range(2, 2 + n))) for i, n in enumerate((5, 2, 9))]
END, NEW_TOKENS = 1, 6


def broken_at(position: int, spoil: Callable[[torch.Tensor], None]) -> Any:
    """A model with wrong logits at a position of the completions. It counts its passes."""
    model = make_model(60)
    forward, passes = model.forward, Counter[str]()

    def spoilt(**inputs: Any) -> Any:
        output = forward(**inputs)
        if passes["all"] == position:
            spoil(output.logits[:, -1])
        passes["all"] += 1
        return output

    model.forward, model.passes = spoilt, passes
    return model


def sampler(model: Any, choice: Sampling | None = None) -> Sampler:
    return Sampler(model, [END], choice or Sampling(), NEW_TOKENS, seed=1)


def set_row(row: int, value: float, token: int | None = None) -> Callable[[torch.Tensor], None]:
    def spoil(logits: torch.Tensor) -> None:
        logits[row, slice(None) if token is None else token] = value

    return spoil


@pytest.mark.parametrize(
    "choice", [Sampling(), Sampling(temperature=0), Sampling(top_p=0.9, top_k=7)]
)
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (set_row(1, NAN), "NaN"),
        (set_row(1, NAN, 3), "NaN"),
        (set_row(1, INFINITE, 3), "+inf"),
        (set_row(1, -INFINITE), "all -inf"),
    ],
)
def test_logits_that_are_no_distribution_stop_at_the_prompt_and_the_token(
    spoil: Callable[[torch.Tensor], None], words: str, choice: Sampling
) -> None:
    model = broken_at(2, spoil)
    with pytest.raises(NotFiniteError) as raised:
        sampler(model, choice).batch(PROMPTS)
    assert str(raised.value) == (
        f"prompt p1: the logits of token 3 of its completion are {words}; expected finite "
        "numbers. The model is damaged or its training diverged: train it again with a lower "
        "learning_rate, or sample with precision: float32"
    )
    # Nothing is computed after it.
    assert model.passes["all"] == 3


def test_a_token_that_is_impossible_is_no_fault() -> None:
    assert sampler(broken_at(0, set_row(1, -INFINITE, 3))).batch(PROMPTS) is not None


def test_what_comes_behind_an_end_does_not_count() -> None:
    watch = LogitWatch(2, [END, 5], torch.device("cpu"))
    fine, bad = torch.zeros(2, 9), torch.full((2, 9), NAN)
    assert torch.equal(watch.see(fine, 0), fine)
    watch.drew(torch.tensor([5, 7]))
    assert not bool(watch.any())
    assert watch.first() is None
    assert torch.equal(watch.see(bad, 1), fine)
    assert bool(watch.any())
    assert watch.first() == BadLogits(row=1, position=1, what="NaN")
    # The message names the first position.
    watch.see(-bad, 2)
    assert watch.first() == BadLogits(row=1, position=1, what="NaN")


class CountsReads(TorchDispatchMode):
    """Counts the operations that make the host wait for the device."""

    reads = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.reads += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **kwargs or {})


def reads(tokens: int, *, watched: bool) -> int:
    """Number of reads from the device. torch does not report them in inference mode."""
    model = make_model(60)
    # No token ends a completion, so that all are as long as they may be.
    sampling = Sampler(model, [59], Sampling(temperature=0), tokens, seed=1)
    ids = [prompt for _, prompt in PROMPTS]

    def plain(scores: torch.Tensor, position: int) -> torch.Tensor:
        return choose(scores, torch.zeros(3), Sampling(temperature=0))

    with CountsReads() as counts:
        if watched:
            sampling.batch(PROMPTS)
        else:
            go_on(model, ids, ends=[59], max_new_tokens=tokens, choose_next=plain)
    return counts.reads


def test_watching_reads_nothing_more_from_the_device_for_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)
    per_token = reads(16, watched=False) - reads(8, watched=False)
    assert per_token > 0
    assert reads(16, watched=True) - reads(8, watched=True) == per_token


@pytest.fixture
def stage(
    make_data: Callable[..., DataSet], make_context: Callable[..., StageContext]
) -> Callable[..., StageContext]:
    def make(model: Path) -> StageContext:
        rows = [
            {"prompt": [{"role": "user", "content": "moo " * n}], "completion": "x"}
            for n in range(1, 4)
        ]
        data = {"prompts": make_data("demonstration", rows)}
        return make_context(data=data, models={"from": ModelInput(str(model), None, "")})

    return make


def changed(tiny_model: ModelInput, folder: Path, name: str, factor: float) -> Path:
    copied = Path(shutil.copytree(tiny_model.path, folder))
    weights = load_file(copied / "model.safetensors")
    weights[name].mul_(factor)
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    return copied


def test_a_model_whose_weights_are_too_large_leaves_no_samples(
    tiny_model: ModelInput, tmp_path: Path, stage: Callable[..., StageContext]
) -> None:
    # All of them are finite, but their products are not.
    model = changed(tiny_model, tmp_path / "large", "model.layers.0.mlp.down_proj.weight", 1e38)
    context = stage(model)
    with pytest.raises(NotFiniteError) as raised:
        Sample(prompts="test", max_new_tokens=4, device="cpu").run(context)
    assert str(raised.value).startswith("stage: prompt ")
    assert "the logits of token 1 of its completion are NaN" in str(raised.value)
    assert not list(context.folder.glob("samples*"))


def test_a_model_with_a_weight_that_is_no_number_is_not_sampled(
    tiny_model: ModelInput, tmp_path: Path, stage: Callable[..., StageContext]
) -> None:
    model = changed(tiny_model, tmp_path / "nan", "model.norm.weight", NAN)
    with pytest.raises(ModelError, match=r"32 of the 32 numbers of 'model.norm.weight' are NaN\."):
        Sample(prompts="test", max_new_tokens=4, device="cpu").run(stage(model))
