"""Untrained tokens are found, refused with LoRA, or trained together with its factors."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from halo_core.errors import ModelError
from halo_core.stage import ModelInput, StageContext
from halo_methods.components import CSFT, DPO, SFT
from halo_methods.reference_updates import Copy
from halo_models.load import grow_vocabulary, load_model, load_tokenizer
from halo_models.save import save_model_folder
from halo_models.testing import make_model, make_tokenizer
from halo_trainer.model.lora_options import LoraOptions
from halo_trainer.model.new_tokens import new_tokens
from halo_trainer.train.options import Train

END = "<|done|>"
TEMPLATE = (
    "{%- for m in messages -%}{{- '<|' + m.role + '|>' + m.content -}}"
    "{%- if m.role == 'assistant' -%}{{- '" + END + "' -}}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
ROWS = [
    {"prompt": [{"role": "user", "content": f"{word}?"}], "completion": f"the {word} says moo"}
    for word in ("cow", "duck", "ant", "coal", "grass", "Lima")
]
Start = Callable[..., ModelInput]


@pytest.fixture(params=[False, True], ids=["untied", "tied"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> ModelInput:
    """A model whose tokenizer has a new end token."""
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer), tie_word_embeddings=request.param)
    tokenizer.add_special_tokens({"additional_special_tokens": [END]})
    tokenizer.chat_template = TEMPLATE
    save_model_folder(tmp_path / "start", model, tokenizer)
    return ModelInput(str(tmp_path / "start"), None, "start")


@pytest.fixture
def context(
    start: ModelInput, make_data: Callable[..., Any], make_context: Callable[..., StageContext]
) -> Callable[..., StageContext]:
    def make(feedback: Any = "demonstration", rows: Any = None, **options: Any) -> StageContext:
        data = {"data": make_data(feedback, ROWS if rows is None else rows)}
        return make_context(data=data, models={"from": start, "reference": start}, **options)

    return make


def train(context: StageContext, **options: Any) -> Any:
    known = {"data": "d", "loss": SFT(), "device": "cpu", "batch_size": 6, "optimizer": "Adam"}
    return Train(**known | options).run(context)


def p_end(folder: Path) -> float:
    """The mean probability of the end token after the answers."""
    source = ModelInput(str(folder / "model"), None, "")
    tokenizer, model = (
        load_tokenizer(source, None),
        load_model(source, dtype=torch.float32, device="cpu"),
    )
    end, found = tokenizer.convert_tokens_to_ids(END), []
    for row in ROWS:
        text = f"<|user|>{row['prompt'][0]['content']}<|assistant|>{row['completion']}"
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        with torch.no_grad():
            found.append(model(ids).logits[0, -1].softmax(-1)[end].item())
    return sum(found) / len(found)


def test_rows_that_were_made_and_not_learned_are_found() -> None:
    model = make_model(60)
    assert new_tokens(model, 60) == []
    grow_vocabulary(model, 62)
    assert new_tokens(model, 62) == [60, 61]
    assert new_tokens(model, 61) == [60]
    with torch.no_grad():
        model.lm_head.weight[7] = 0
        model.model.embed_tokens.weight[3] = model.model.embed_tokens.weight[9]
    assert new_tokens(model, 62) == [3, 7, 9, 60, 61]


def test_rows_that_transformers_makes_are_found() -> None:
    model = make_model(300)
    model.resize_token_embeddings(302, mean_resizing=True)
    assert new_tokens(model, 302) == [300, 301]


def test_low_rank_factors_alone_are_refused_where_the_data_use_a_new_token(
    context: Callable[..., StageContext],
) -> None:
    with pytest.raises(ModelError) as caught:
        train(context(), lora={"rank": 2})
    assert caught.value.location == "lora.train_tokens"
    assert str(caught.value).endswith(
        "the data use tokens that the model never learned: '<|done|>'. LoRA leaves their rows in "
        "the embeddings as they are, so they could not be learned, and an answer that ends with "
        "one would not end. Set lora: {train_tokens: new}, or train all weights"
    )
    with pytest.raises(ModelError, match=re.escape("'<|done|>'")):
        train(context(name="other"), lora={"rank": 2, "train_tokens": ["<|user|>"]})


def test_the_option_is_left_out_of_what_is_stored_where_it_is_not_used() -> None:
    assert set(LoraOptions().model_dump()) == {"rank", "alpha", "dropout", "targets"}
    assert LoraOptions(train_tokens="new").model_dump()["train_tokens"] == "new"


def test_a_token_that_is_none_is_refused(context: Callable[..., StageContext]) -> None:
    with pytest.raises(ModelError, match=r"'<\|don\|>' is not a token .* mean '<\|done\|>'"):
        train(context(), lora={"rank": 2, "train_tokens": ["<|don|>"]})


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_new_rows_are_learned_beside_the_factors(
    context: Callable[..., StageContext], precision: str
) -> None:
    here = context()
    options = {"steps": 60, "learning_rate": 0.02, "precision": precision}
    train(here, lora={"rank": 8, "train_tokens": "new"}, **options)
    assert p_end(here.folder) > 0.9
    before = load_file(Path(here.models["from"].path) / "model.safetensors")
    after = load_file(here.folder / "model" / "model.safetensors")
    known = len(before["model.embed_tokens.weight"])
    # All old rows are unchanged, in the input and in the output embeddings.
    for name in {"model.embed_tokens.weight", "lm_head.weight"} & after.keys():
        kept = after[name][:known]
        rounded = before[name].bfloat16().float() if "lm_head" in name else before[name]
        assert torch.equal(kept, rounded if precision == "bfloat16" else before[name])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_listed_tokens_are_learned_as_new_ones_are_bit_for_bit(
    context: Callable[..., StageContext], precision: str
) -> None:
    found = {}
    for name, tokens in (("new", "new"), ("listed", [END])):
        here = context(name=name)
        options = {"steps": 3, "learning_rate": 0.02, "precision": precision}
        train(here, lora={"rank": 8, "train_tokens": tokens}, **options)
        found[name] = load_file(here.folder / "model" / "model.safetensors")
    before = load_file(Path(here.models["from"].path) / "model.safetensors")
    assert found["new"].keys() == found["listed"].keys()
    for name, weight in found["new"].items():
        assert torch.equal(weight, found["listed"][name]), name
    embeddings = found["new"]["model.embed_tokens.weight"]
    known = len(before["model.embed_tokens.weight"])
    assert len(embeddings) > known
    assert embeddings[known:].abs().sum() > 0


def test_the_adapter_holds_the_rows(context: Callable[..., StageContext]) -> None:
    from peft import PeftModel

    here = context()
    train(here, lora={"rank": 2, "train_tokens": "new"}, steps=3, learning_rate=0.02)
    base = load_model(here.models["from"], dtype=torch.float32, device="cpu")
    adapted = PeftModel.from_pretrained(base, here.folder / "model" / "adapter").eval()
    source = ModelInput(str(here.folder / "model"), None, "")
    merged = load_model(source, dtype=torch.float32, device="cpu")
    ids = torch.tensor([[5, 6, len(make_tokenizer()), 8]])
    torch.testing.assert_close(adapted(ids).logits, merged(ids).logits, rtol=1e-4, atol=1e-4)


def test_control_tokens_are_learned_beside_the_factors(
    context: Callable[..., StageContext],
) -> None:
    rows = [row | {"desirable": k % 2 == 0} for k, row in enumerate(ROWS)]
    here = context("binary", rows)
    stage = {"data": "d", "loss": CSFT(), "lora": {"rank": 8, "train_tokens": "new"}}
    assert list(Train(**stage).mistakes()) == []
    train(here, **stage, steps=20, learning_rate=0.02)
    weights = load_file(here.folder / "model" / "model.safetensors")["model.embed_tokens.weight"]
    good, bad = weights[-2:]
    assert (good - bad).norm() > 0.05
    listed = Train(data="d", loss=CSFT(), lora={"rank": 2, "train_tokens": ["<|good|>"]})
    assert "set lora.train_tokens: new" in dict(listed.mistakes())["lora"]


def test_a_training_of_rows_goes_on_bit_for_bit(context: Callable[..., StageContext]) -> None:
    from halo_core.errors import Interrupted
    from halo_core.stage import StopFlag

    class StopAt(StopFlag):
        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 3

    options = {"lora": {"rank": 2, "train_tokens": "new"}, "steps": 6, "learning_rate": 0.02}
    whole = context(name="whole")
    train(whole, **options)
    with pytest.raises(Interrupted):
        train(context(stop=StopAt()), **options)
    here = context()
    train(here, **options)
    first, second = (
        load_file(place.folder / "model" / "model.safetensors") for place in (whole, here)
    )
    assert all(torch.equal(first[name], tensor) for name, tensor in second.items())


def test_a_reference_that_changes_takes_in_the_rows(context: Callable[..., StageContext]) -> None:
    rows = [{"prompt": r["prompt"], "chosen": r["completion"], "rejected": "quack"} for r in ROWS]
    result = train(
        context("paired", rows),
        loss=DPO(),
        reference_update=Copy(every=1),
        lora={"rank": 2, "train_tokens": "new"},
        steps=3,
        learning_rate=0.02,
    )
    assert result.metrics["rewards_chosen"] == result.metrics["rewards_rejected"] == 0


def test_models_that_learned_all_their_tokens_train_as_before(
    context: Callable[..., StageContext],
) -> None:
    # Raw text ends with the end-of-sequence token, which is not new.
    train(context("text", [{"text": "moo"}]), lora={"rank": 2}, steps=1)
