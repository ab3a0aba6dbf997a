"""The notes in a model's folder are read as they were written, by every reader."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import ModelError
from halo_core.stage import ModelInput
from halo_core.workspace.records import MODEL
from halo_models.load import load_classifier, load_tokenizer
from halo_models.notes import TEMPLATE_FILE, ModelNotes, read_notes, write_notes
from halo_models.save import write_classifier
from halo_models.templates import TULU_2
from halo_models.testing import make_model


@pytest.fixture
def model(tmp_path: Path) -> ModelInput:
    (tmp_path / "config.json").write_text("{}")
    return ModelInput(str(tmp_path), None, "")


@pytest.mark.parametrize(
    "notes",
    [
        ModelNotes(),
        ModelNotes("<|good|>", ("<|good|>", "<|bad|>")),
        ModelNotes(score_at="completion-end"),
    ],
)
def test_notes_are_read_as_they_were_written(model: ModelInput, notes: ModelNotes) -> None:
    write_notes(Path(model.path), notes)
    assert read_notes(model) == notes
    assert (Path(model.path) / MODEL.name).exists() == (notes != ModelNotes())


def test_notes_of_a_language_model_say_nothing_of_scores(model: ModelInput) -> None:
    write_notes(Path(model.path), ModelNotes("<|good|>", ("<|good|>",)))
    assert "score_at" not in (Path(model.path) / MODEL.name).read_text()


@pytest.mark.parametrize(
    ("text", "came"),
    [
        ("{", r"is not JSON \(Expecting .*; expected a JSON file"),
        ("[]", r"got '\[\]'; expected a JSON object with prompt_suffix and control_tokens"),
        ('{"prompt_suffix": null}', r"got '.*' without control_tokens; expected a JSON object"),
    ],
)
def test_notes_that_cannot_be_read_are_an_error(model: ModelInput, text: str, came: str) -> None:
    (Path(model.path) / MODEL.name).write_text(text)
    message = rf"halo.json {came}.*Remove it; the model is then asked without a control token"
    with pytest.raises(ModelError, match=message) as raised:
        read_notes(model)
    assert raised.value.location == model.path


@pytest.fixture
def saved(tiny_model: ModelInput, tmp_path: Path) -> ModelInput:
    """A copy of a saved language model, with its chat template."""
    folder = shutil.copytree(tiny_model.path, tmp_path / "copy")
    return ModelInput(str(folder), None, "")


LOST = [
    (lambda file: file.write_text(""), "the chat template is empty"),
    (lambda file: file.unlink(), "the chat template is gone: halo.json says that one was saved"),
]


@pytest.mark.parametrize(("lose", "message"), LOST, ids=["empty", "gone"])
def test_a_lost_chat_template_is_an_error_that_says_what_to_do(
    saved: ModelInput, lose: Any, message: str
) -> None:
    assert load_tokenizer(saved, None).chat_template == TULU_2
    lose(Path(saved.path) / TEMPLATE_FILE)
    with pytest.raises(ModelError, match=message) as raised:
        load_tokenizer(saved, None)
    assert raised.value.location == saved.path
    assert f"Put {TEMPLATE_FILE} back" in raised.value.message
    assert load_tokenizer(saved, "tulu").chat_template == TULU_2


@pytest.mark.parametrize(("lose", "message"), LOST, ids=["empty", "gone"])
def test_a_lost_chat_template_of_a_reward_model_is_an_error(
    tiny_tokenizer: Any, tmp_path: Path, lose: Any, message: str
) -> None:
    import torch

    network = make_model(len(tiny_tokenizer))
    head = torch.nn.Linear(32, 1, bias=False)
    write_classifier(tmp_path, network, head, copy.deepcopy(tiny_tokenizer))
    write_notes(tmp_path, ModelNotes(score_at="completion-end"))
    lose(tmp_path / TEMPLATE_FILE)
    model = ModelInput(str(tmp_path), None, "")
    with pytest.raises(ModelError, match=message):
        load_classifier(model, dtype=torch.float32, device=torch.device("cpu"))


def test_an_empty_template_in_the_configuration_of_a_tokenizer_is_an_error(
    saved: ModelInput,
) -> None:
    folder = Path(saved.path)
    (folder / TEMPLATE_FILE).unlink()
    (folder / MODEL.name).unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": ""}))
    with pytest.raises(ModelError, match="the chat template is empty"):
        load_tokenizer(saved, None)


def test_a_model_that_never_had_a_template_gets_that_of_the_report(saved: ModelInput) -> None:
    folder = Path(saved.path)
    (folder / TEMPLATE_FILE).unlink()
    (folder / MODEL.name).unlink()
    assert load_tokenizer(saved, None).chat_template == TULU_2
