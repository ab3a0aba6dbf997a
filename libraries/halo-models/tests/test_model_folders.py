from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from halo_core.errors import ModelError
from halo_core.stage import ModelInput
from halo_models.chat_format import ChatFormat
from halo_models.load import (
    grow_vocabulary,
    load_classifier,
    load_model,
    load_tokenizer,
)
from halo_models.save import save_model_folder

TOKENS = torch.tensor([[5, 6, 7, 8]])


def load(folder: Path | str, revision: str | None = None) -> Any:
    model = ModelInput(str(folder), revision, "")
    return load_model(model, dtype=torch.float32, device="cpu")


@pytest.fixture
def copied(tiny_model: ModelInput, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(tiny_model.path, tmp_path / "copied"))


def test_saved_folder_loads_with_transformers_alone(
    tiny_model: ModelInput, tiny_tokenizer: Any
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    folder = Path(tiny_model.path)
    network = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert torch.equal(network(TOKENS).logits, load(folder)(TOKENS).logits)
    assert tokenizer.chat_template == tiny_tokenizer.chat_template
    assert GenerationConfig.from_pretrained(folder).eos_token_id == tokenizer.eos_token_id
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
    names = {path.name for path in folder.iterdir()}
    assert "model.safetensors" in names
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in names)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_all_files_of_a_saved_folder_have_the_same_permissions(tiny_model: ModelInput) -> None:
    modes = {path.name: path.stat().st_mode for path in Path(tiny_model.path).iterdir()}
    assert modes["model.safetensors"] == modes["config.json"]
    assert len(set(modes.values())) == 1


def test_dtype_and_mode_are_as_asked_for(tiny_model: ModelInput) -> None:
    network = load_model(tiny_model, dtype=torch.bfloat16, device="cpu")
    assert {weight.dtype for weight in network.parameters()} == {torch.bfloat16}
    assert not network.training


def test_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no such folder. Expected a transformers model"):
        load(tmp_path / "nothing")


def test_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no config.json here"):
        load_tokenizer(ModelInput(str(tmp_path), None, ""), None)


def test_language_model_is_no_classifier(tiny_model: ModelInput) -> None:
    with pytest.raises(ModelError, match=r"among them 'score.weight': it is not a sequence class"):
        load_classifier(tiny_model, dtype=torch.float32, device=torch.device("cpu"))


def test_folder_without_safetensors_is_no_classifier(copied: Path) -> None:
    (copied / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="there are no weights in this folder"):
        load_classifier(
            ModelInput(str(copied), None, ""), dtype=torch.float32, device=torch.device("cpu")
        )


def test_hub_id_out_of_reach_is_an_error_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(ModelError) as raised:
        load("nobody/nothing", "v1")
    message = str(raised.value)
    assert message.startswith("nobody/nothing: the configuration cannot be loaded from the hub")
    assert "revision 'v1'" in message
    assert "or give a folder by path" in message
    assert "hf_secret" not in message


def test_missing_weights_are_an_error(copied: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copied / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights are missing, among them 'model.norm.weight'"):
        load(copied)
    (copied / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="there are no weights in this folder"):
        load(copied)


def test_broken_weights_file_is_an_error(copied: Path) -> None:
    (copied / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError, match="the weights cannot be read: "):
        load(copied)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "BertForMaskedLM is not a"),
        ({"model_type": "llama", "architectures": ["LlamaModel"]}, "LlamaModel is not a causal"),
        ({"model_type": "t5"}, "t5 is not a causal language model"),
        ({"model_type": "nonsense"}, "the configuration cannot be read"),
    ],
)
def test_what_is_no_causal_language_model_is_an_error(
    copied: Path, config: dict[str, Any], words: str
) -> None:
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=words):
        load(copied)


def test_tokenizer_without_eos_is_an_error(copied: Path) -> None:
    path = copied / "tokenizer_config.json"
    config = json.loads(path.read_text())
    del config["eos_token"]
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r'no end-of-sequence token.* Set "eos_token" in its tok'):
        load_tokenizer(ModelInput(str(copied), None, ""), None)


def test_embeddings_grow_with_the_tokenizer_and_old_logits_stay(
    copied: Path, tiny_tokenizer: Any
) -> None:
    before = load(copied)
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.add_tokens(["<|good|>", "<|bad|>"])
    tokenizer.save_pretrained(copied)
    after = load(copied)
    known = len(tiny_tokenizer)
    assert after(TOKENS).logits.shape[-1] == known + 2
    assert after.config.vocab_size == known + 2
    torch.testing.assert_close(after(TOKENS).logits[..., :known], before(TOKENS).logits)
    mean = before.get_input_embeddings().weight.mean(0)
    torch.testing.assert_close(after.get_input_embeddings().weight[-1], mean)
    assert torch.equal(load(copied)(TOKENS).logits, after(TOKENS).logits)


def test_vocabulary_never_shrinks(tiny_model: ModelInput) -> None:
    network = load(tiny_model.path)
    size = network.get_input_embeddings().weight.shape[0]
    grow_vocabulary(network, size - 10)
    assert network.get_input_embeddings().weight.shape[0] == size


def test_completion_ends_with_the_templates_own_token(tiny_tokenizer: Any, tmp_path: Path) -> None:
    from transformers import GenerationConfig

    assert ChatFormat(tiny_tokenizer).end_id == tiny_tokenizer.eos_token_id
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<end_of_turn>"]})
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<end_of_turn>\n{% endfor %}"
    )
    end = tokenizer.convert_tokens_to_ids("<end_of_turn>")
    assert ChatFormat(tokenizer).end_id == end
    network = load_tiny(tokenizer)
    save_model_folder(tmp_path / "model", network, tokenizer)
    ends = GenerationConfig.from_pretrained(tmp_path / "model").eos_token_id
    assert ends == [end, tokenizer.eos_token_id]


def load_tiny(tokenizer: Any) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=32,
        bos_token_id=None,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config)


def test_tied_weights_survive_the_folder(tiny_tokenizer: Any, tmp_path: Path) -> None:
    network = load_tiny(tiny_tokenizer).eval()
    save_model_folder(tmp_path / "model", network, tiny_tokenizer)
    again = load(tmp_path / "model")
    assert torch.equal(again(TOKENS).logits, network(TOKENS).logits)
    assert again.lm_head.weight is again.transformer.wte.weight
