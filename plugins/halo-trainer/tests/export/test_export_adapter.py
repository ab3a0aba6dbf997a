"""`halo export --adapter`: the factors alone, for the model that they belong to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from halo_core.stage import ModelInput
from halo_models.load import load_model
from halo_models.save import save_model_folder
from halo_trainer.model.lora import apply_lora, merge_adapter, save_adapter
from halo_trainer.model.lora_options import LoraOptions

Export = Callable[..., int]
MakeRun = Callable[..., Path]
TOKENS = torch.tensor([[5, 6, 7, 8]])
TOLERANCE = 1e-4
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def adapted(
    tiny_model: ModelInput, tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model folder as a training with LoRA writes it: merged weights with the adapter inside."""
    network = load_model(tiny_model, dtype=torch.float32, device="cpu")
    peft_model = apply_lora(network, LoraOptions(rank=2), seed=1)
    with torch.no_grad():
        for name, weight in peft_model.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.1)
    folder = tmp_path_factory.mktemp("adapted") / "model"
    # `save_model_folder` replaces a folder, so the adapter is written after it.
    factors = tmp_path_factory.mktemp("factors")
    save_adapter(factors, peft_model)
    save_model_folder(folder, merge_adapter(peft_model), tiny_tokenizer)
    (factors / "adapter").rename(folder / "adapter")
    return folder


def test_the_adapter_on_its_base_equals_the_merged_model(
    adapted: Path, make_run: MakeRun, export: Export, tmp_path: Path, tiny_model: ModelInput
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    make_run(adapted)
    alone, merged = tmp_path / "alone", tmp_path / "merged"
    assert export("demo", alone, "--adapter", "--base-model", tiny_model.path) == 0
    assert export("demo", merged) == 0
    base = AutoModelForCausalLM.from_pretrained(tiny_model.path)
    plain = base(TOKENS).logits
    both = PeftModel.from_pretrained(base, alone).eval()(TOKENS).logits
    whole = AutoModelForCausalLM.from_pretrained(merged)(TOKENS).logits
    assert torch.allclose(both, whole, atol=TOLERANCE)
    assert not torch.allclose(both, plain, atol=10 * TOLERANCE)
    assert AutoTokenizer.from_pretrained(alone).chat_template
    names = {path.name for path in alone.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md", "spec.yaml"} <= names
    assert not names & {"model.safetensors", "config.json"}
    assert not (merged / "adapter").exists()


def test_the_base_is_the_model_on_the_hub_that_the_stage_started_from(
    adapted: Path, make_run: MakeRun, export: Export, tmp_path: Path
) -> None:
    make_run(adapted)
    out = tmp_path / "out"
    assert export("demo", out, "--adapter") == 0
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "acme/base"
    card = (out / "README.md").read_text()
    data = ModelCard(card).data.to_dict()
    assert (data["base_model"], data["base_model_relation"]) == ("acme/base", "adapter")
    assert data["library_name"] == "peft"
    assert "A low-rank adapter (LoRA) for `acme/base`" in card
    assert "| belongs to | `acme/base` |" in card
    assert "convert_lora_to_gguf.py --base PATH_OF_THE_BASE_MODEL" in card
    for path in out.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()


def test_the_factors_are_rounded_to_bfloat16(
    adapted: Path, make_run: MakeRun, export: Export, tmp_path: Path
) -> None:
    make_run(adapted)
    out = tmp_path / "out"
    assert export("demo", out, "--adapter", "--precision", "bfloat16") == 0
    before = load_file(adapted / "adapter" / "adapter_model.safetensors")
    after = load_file(out / "adapter_model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], before[name].bfloat16()) for name in before)


def test_a_base_without_a_name_must_be_named(
    adapted: Path,
    make_run: MakeRun,
    export: Export,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_run(adapted, start={"path": "/models/base", "revision": None, "digest": "d"})
    assert export("demo", tmp_path / "out", "--adapter") == 2
    told = capsys.readouterr().err
    assert "belongs to a local folder named base, which has no name that others can load" in told
    assert not (tmp_path / "out").exists()


def test_the_base_of_an_adapter_on_a_stage_is_that_stage(
    adapted: Path,
    make_run: MakeRun,
    export: Export,
    stages: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    second = {**stages["align"], "models": {"from": "align"}}
    make_run(adapted, stages={"align": stages["align"], "second": second})
    assert export("demo:second", tmp_path / "out", "--adapter") == 2
    told = capsys.readouterr().err
    assert "belongs to the model of the stage 'align' of the same run, which has no name" in told
    assert export("demo:second", tmp_path / "out", "--adapter", "--base-model", "acme/sft") == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| made by the stages | `align` (kto), `second` (kto) |" in card
    assert ModelCard(card).data.base_model == "acme/sft"


def test_the_card_of_an_adapter_in_a_workspace_is_real(adapted: Path) -> None:
    text = (adapted / "adapter" / "README.md").read_text()
    data = ModelCard(text).data.to_dict()
    assert (data["library_name"], data["tags"]) == ("peft", ["halo", "lora"])
    assert "base_model" not in data
    assert "rank 2, alpha 32, dropout 0, layers: down_proj, gate_proj, k_proj" in text
    assert "added to the model in the local folder `tiny" in text
    assert "model.layers" not in text
    assert "More Information Needed" not in text
    assert str(adapted.parent.parent) not in text
