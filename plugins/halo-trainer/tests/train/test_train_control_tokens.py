"""Control tokens are part of the token ids in training and in sampling."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from halo_core import ModelInput
from halo_core.errors import ModelError, UserError
from halo_core.feedback import Feedback
from halo_core.loss import Loss, LossBatch, LossOutput, Need
from halo_core.rows import DataSet
from halo_core.stage import StageContext
from halo_methods.components import SFT
from halo_models.load import load_tokenizer
from halo_trainer.batch.micro_batch import collate
from halo_trainer.encode.rows_to_tokens import EncodingOptions
from halo_trainer.model.lora_options import LoraOptions
from halo_trainer.sample.options import Sample
from halo_trainer.sample.sampler import Sampler
from halo_trainer.train.options import Train
from halo_trainer.train.ranks import Ranks
from halo_trainer.train.setup import set_up

ROWS = [
    {
        "prompt": [{"role": "user", "content": f"What does cow {i} say?"}],
        "completion": "moo" if i % 2 == 0 else "quack",
        "desirable": i % 2 == 0,
    }
    for i in range(12)
]


class Told(Loss):
    """Trains on all completions, with a token that marks good ones."""

    feedback: ClassVar[Feedback] = "binary"
    needs: ClassVar[tuple[Need, ...]] = ("policy_logps",)
    good: str = Field(default="<|good|>", description="Token of desirable completions.")

    def control_tokens(self) -> tuple[str, str]:
        return (self.good, "<|bad|>")

    def __call__(self, batch: LossBatch) -> LossOutput:
        return LossOutput(-batch.policy_logps / batch.lengths, batch.lengths)


@pytest.fixture
def context(
    make_data: Callable[..., DataSet],
    make_context: Callable[..., StageContext],
    tiny_model: ModelInput,
) -> Callable[..., StageContext]:
    def make(name: str = "stage", model: ModelInput = tiny_model, **data: Any) -> StageContext:
        sets = data or {"data": make_data("binary", ROWS)}
        return make_context(data=sets, models={"from": model, "reference": model}, name=name)

    return make


def stage(loss: Loss, **options: Any) -> Train:
    given = {"batch_size": 4, "learning_rate": 3e-2, "device": "cpu", "data": "train"}
    return Train(**given | options, loss=loss)


def test_each_prompt_ends_with_the_token_of_its_class_which_is_not_trained(
    context: Callable[..., StageContext],
) -> None:
    training = set_up(stage(Told()).recipe(), context(), Ranks("cpu"))
    ids = training.start.tokenizer.get_vocab()
    embeddings = training.policy.model.get_input_embeddings().weight
    assert len(embeddings) == len(training.start.tokenizer)
    for example, row in zip(training.data, ROWS, strict=True):
        (completion,) = example.completions
        mark = "<|good|>" if row["desirable"] else "<|bad|>"
        assert completion.prompt_ids[-1] == ids[mark]
        assert not {ids["<|good|>"], ids["<|bad|>"]} & set(completion.completion_ids.tolist())
        assert (
            completion.prompt_ids[:-1].tolist()[-1]
            == training.start.tokenizer("\n")["input_ids"][-1]
        )
    row = collate(list(training.data)).row
    assert not {ids["<|good|>"], ids["<|bad|>"]} & set(row.targets.tolist())
    assert ids["<|good|>"] in row.input_ids


def test_a_text_that_spells_a_control_token_stays_text(
    context: Callable[..., StageContext], make_data: Callable[..., DataSet]
) -> None:
    rows = [{**ROWS[0], "completion": "say <|bad|> now"}, ROWS[1]]
    training = set_up(stage(Told()).recipe(), context(data=make_data("binary", rows)), Ranks("cpu"))
    bad = training.start.tokenizer.get_vocab()["<|bad|>"]
    assert bad not in training.data[0].completions[0].completion_ids


def test_the_sampler_asks_with_the_good_token_and_the_bad_one_gives_the_other_answer(
    context: Callable[..., StageContext],
    make_data: Callable[..., DataSet],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = context("told")
    stage(Told(), epochs=20).run(trained)
    folder = trained.folder / "model"
    notes = json.loads((folder / "halo.json").read_text())
    assert notes == {
        "schema": 1,
        "prompt_suffix": "<|good|>",
        "control_tokens": ["<|good|>", "<|bad|>"],
        "chat_template": True,
    }
    model = ModelInput(str(folder), None, "told")
    good = load_tokenizer(model, None).get_vocab()["<|good|>"]
    asked: list[list[int]] = []
    real = Sampler.batch

    def watch(self: Any, prompts: Any, drew: Any = None) -> Any:
        asked.extend(ids for _, ids in prompts)
        return real(self, prompts, drew)

    monkeypatch.setattr(Sampler, "batch", watch)

    def answers(name: str) -> set[str]:
        here = context(name, model, prompts=make_data("binary", ROWS, "test"))
        Sample(prompts="test", temperature=0.0, max_new_tokens=4, device="cpu").run(here)
        lines = (here.folder / "samples.jsonl").read_text().splitlines()
        return {json.loads(line)["completion"] for line in lines}

    assert answers("good") == {"moo"}
    assert len(asked) == len(ROWS)
    assert all(ids[-1] == good for ids in asked)
    (folder / "halo.json").write_text(json.dumps(notes | {"prompt_suffix": "<|bad|>"}))
    assert answers("bad") == {"quack"}


def test_a_model_keeps_its_suffix_under_another_loss(context: Callable[..., StageContext]) -> None:
    first = context("told")
    stage(Told(), steps=1).run(first)
    model = ModelInput(str(first.folder / "model"), None, "told")
    second = context("again", model)
    training = set_up(stage(SFT(), steps=1).recipe(), second, Ranks("cpu"))
    good = training.start.tokenizer.get_vocab()["<|good|>"]
    assert all(e.completions[0].prompt_ids[-1] == good for e in training.data)
    assert training.start.notes.prompt_suffix == "<|good|>"
    third = context("third", model)
    stage(Told(), steps=1).run(third)
    assert len(load_tokenizer(model, None)) == len(
        load_tokenizer(ModelInput(str(third.folder / "model"), None, ""), None)
    )


def test_an_ordinary_model_says_nothing_of_control_tokens(
    context: Callable[..., StageContext],
) -> None:
    here = context("plain")
    stage(SFT(), steps=1).run(here)
    notes = json.loads((here.folder / "model" / "halo.json").read_text())
    assert (notes["prompt_suffix"], notes["control_tokens"]) == (None, [])


def test_a_control_token_that_means_something_already_is_refused(
    context: Callable[..., StageContext],
) -> None:
    with pytest.raises(ModelError) as caught:
        set_up(stage(Told(good="<|user|>")).recipe(), context(), Ranks("cpu"))
    assert "the control token '<|user|>' already means something: it is token" in str(caught.value)
    assert "Choose one that is not in it" in str(caught.value)


def test_a_taken_control_token_is_found_before_anything_is_trained(
    tiny_model: ModelInput,
) -> None:
    taken = stage(Told(good="<|user|>"))
    with pytest.raises(ModelError, match=re.escape("'<|user|>' already means")) as caught:
        taken.preflight({"from": tiny_model})
    assert caught.value.location == "loss"
    stage(Told()).preflight({"from": tiny_model})
    stage(SFT()).preflight({"from": ModelInput("nowhere", None, "")})


def test_a_model_trained_with_control_tokens_may_learn_them_again(
    context: Callable[..., StageContext],
) -> None:
    here = context("first")
    stage(Told(), steps=1).run(here)
    trained = ModelInput(str(here.folder / "model"), None, "")
    stage(Told()).preflight({"from": trained})
    with pytest.raises(ModelError, match=re.escape("'<|assistant|>' already means")):
        stage(Told(good="<|assistant|>")).preflight({"from": trained})


def test_notes_that_cannot_be_read_are_named(
    context: Callable[..., StageContext], tiny_model: ModelInput, tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "noted"
    shutil.copytree(tiny_model.path, folder)
    (folder / "halo.json").write_text("{}")
    message = (
        "noted: halo.json got '{}' without prompt_suffix, control_tokens; expected a JSON object "
        "with prompt_suffix and control_tokens. Remove it; the model is then asked without a "
        "control token"
    )
    with pytest.raises(ModelError, match=re.escape(message)):
        set_up(stage(SFT()).recipe(), context("x", ModelInput(str(folder), None, "")), Ranks("cpu"))


def test_lora_cannot_learn_control_tokens() -> None:
    mistakes = dict(stage(Told(), lora=LoraOptions()).mistakes())
    assert "control tokens could not be learned" in mistakes["lora"]


def test_a_prompt_of_one_token_has_no_room_for_its_suffix() -> None:
    with pytest.raises(UserError, match="has no room for text before the control"):
        EncodingOptions(max_length=8, max_prompt_length=1, suffixes=(5, 6))


def test_a_long_prompt_is_cut_and_keeps_its_control_token(
    context: Callable[..., StageContext], make_data: Callable[..., DataSet]
) -> None:
    long = [{**ROWS[0], "prompt": [{"role": "user", "content": "the cow says moo " * 30}]}]
    here = context(data=make_data("binary", long))
    training = set_up(
        stage(Told(), max_length=40, max_prompt_length=20).recipe(), here, Ranks("cpu")
    )
    prompt = training.data[0].completions[0].prompt_ids
    assert len(prompt) <= 20
    assert prompt[-1] == training.start.tokenizer.get_vocab()["<|good|>"]
