from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from halo_core.errors import ModelError
from halo_core.memory_limits import MemoryLimit
from halo_core.rows import DataSet
from halo_core.stage import ModelInput, StageContext
from halo_models.load import load_model, load_tokenizer
from halo_trainer.scratch import make
from halo_trainer.scratch.make import MARKS, train_tokenizer
from halo_trainer.scratch.options import Scratch

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}
TEXTS = [
    "<|user|>\nWhat says a cow?\n<|assistant|>\nMoo says the cow.\n<|user|>\nAnd a duck?\n",
    "<|user|>\nWhat says a duck?\n<|assistant|>\nQuack says the duck.\n",
]
Context = Callable[..., StageContext]


@pytest.fixture
def data(make_data: Callable[..., DataSet]) -> DataSet:
    return make_data("text", [{"text": text} for text in TEXTS * 5])


def build(config: dict[str, Any], **options: Any) -> Scratch:
    given = {"config": config, "data": "train", "vocab_size": 280}
    return Scratch.build(json.dumps(given | options), {})


def load(context: StageContext) -> tuple[Any, Any]:
    model = ModelInput(str(context.folder / "model"), None, "")
    return load_model(model, dtype=torch.float32, device="cpu"), load_tokenizer(model, None)


def test_new_model_is_a_plain_folder(data: DataSet, make_context: Context) -> None:
    context = make_context(data={"data": data})
    result = build(SMALL).run(context)
    model, tokenizer = load(context)
    assert model.config.model_type == "llama"
    assert model.get_input_embeddings().weight.shape == (280, 32)
    assert len(tokenizer) == 280 == result.metrics["vocabulary"]
    assert result.metrics["parameters"] == sum(w.numel() for w in model.parameters())
    assert "a new llama of 0.0" in result.headline
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert model.config.pad_token_id is None


def test_marks_are_one_token_each_and_stay_visible(data: DataSet) -> None:
    tokenizer = train_tokenizer(data, 300)
    for mark in (*MARKS, "<|endoftext|>"):
        assert len(tokenizer(mark)["input_ids"]) == 1
    ids = tokenizer("<|user|>\nmoo")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<|user|>\nmoo"
    assert tokenizer.bos_token_id not in ids


def test_vocabulary_is_smaller_where_the_rows_hold_few_words(data: DataSet) -> None:
    assert 260 < len(train_tokenizer(data, 5000)) < 400


def test_no_token_is_a_part_of_a_mark(data: DataSet) -> None:
    tokenizer = train_tokenizer(data, 400)
    words = [token for token in tokenizer.get_vocab() if token not in (*MARKS, "<|endoftext|>")]
    assert not [word for word in words if "|>" in word or "<|" in word]


def test_any_bytes_survive_the_tokenizer(data: DataSet) -> None:
    tokenizer = train_tokenizer(data, 300)
    text = "Ünï\U0001f986 \x00\t  two  spaces \n\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_same_rows_and_seed_give_the_same_files(data: DataSet, make_context: Context) -> None:
    one, two, other = (
        make_context(data={"data": data}, name=name, seed=seed)
        for name, seed in [("a", 1), ("b", 1), ("c", 2)]
    )
    state = torch.random.get_rng_state()
    for context in (one, two, other):
        build(SMALL).run(context)
    assert torch.equal(torch.random.get_rng_state(), state)
    names = sorted(path.name for path in (one.folder / "model").iterdir())
    for name in names:
        assert (one.folder / "model" / name).read_bytes() == (
            two.folder / "model" / name
        ).read_bytes()
    weights = "model.safetensors"
    assert (one.folder / "model" / weights).read_bytes() != (
        other.folder / "model" / weights
    ).read_bytes()


def test_tokenizer_learns_from_prompts_and_completions(make_data: Callable[..., DataSet]) -> None:
    prompt = [{"role": "user", "content": "armadillo"}]
    rows = [{"prompt": prompt, "chosen": "zygomorphic", "rejected": "quixotically"}] * 5
    tokenizer = train_tokenizer(make_data("paired", rows), 400)
    for word in ("armadillo", "zygomorphic", "quixotically"):
        assert len(tokenizer(word)["input_ids"]) == 1


