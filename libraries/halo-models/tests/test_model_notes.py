"""What a model's folder says of itself is read as it was written, by whoever reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.errors import ModelError
from halo_core.stage import ModelInput
from halo_core.workspace.records import MODEL
from halo_models.notes import ModelNotes, read_notes, write_notes


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
