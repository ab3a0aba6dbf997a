"""The stage `gguf`: a GGUF file gives the same model as safetensors, and bad files one error."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from halo_core.cli import call
from halo_core.errors import DiskError, ModelError
from halo_models.testing import make_model, make_tokenizer
from halo_trainer.gguf.header import read_header

Write = Callable[..., None]
pytest.importorskip("gguf", reason="the package gguf is not installed")

ROWS = [{"prompt": "What says a cow?", "completion": "Moo.", "label": True}] * 2
TEMPLATE = (
    "{% for m in messages %}<|user|>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPEC = """
name: from-gguf
seed: {seed}
model: {{gguf: {file}}}
data: {{rows: {{use: files, path: rows.jsonl}}}}
stages:
  answers: {{use: sample, prompts: rows, max_new_tokens: 4}}
"""


@pytest.fixture
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.fixture
def source(tokenizer: Any) -> Any:
    """A llama whose heads share keys, so that their order in the file matters."""
    options = {"num_key_value_heads": 2, "tie_word_embeddings": False, "rope_theta": 5000.0}
    return make_model(len(tokenizer), **options)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def spec(file: str = "model.gguf", seed: int = 0) -> str:
    Path("spec.yaml").write_text(SPEC.format(file=file, seed=seed))
    return "spec.yaml"


def made() -> list[Path]:
    return sorted(Path("workspace/stages").glob("gguf-*/model"))


def logits(model: Any, ids: Any) -> Any:
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0]


@pytest.mark.slow
def test_a_gguf_file_gives_the_model_the_tokenizer_and_the_template(
    write_gguf: Write, source: Any, tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    write_gguf(Path("model.gguf"), source, tokenizer, template=TEMPLATE)
    assert call(["run", spec()]) == 0
    digest = hashlib.sha256(Path("model.gguf").read_bytes()).hexdigest()
    said = capsys.readouterr().out
    assert f"dequantised from model.gguf (SHA-256 {digest[:12]}...)" in said
    (folder,) = made()
    record = json.loads((folder.parent / "stage.json").read_text())
    assert record["identity"]["stage"]["files"] == {"file": digest}
    assert (folder / "model.safetensors").is_file()
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = tokenizer("What says a cow? Moo.")["input_ids"]
    torch.testing.assert_close(logits(loaded, ids), logits(source, ids), rtol=1e-4, atol=1e-5)
    ours = AutoTokenizer.from_pretrained(folder)
    assert (
        ours("What says a cow? <|user|>\nMoo.")["input_ids"]
        == (tokenizer("What says a cow? <|user|>\nMoo.")["input_ids"])
    )
    assert ours.chat_template == TEMPLATE
    assert loaded.generation_config.eos_token_id == tokenizer.eos_token_id


def test_quantised_tensors_are_dequantised(write_gguf: Write, source: Any, tokenizer: Any) -> None:
    import gguf

    write_gguf(Path("model.gguf"), source, tokenizer, quantised=True)
    kind = gguf.GGMLQuantizationType.Q8_0
    with torch.no_grad():
        for weight in source.parameters():
            if weight.ndim == 2:
                rounded = gguf.dequantize(gguf.quantize(weight.numpy(), kind), kind)
                weight.copy_(torch.from_numpy(rounded))
    assert call(["run", spec()]) == 0
    loaded = AutoModelForCausalLM.from_pretrained(made()[0], dtype=torch.float32)
    for name, weight in source.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight, rtol=0, atol=0)


def test_the_same_bytes_are_dequantised_once_whatever_the_seed_and_the_folder(
    write_gguf: Write, source: Any, tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    write_gguf(Path("model.gguf"), source, tokenizer)
    assert call(["run", spec()]) == 0
    Path("elsewhere").mkdir()
    shutil.copy("model.gguf", "elsewhere/copy.gguf")
    assert call(["run", spec("elsewhere/copy.gguf", seed=1)]) == 0
    assert len(made()) == 1
    # Other bytes are another model.
    write_gguf(Path("model.gguf"), source, tokenizer, template=TEMPLATE)
    assert call(["run", spec()]) == 0
    assert len(made()) == 2


def test_the_card_of_an_exported_model_names_the_file(
    write_gguf: Write, source: Any, tokenizer: Any
) -> None:
    write_gguf(Path("model.gguf"), source, tokenizer)
    assert call(["run", spec()]) == 0
    (record,) = Path("workspace/runs").glob("*/run.json")
    assert call(["export", f"{record.parent.name}:model", "out"]) == 0
    digest = hashlib.sha256(Path("model.gguf").read_bytes()).hexdigest()
    card = " ".join(Path("out/README.md").read_text().split())
    assert f"the GGUF file model.gguf with the SHA-256 {digest}, dequantised" in card


def test_options_can_be_written_out(write_gguf: Write, source: Any, tokenizer: Any) -> None:
    write_gguf(Path("model.gguf"), source, tokenizer)
    text = SPEC.format(file="{file: model.gguf, dtype: bfloat16}", seed=0)
    Path("spec.yaml").write_text(text)
    assert call(["run", "spec.yaml"]) == 0
    assert AutoModelForCausalLM.from_pretrained(made()[0], dtype="auto").dtype == torch.bfloat16


def test_what_transformers_does_not_read_is_said(
    write_gguf: Write, source: Any, tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    write_gguf(Path("model.gguf"), source, tokenizer, keys={"llama.rope.scaling.factor": 8.0})
    assert call(["run", spec()]) == 0
    told = capsys.readouterr()
    text = "model.gguf: transformers does not read its keys rope.scaling.factor"
    assert text in " ".join((told.out + told.err).split())


def test_validate_and_plan_dequantise_nothing(
    write_gguf: Write,
    source: Any,
    tokenizer: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_gguf(Path("model.gguf"), source, tokenizer, template=TEMPLATE)
    # Neither the package nor the bytes of the tensors are needed to check a spec.
    with monkeypatch.context() as patched:
        name = "halo_trainer.gguf.options.known_file_hash"
        patched.setattr(name, lambda path: pytest.fail("it was read"))
        assert call(["validate", spec()]) == 0
    assert call(["plan", "spec.yaml"]) == 0
    assert not made()
    capsys.readouterr()
    # The sketch has the tokenizer and the template of the file.
    assert call(["data", "spec.yaml:rows", "--tokens", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["sets"]["rows"]
    assert rows["tokenizer"] == "the tokenizer of the model that the stage model will make"
    assert rows["template"] == "that of the model that will be made"
    assert rows["rows"][0]["prompt"]["text"] == "<|user|>What says a cow?<|assistant|>"


def _not_gguf(file: Path) -> None:
    file.write_bytes(b"PK\x03\x04 something else")


def _old_version(file: Path) -> None:
    file.write_bytes(b"GGUF" + struct.pack("<I", 1) + file.read_bytes()[8:])


def _cut_header(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:700])


def _cut_tensors(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    ("command", "spoil", "words"),
    [
        ("validate", Path.unlink, "there is no such file. Did you mean"),
        ("validate", _folder, "this is a folder; expected a file that ends in .gguf"),
        ("validate", _pipe, "this is a pipe; expected a file"),
        ("validate", _not_gguf, "this is not a GGUF file: it begins with b'PK\\x03\\x04'"),
        ("validate", _old_version, "this GGUF file has version 1; expected 2 or 3"),
        ("validate", _cut_header, "this GGUF file is cut off or damaged: it ends after 700 bytes"),
        ("plan", _cut_tensors, "this GGUF file is cut off: its tensor "),
    ],
)
def test_a_bad_file_is_one_clear_error(
    command: str,
    spoil: Any,
    words: str,
    write_gguf: Write,
    source: Any,
    tokenizer: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_gguf(Path("model.gguf"), source, tokenizer)
    shutil.copy("model.gguf", "models.gguf")
    spoil(Path("model.gguf"))
    assert call([command, spec()]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("model.gguf.file") == 1
    assert "Traceback" not in said


def test_a_file_that_transformers_cannot_read_is_refused_by_name(
    write_gguf: Write, source: Any, tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    write_gguf(Path("model.gguf"), source, tokenizer, architecture="rwkv7")
    for command in ("plan", "run"):
        assert call([command, spec()]) == 2
        said = capsys.readouterr().err
        assert "cannot read GGUF files of the architecture 'rwkv7'; it reads bloom, " in said


def test_a_file_that_lacks_a_tensor_is_refused(
    write_gguf: Write, source: Any, tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    write_gguf(Path("model.gguf"), source, tokenizer, without="blk.1.ffn_up.weight")
    assert call(["run", spec()]) == 2
    assert "no tensor for 1 weights of LlamaForCausalLM, among them 'model.layers.1" in (
        capsys.readouterr().err
    )


def test_without_the_package_the_extra_is_named(
    write_gguf: Write,
    source: Any,
    tokenizer: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_gguf(Path("model.gguf"), source, tokenizer)
    monkeypatch.setattr(
        "halo_trainer.gguf.look_ahead.find_spec",
        lambda name: None if name == "gguf" else find_spec(name),
    )
    for command in ("plan", "run"):
        assert call([command, spec()]) == 2
        assert "pip install 'halo-trainer[gguf]'" in capsys.readouterr().err
    # A spec can be checked without it.
    assert call(["validate", spec()]) == 0


def test_one_part_of_several_files_is_refused(
    write_gguf: Write,
    source: Any,
    tokenizer: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_gguf(Path("model.gguf"), source, tokenizer, keys={"split.count": 3})
    assert call(["validate", spec()]) == 2
    assert "one of 3 files of a model; expected one file: join them with" in capsys.readouterr().err


def test_too_little_room_is_said_before_anything_is_dequantised(
    write_gguf: Write, source: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from halo_trainer.gguf.dequantise import dequantise

    write_gguf(Path("model.gguf"), source, tokenizer)
    monkeypatch.setattr("halo_core.workspace.disk.free_bytes", lambda folder: 1000)
    with pytest.raises(DiskError, match=r"no room for the dequantised model of model\.gguf"):
        dequantise(Path("model.gguf"), Path("out"), "float32", None, pytest.fail)


def test_a_file_that_has_changed_since_the_plan_is_refused(
    write_gguf: Write, source: Any, tokenizer: Any
) -> None:
    from halo_trainer.gguf.dequantise import dequantise

    write_gguf(Path("model.gguf"), source, tokenizer)
    with pytest.raises(ModelError, match="this file has changed since the run began; run the same"):
        dequantise(Path("model.gguf"), Path("out"), "float32", "0" * 64, pytest.fail)


def test_the_header_is_read_without_the_package(
    write_gguf: Write, source: Any, tokenizer: Any
) -> None:
    write_gguf(Path("model.gguf"), source, tokenizer)
    header = read_header(Path("model.gguf"))
    assert header.architecture == "llama"
    assert header.weights == sum(weight.numel() for weight in source.parameters())
    import gguf

    theirs = gguf.GGUFReader("model.gguf")
    assert {t.name: t.offset for t in header.tensors} == {
        t.name: t.data_offset for t in theirs.tensors
    }


@pytest.mark.slow
def test_smollm2_answers_from_its_wheel(smollm2_file: Path) -> None:
    Path("rows.jsonl").write_text(json.dumps({"prompt": "What is the capital of France?"}) + "\n")
    Path("spec.yaml").write_text(
        SPEC.format(file=smollm2_file, seed=0).replace("max_new_tokens: 4", "max_new_tokens: 12")
    )
    assert call(["run", "spec.yaml", "--set", "stages.answers.temperature=0"]) == 0
    (samples,) = Path("workspace/stages").glob("sample-*/samples.jsonl")
    assert json.loads(samples.read_text())["completion"] == "The capital of France is Paris."
