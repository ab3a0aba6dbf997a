from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from halo_core.errors import ModelError
from halo_core.stage import ModelInput
from halo_models.load import load_model
from halo_models.save import save_model_folder
from halo_trainer.model.lora import apply_lora, merge_adapter, save_adapter
from halo_trainer.model.lora_options import LoraOptions

TOKENS = torch.tensor([[5, 6, 7, 8]])
# Adding the update to the weights rounds once more than adding it to the outputs.
TOLERANCE = 1e-4


def adapted(model: ModelInput, options: LoraOptions, *, dtype: torch.dtype = torch.float32) -> Any:
    """Returns a model with an update that is far from zero."""
    peft_model = apply_lora(load_model(model, dtype=dtype, device="cpu"), options, seed=1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in peft_model.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return peft_model.eval()


@pytest.fixture
def tied_model(tiny_tokenizer: Any, tmp_path: Path) -> ModelInput:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tiny_tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
    )
    save_model_folder(tmp_path / "tied", LlamaForCausalLM(config), tiny_tokenizer)
    return ModelInput(str(tmp_path / "tied"), None, "")


def test_update_is_zero_at_first_and_only_it_is_trained(tiny_model: ModelInput) -> None:
    model = load_model(tiny_model, dtype=torch.float32, device="cpu")
    before = model(TOKENS).logits
    peft_model = apply_lora(model, LoraOptions(rank=2), seed=1)
    assert torch.equal(peft_model(TOKENS).logits, before)
    trained = [name for name, w in peft_model.named_parameters() if w.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    assert not any("lm_head" in name or "embed" in name for name in trained)
    assert {name.split(".")[-4] for name in trained} == {
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    }


def test_adapters_are_added_without_a_warning(tiny_model: ModelInput) -> None:
    model = load_model(tiny_model, dtype=torch.float32, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        apply_lora(model, LoraOptions(rank=2), seed=1)


def test_factors_depend_on_the_seed_and_nothing_else(tiny_model: ModelInput) -> None:
    def factors(seed: int) -> list[torch.Tensor]:
        torch.rand(3)
        model = load_model(tiny_model, dtype=torch.float32, device="cpu")
        peft_model = apply_lora(model, LoraOptions(rank=2), seed=seed)
        return [w for name, w in peft_model.named_parameters() if "lora_A" in name]

    assert all(map(torch.equal, factors(1), factors(1)))
    assert not any(map(torch.equal, factors(1), factors(2)))


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj"], ["q_proj", "lm_head"]])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_merged_logits_equal_adapter_logits(
    tiny_model: ModelInput,
    tied_model: ModelInput,
    tiny_tokenizer: Any,
    tmp_path: Path,
    targets: Any,
    tied: bool,
) -> None:
    source = tied_model if tied else tiny_model
    peft_model = adapted(source, LoraOptions(rank=4, targets=targets))
    with torch.no_grad():
        expected = peft_model(TOKENS).logits
    save_model_folder(tmp_path / "model", merge_adapter(peft_model), tiny_tokenizer)
    found = load_model(
        ModelInput(str(tmp_path / "model"), None, ""), dtype=torch.float32, device="cpu"
    )
    plain = load_model(source, dtype=torch.float32, device="cpu")
    assert (plain(TOKENS).logits - expected).abs().max() > 100 * TOLERANCE
    torch.testing.assert_close(found(TOKENS).logits, expected, atol=TOLERANCE, rtol=0)


def test_adapter_beside_the_merged_weights_gives_the_same_model(
    tiny_model: ModelInput, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    from peft import PeftModel

    peft_model = adapted(tiny_model, LoraOptions(rank=4))
    with torch.no_grad():
        expected = peft_model(TOKENS).logits
    save_adapter(tmp_path / "model", peft_model)
    base = load_model(tiny_model, dtype=torch.float32, device="cpu")
    again = PeftModel.from_pretrained(base, tmp_path / "model" / "adapter").eval()
    torch.testing.assert_close(again(TOKENS).logits, expected)
    names = {path.name for path in (tmp_path / "model" / "adapter").iterdir()}
    assert "adapter_model.safetensors" in names


def test_small_update_of_a_bfloat16_model_is_not_rounded_away(
    tiny_model: ModelInput, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    peft_model = adapted(tiny_model, LoraOptions(rank=1), dtype=torch.bfloat16)
    with torch.no_grad():
        for name, weight in peft_model.named_parameters():
            if "lora_B" in name:
                weight.mul_(1e-3)
    save_model_folder(tmp_path / "model", merge_adapter(peft_model), tiny_tokenizer)
    base = load_model(tiny_model, dtype=torch.bfloat16, device="cpu").model.layers[0].mlp
    folder = ModelInput(str(tmp_path / "model"), None, "")
    found = load_model(folder, dtype=torch.float32, device="cpu").model.layers[0].mlp
    update = found.up_proj.weight - base.up_proj.weight.float()
    assert (update != 0).float().mean() > 0.9


def test_unknown_target_is_an_error_that_lists_the_layers(tiny_model: ModelInput) -> None:
    model = load_model(tiny_model, dtype=torch.float32, device="cpu")
    with pytest.raises(ModelError) as raised:
        apply_lora(model, LoraOptions(targets=["q_proj", "query"]), seed=1)
    assert str(raised.value) == (
        "lora.targets: the model has no linear layer named 'query'. It has: "
        "down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj"
    )


@pytest.mark.parametrize("options", [{"rank": 0}, {"dropout": 1.0}, {"alpha": 0.0}, {"r": 3}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LoraOptions(**options)