def test_tokenizer_learns_from_thoughts_calls_of_tools_and_tools(
    make_data: Callable[..., DataSet],
) -> None:
    call = {"function": {"name": "armadillo", "arguments": {"zygomorphic": "quixotically"}}}
    prompt = [
        {"role": "user", "content": "moo"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "moo", "name": "bumfuzzle"},
    ]
    fields = {"reasoning_content": "collywobbles"}
    tools = [{"function": {"name": "armadillo", "description": "flibbertigibbet"}}]
    row = {"prompt": prompt, "completion": "moo", "completion_fields": fields, "tools": tools}
    tokenizer = train_tokenizer(make_data("demonstration", [row] * 5), 500)
    names = ("armadillo", "zygomorphic", "quixotically", "bumfuzzle")
    for word in (*names, "collywobbles", "flibbertigibbet"):
        assert len(tokenizer(word)["input_ids"]) == 1


@pytest.mark.parametrize("tied", [True, False])
def test_other_architectures_and_tied_embeddings_work(
    data: DataSet, make_context: Context, tied: bool
) -> None:
    context = make_context(data={"data": data})
    config = {
        "model_type": "gpt2",
        "hidden_size": 32,
        "n_layer": 1,
        "n_head": 2,
        "n_positions": 64,
        "tie_word_embeddings": tied,
    }
    build(config).run(context)
    model, _ = load(context)
    assert (model.lm_head.weight is model.transformer.wte.weight) == tied


def test_weights_are_saved_as_asked(data: DataSet, make_context: Context, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    context = make_context(data={"data": data})
    build(SMALL, dtype="bfloat16").run(context)
    weights = load_file(context.folder / "model" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            SMALL | {"hiden_size": 3},
            "config.hiden_size: there is no key 'hiden_size'. Did you mean 'hidden_size'? ",
        ),
        (
            {"model_type": "lama"},
            "config.model_type: there is no causal language model 'lama'. Did you mean 'llama'? ",
        ),
        ({"model_type": "t5"}, "config.model_type: there is no causal language model 't5'."),
        (SMALL | {"hidden_size": "big"}, "config: "),
        (SMALL | {"num_attention_heads": 5}, "config: "),
        (SMALL | {"intermediate_size": 10**13}, "config: its "),  # More than any machine has.
    ],
)
def test_wrong_configuration_is_one_clear_error(
    data: DataSet, make_context: Context, config: dict[str, Any], message: str
) -> None:
    context = make_context(data={"data": data})
    with pytest.raises(ModelError) as raised:
        build(config).run(context)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
    assert not (context.folder / "model").exists()


def test_a_model_above_the_limit_of_a_container_is_refused_with_its_name(
    data: DataSet, make_context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = MemoryLimit(50_000, "this container (/sys/fs/cgroup/memory.max)")
    monkeypatch.setattr(make, "least_memory", lambda: limit)
    with pytest.raises(ModelError, match=r"GB in float32, and this container \(/sys/.* allows"):
        build(SMALL).run(make_context(data={"data": data}))
    monkeypatch.setattr(make, "least_memory", lambda: None)  # No limit is known.
    build(SMALL).run(make_context(data={"data": data}))


def test_rope_of_older_configurations_is_taken(data: DataSet, make_context: Context) -> None:
    context = make_context(data={"data": data})
    build(SMALL | {"rope_theta": 500.0}).run(context)
    assert load(context)[0].config.rope_parameters["rope_theta"] == 500.0


def test_what_the_tokenizer_decides_is_a_mistake_before_the_run() -> None:
    assert list(build(SMALL | {"vocab_size": 3, "eos_token_id": 1}).mistakes()) == [
        (
            "config",
            "'vocab_size' follows from the tokenizer: leave it out, and set the option vocab_size",
        ),
        ("config", "'eos_token_id' follows from the tokenizer: leave it out"),
    ]
    assert list(build({"model_type": 3}).mistakes()) == [
        ("config", "model_type is 3; expected a name such as llama")
    ]
    assert list(build(SMALL).mistakes()) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"initializer_range": "0.02"}, "is '0.02'; expected a number of at least 0"),
        ({"hidden_size": 16.0}, "is 16.0; expected a whole number of at least 1"),
        ({"num_hidden_layers": True}, "is True; expected a whole number of at least 1"),
        ({"tie_word_embeddings": "yes"}, "is 'yes'; expected true or false"),
    ],
)
def test_a_wrong_kind_of_value_is_a_mistake_without_transformers(
    given: dict[str, Any], expected: str
) -> None:
    (field,) = given
    assert list(build(SMALL | given).mistakes()) == [("config", f"{field} {expected}")]
