from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from halo_core.errors import ModelError
from halo_core.stage import ModelInput
from halo_models.finite import look_over
from halo_models.load import load_classifier, load_model

NAN, INFINITE = float("nan"), float("inf")


@pytest.fixture
def with_numbers(tiny_model: ModelInput, tmp_path: Path) -> Callable[..., ModelInput]:
    """Returns a function that copies the tiny model, with some numbers set."""

    def make(*numbers: tuple[str, int, float]) -> ModelInput:
        folder = Path(shutil.copytree(tiny_model.path, tmp_path / "copied"))
        weights = load_file(folder / "model.safetensors")
        for name, place, value in numbers:
            weights[name].view(-1)[place] = value
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return ModelInput(str(folder), None, "")

    return make


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("value", "words"), [(NAN, "NaN"), (INFINITE, "infinite"), (-INFINITE, "infinite")]
)
def test_a_model_with_a_weight_that_is_no_number_is_refused_by_its_name(
    with_numbers: Callable[..., ModelInput], value: float, words: str, dtype: torch.dtype
) -> None:
    model = with_numbers(("model.layers.1.mlp.up_proj.weight", 7, value))
    with pytest.raises(ModelError) as raised:
        load_model(model, dtype=dtype, device="cpu")
    assert str(raised.value) == (
        f"{model.path}: 1 of the 2,048 numbers of 'model.layers.1.mlp.up_proj.weight' are {words}. "
        "Expected finite weights: this model would say nothing but nonsense. Save "
        "or download it again, or train it again with a lower learning_rate"
    )


def test_all_tensors_that_are_no_numbers_are_counted(
    with_numbers: Callable[..., ModelInput],
) -> None:
    norm = "model.layers.0.input_layernorm.weight"
    model = with_numbers((norm, 0, NAN), (norm, 3, INFINITE), ("model.norm.weight", 1, NAN))
    words = rf"2 of the 32 numbers of '{norm}' are NaN or infinite \(and of 1 more tensors\)\. "
    with pytest.raises(ModelError, match=words):
        load_model(model, dtype=torch.float32, device="cpu")


def test_a_classifier_with_a_weight_that_is_no_number_is_refused(
    tiny_model: ModelInput, tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    classifier = AutoModelForSequenceClassification.from_pretrained(tiny_model.path, num_labels=1)
    with torch.no_grad():
        classifier.score.weight[0, 5] = NAN
    classifier.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_model.path).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"1 of the 32 numbers of 'score.weight' are NaN\. "):
        load_classifier(
            ModelInput(str(tmp_path), None, ""), dtype=torch.float32, device=torch.device("cpu")
        )


def test_the_largest_number_is_told() -> None:
    tensors = {"a": torch.tensor([1.0, -7.0]), "b": torch.tensor([2.0]), "c": torch.tensor([3])}
    report = look_over(tensors.items())
    assert (report.bad, report.count, report.largest) == (None, 0, 7.0)
    assert look_over({**tensors, "d": torch.tensor([INFINITE])}.items()).largest == 7.0


def test_what_holds_no_numbers_is_passed_over() -> None:
    assert look_over({"a": torch.zeros(0), "b": torch.tensor([1])}.items()).bad is None


def test_floats_of_eight_bits_are_looked_at_too() -> None:
    tensor = torch.tensor([1.0, NAN]).to(torch.float8_e4m3fn)
    assert look_over([("a", tensor)]).bad == "1 of the 2 numbers of 'a' are NaN"
