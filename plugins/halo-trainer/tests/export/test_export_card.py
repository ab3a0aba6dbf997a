"""The model card: metadata that the hub reads, data, results, spec, licence and commands."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from halo_core.stage import ModelInput
from halo_models.load import load_model
from halo_models.notes import ModelNotes, write_notes
from halo_trainer.export.card import License, license_given
from halo_trainer.export.results import Number

Export = Callable[..., int]
MakeRun = Callable[..., Path]


@pytest.fixture
def card(make_run: MakeRun, export: Export, tmp_path: Path) -> Callable[..., str]:
    """Returns a function that exports the run with options and returns the card's text."""

    def make(*options: str, **about: Any) -> str:
        make_run(**about)
        assert export("demo", tmp_path / "out", *options) == 0
        return (tmp_path / "out" / "README.md").read_text(encoding="utf-8")

    return make


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```+{language}\n(.*?)^```+$", text, re.MULTILINE | re.DOTALL)


def test_the_hub_reads_the_metadata(card: Callable[..., str]) -> None:
    data = ModelCard(card("--license", "apache-2.0")).data.to_dict()
    assert data == {
        "base_model": "acme/base",
        "base_model_relation": "finetune",
        "datasets": ["acme/thumbs"],
        "library_name": "transformers",
        "license": "apache-2.0",
        "pipeline_tag": "text-generation",
        "tags": ["halo", "kto"],
    }


def test_the_licence_is_unknown_unless_it_is_given(card: Callable[..., str]) -> None:
    text = card()
    assert ModelCard(text).data.license == "unknown"
    assert "| licence | unknown: it was exported without one |" in text


def test_another_licence_has_a_name_and_an_address(card: Callable[..., str]) -> None:
    options = ("--license-name", "mine", "--license-link", "https://example.org/l")
    text = card("--license", "other", *options)
    data = ModelCard(text).data
    assert (data.license, data.license_name, data.license_link) == ("other", *options[1::2])
    assert "| licence | mine, https://example.org/l |" in text


def test_a_licence_without_options_is_unknown() -> None:
    assert license_given(None, None, None) == License("unknown")


def test_the_card_has_the_data_with_rows(card: Callable[..., str]) -> None:
    assert "| `align` | `thumbs` | `hh` | train | binary | 1,234 |" in card()


def test_results_have_their_intervals_and_how_they_were_made(card: Callable[..., str]) -> None:
    text = card()
    assert "| `win` | 0.625 | [0.4, 0.8] |" in text
    assert "Intervals have a confidence level of 90 % (exact)." in text
    assert "win_lo" not in text
    titles = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert titles == ["win (judge)", "answers (sample)", "align (train)"]
    assert "No result of this run has an interval" not in text


def test_results_of_other_models_are_left_out(card: Callable[..., str], stages: Any) -> None:
    theirs = {**stages["answers"], "models": {"from": "other"}}
    against = {**stages["win"], "inputs": {"of": "theirs", "against": "answers"}}
    listed = {"align": stages["align"], "theirs": theirs, "answers": stages["answers"]}
    titles = re.findall(r"^### (.*)$", card(stages={**listed, "win": against}), re.MULTILINE)
    assert titles == ["answers (sample)", "align (train)"]


def test_a_model_that_nobody_judged_says_so(card: Callable[..., str], stages: Any) -> None:
    text = card(stages={"align": stages["align"]})
    assert "No result of this run has an interval: no stage judged this model." in text


def test_whole_numbers_are_written_in_full() -> None:
    assert Number("n", 1234567.0, None).value_text == "1,234,567"
    assert Number("win", 0.61234567, (0.5, 1.0)).interval_text == "[0.5, 1]"


def test_the_spec_is_there_in_full_without_credentials(
    card: Callable[..., str], spec: str, tmp_path: Path
) -> None:
    text = card()
    shown = blocks(text, "yaml")[-1]
    assert shown == spec.replace("sesame", "***")
    assert (tmp_path / "out" / "spec.yaml").read_text() == shown
    assert "sesame" not in text


def test_a_spec_with_a_fence_stays_one_block(card: Callable[..., str]) -> None:
    spec = "name: demo\nnote: |\n  ```\n  # not a heading\n  ````\n"
    assert blocks(card(spec=spec), "yaml")[-1] == spec


def test_a_damaged_spec_is_refused(
    make_run: MakeRun,
    export: Export,
    workspace: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_run()
    (workspace / "runs/demo-0123/spec.yaml").write_text("name: other\n")
    assert export("demo", tmp_path / "out") == 2
    assert "spec.yaml: holds other bytes than were written" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_commands_are_there(card: Callable[..., str]) -> None:
    text = card()
    assert blocks(text, "sh") == [
        "halo run spec.yaml\n",
        "python llama.cpp/convert_hf_to_gguf.py . --outfile model.gguf --outtype f32\n",
    ]
    assert "The command of the run was `halo run 'my spec.yaml' --set seed=2`." in text
    assert "It used python 3.11, torch 2.13." in text


def test_the_code_of_the_card_answers(
    card: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "".join(blocks(card(), "python")).replace("max_new_tokens=200", "max_new_tokens=3")
    monkeypatch.chdir(tmp_path / "out")
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["tokens"].shape[1] == names["inputs"]["input_ids"].shape[1] + 3
    assert names["prompt"].rstrip().endswith("<|assistant|>")


def test_the_control_token_ends_the_prompt_of_the_card(
    card: Callable[..., str], tiny_model: ModelInput, tmp_path: Path
) -> None:
    import shutil

    folder = Path(shutil.copytree(tiny_model.path, tmp_path / "model"))
    write_notes(folder, ModelNotes(prompt_suffix='<|"good"|>', control_tokens=('<|"good"|>',)))
    text = card(model=folder)
    assert 'prompt += "<|\\"good\\"|>"' in text
    assert 'Every prompt ends with the control token `<|"good"|>`, with' in text


def test_a_link_to_nowhere_is_not_claimed_for_a_local_base(
    card: Callable[..., str], tmp_path: Path
) -> None:
    start = {"path": str(tmp_path / "base"), "revision": None, "digest": "d"}
    text = card(start=start)
    assert ModelCard(text).data.base_model is None
    assert "| base model | a local folder named base |" in text


def test_rows_that_are_gone_are_unknown(
    make_run: MakeRun, export: Export, workspace: Path, tmp_path: Path
) -> None:
    import shutil

    make_run()
    shutil.rmtree(workspace / "data")
    assert export("demo", tmp_path / "out") == 0
    text = (tmp_path / "out" / "README.md").read_text()
    assert "| `align` | `thumbs` | `unknown` |  | binary | unknown |" in text
    assert ModelCard(text).data.datasets is None


def test_the_weights_are_counted(card: Callable[..., str], tiny_model: ModelInput) -> None:
    network = load_model(tiny_model, dtype=torch.float32, device="cpu")
    count = sum(weight.numel() for weight in network.state_dict().values())
    assert f"| weights | {count:,} |" in card()
