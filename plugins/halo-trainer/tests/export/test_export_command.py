"""`halo export`: a new folder that transformers loads, all of it or nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from halo_core.stage import ModelInput
from halo_core.workspace.lock import turn
from halo_core.workspace.records import DONE, SUITE, SuiteRecord
from halo_models.load import load_model
from halo_models.save import save_model_folder, write_classifier
from halo_models.testing import make_model

TOKENS = torch.tensor([[5, 6, 7, 8]])
Export = Callable[..., int]
MakeRun = Callable[..., Path]


def logits(folder: Path, kind: str = "AutoModelForCausalLM") -> Any:
    import transformers

    network = getattr(transformers, kind).from_pretrained(folder).eval()
    with torch.no_grad():
        return network(TOKENS).logits


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {k: v for path in folder.glob("*.safetensors") for k, v in load_file(path).items()}


def test_the_export_loads_in_transformers_with_the_same_bits(
    make_run: MakeRun, export: Export, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    model = make_run()
    out = tmp_path / "new" / "out"
    assert export("demo:align", out) == 0
    assert torch.equal(logits(out), logits(model))
    before, after = weights(model), weights(out)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer("The cow says")["input_ids"]
    assert tokenizer.chat_template == (model / "chat_template.jinja").read_text()
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json", "halo.json"):
        assert (out / name).read_bytes() == (model / name).read_bytes()
    assert len({path.stat().st_mode for path in out.iterdir()}) == 1
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.slow
def test_the_export_needs_no_halo(make_run: MakeRun, export: Export, tmp_path: Path) -> None:
    make_run()
    out = tmp_path / "out"
    assert export("demo", out) == 0
    code = (
        "import sys; from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; "
        f"M.from_pretrained({str(out)!r}); T.from_pretrained({str(out)!r}); "
        "assert not [name for name in sys.modules if name.startswith('halo')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_bfloat16_rounds_each_weight_once(
    make_run: MakeRun, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_run()
    out = tmp_path / "out"
    assert export("demo", out, "--precision", "bfloat16") == 0
    assert "the model of demo-0123:align" in capsys.readouterr().out
    before, after = weights(model), weights(out)
    assert {weight.dtype for weight in before.values()} == {torch.float32}
    assert all(torch.equal(after[name], before[name].bfloat16()) for name in before)
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"
    assert "converted from float32" in (out / "README.md").read_text()


def test_a_large_model_gets_several_files_and_an_index(
    make_run: MakeRun, export: Export, tmp_path: Path
) -> None:
    model = make_run()
    out = tmp_path / "out"
    assert export("demo", out, "--max-shard-size", "40KB") == 0
    index = json.loads((out / "model.safetensors.index.json").read_text())
    files = set(index["weight_map"].values())
    assert len(files) > 1
    assert files == {path.name for path in out.glob("*.safetensors")}
    assert torch.equal(logits(out), logits(model))


def test_without_a_stage_the_last_model_is_exported(
    make_run: MakeRun, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    assert export("demo", tmp_path / "out", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["run"], answer["stage"]) == ("demo-0123", "align")
    assert (answer["precision"], answer["adapter"]) == ("float32", False)
    assert (answer["base_model"], answer["license"]) == ("acme/base at 0a1b2c3", "unknown")
    assert answer["files"] == {
        path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()
    }
    assert (answer["checked"], answer["pushed"]) == (True, None)


def test_no_exported_file_names_a_folder_of_this_machine(
    make_run: MakeRun, export: Export, tmp_path: Path
) -> None:
    make_run(start={"path": str(tmp_path / "secret" / "base"), "revision": None, "digest": "d"})
    out = tmp_path / "out"
    assert export("demo", out) == 0
    for path in out.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), path.name
    assert "a local folder named base" in (out / "README.md").read_text()


def test_a_reward_model_stays_a_classifier(
    make_run: MakeRun, export: Export, tmp_path: Path, tiny_model: ModelInput, tiny_tokenizer: Any
) -> None:
    import copy

    network = load_model(tiny_model, dtype=torch.float32, device="cpu")
    head = nn.Sequential(nn.Linear(32, 1, bias=False))
    folder = tmp_path / "classifier"
    folder.mkdir()
    write_classifier(folder, network, head, copy.deepcopy(tiny_tokenizer))
    out = tmp_path / "out"
    make_run(folder)
    assert export("demo", out) == 0
    kind = "AutoModelForSequenceClassification"
    assert torch.equal(logits(out, kind), logits(folder, kind))
    card = (out / "README.md").read_text()
    assert "pipeline_tag: text-classification" in card
    assert "convert_hf_to_gguf" not in card


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demon"], "no run or suite 'demon'"),
        (
            ["demo:aline"],
            "has no stage 'aline' that makes a model. Did you mean 'align'? It has align",
        ),
        (["demo:win"], "has no stage 'win' that makes a model. It has align"),
        (["demo", "--base-model", "acme/base"], "only adapters have a base model; add --adapter"),
        (["demo", "--adapter"], "the stage 'align' has no adapter; expected one with the option"),
        (["demo", "--public"], "nothing is uploaded; add --push OWNER/NAME"),
        (["demo", "--max-shard-size", "5 gigs"], "got '5 gigs'; expected a whole number with KB"),
        (["demo", "--license", "Apache 2"], "got 'Apache 2'; expected an id of the hub. Did you"),
        (
            ["demo", "--license", "gpl-9.0"],
            "Did you mean 'gpl-3.0'? For a licence that the",
        ),
        (["demo", "--license", "my-own"], "got 'my-own'; expected an id of the hub. For a licence"),
        (["demo", "--license-name", "mine"], "only for a licence without an id; got --license"),
        (["demo", "--precision", "int4"], "'int4' is not one of 'float32', 'bfloat16'"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(
    make_run: MakeRun,
    export: Export,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    make_run()
    run, *options = arguments
    assert export(run, tmp_path / "out", *options) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert [path.name for path in tmp_path.iterdir()] == ["workspace"]


def test_a_stage_that_is_not_finished_is_refused(
    make_run: MakeRun, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (make_run().parent / DONE.name).unlink()
    assert export("demo:align", tmp_path / "out") == 2
    assert "the stage align of the run demo-0123 is not done yet" in capsys.readouterr().err
    assert export("demo", tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert "no stage with a model of the run demo-0123 is done yet; run its command again" in told


def test_a_folder_outside_of_a_run_is_refused(
    make_run: MakeRun, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(make_run(), tmp_path / "out") == 2
    assert "this is a model's folder, so the data and results" in capsys.readouterr().err


def test_a_suite_is_refused(
    workspace: Path, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = workspace / "suites/all"
    folder.mkdir(parents=True)
    SUITE.write(folder, SuiteRecord(name="all", axes={}, cells=[]))
    assert export("all", tmp_path / "out") == 2
    assert (
        "'all' is a suite, which has many models; name one of its runs" in capsys.readouterr().err
    )


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_nothing_is_overwritten(
    make_run: MakeRun,
    export: Export,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    make_run()
    out = tmp_path / "out"
    if kind == "folder":
        out.mkdir()
    elif kind == "file":
        out.write_text("mine")
    else:
        out.symlink_to(tmp_path / "gone")
    assert export("demo", out) == 2
    assert "expected the name of a new folder" in capsys.readouterr().err
    assert not (out / "config.json").exists()


def test_a_folder_that_appears_meanwhile_is_kept(
    make_run: MakeRun, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from halo_trainer.export import write

    make_run()
    out = tmp_path / "out"

    def slow(*_: Any, **__: Any) -> str:
        out.mkdir()
        (out / "mine").write_text("kept")
        return "card"

    monkeypatch.setattr(write, "model_card", slow)
    assert export("demo", out) == 2
    assert [path.name for path in out.iterdir()] == ["mine"]


def test_a_damaged_model_is_refused(
    make_run: MakeRun, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_run() / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert export("demo", tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert f"{path}: holds other bytes than were written" in told
    assert not (tmp_path / "out").exists()


def test_weights_that_only_their_owner_can_read_are_told(
    make_run: MakeRun,
    export: Export,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from halo_core.workspace import check_values

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    model = make_run()
    for path in model.iterdir():
        os.utime(path, (0, 0))  # They are read again.
    monkeypatch.setattr(check_values, "file_hash", refuse)
    assert export("demo", tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert ": cannot be read: Permission denied; expected files that you may read" in told
    assert f"chmod -R a+rX {model}" in told


def test_a_workspace_that_cannot_be_written_to_is_read_without_a_lock(
    make_run: MakeRun, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from halo_trainer.export import source

    make_run()
    monkeypatch.setattr(source, "access", lambda *_: False)
    monkeypatch.setattr(source, "unused", pytest.fail)
    assert export("demo", tmp_path / "out") == 0


def test_tied_embeddings_are_written_once_and_heads_are_kept(
    make_run: MakeRun, export: Export, tmp_path: Path, tiny_tokenizer: Any
) -> None:
    network = make_model(len(tiny_tokenizer), tie_word_embeddings=True)
    folder = tmp_path / "tied"
    save_model_folder(folder, network, tiny_tokenizer)
    save_file({"value.0.weight": torch.ones(1, 32)}, folder / "heads.safetensors")
    make_run(folder)
    out = tmp_path / "out"
    assert export("demo", out) == 0
    assert "lm_head.weight" not in load_file(out / "model.safetensors")
    assert torch.equal(logits(out), logits(folder))
    assert (out / "heads.safetensors").read_bytes() == (folder / "heads.safetensors").read_bytes()


def test_a_model_of_an_older_halo_is_exported_and_that_is_told(
    make_run: MakeRun, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run().parent
    done = DONE.read(folder)
    assert done is not None
    del done["files"]
    DONE.write(folder, done)
    assert export("demo", tmp_path / "out") == 0
    assert "its files were not compared" in capsys.readouterr().out


def test_a_weight_that_is_not_finite_is_refused(
    make_run: MakeRun,
    export: Export,
    tmp_path: Path,
    tiny_model: ModelInput,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = Path(shutil.copytree(tiny_model.path, tmp_path / "source"))
    bad = load_file(folder / "model.safetensors")
    bad["lm_head.weight"][0, 0] = 3.4e38  # finite in float32, infinite in bfloat16
    save_file(bad, folder / "model.safetensors", metadata={"format": "pt"})
    make_run(folder)
    assert export("demo", tmp_path / "out", "--precision", "bfloat16") == 2
    assert "are infinite" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_disk_without_room_is_told_before_anything_is_written(
    make_run: MakeRun,
    export: Export,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from halo_core.workspace import disk

    make_run()
    monkeypatch.setattr(disk, "free_bytes", lambda _: 1000)
    assert export("demo", tmp_path / "out") == 1
    assert "there is no room for the exported model" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["workspace"]


@pytest.mark.parametrize(
    ("error", "code"), [(OSError(30, "Read-only file system"), 2), (KeyboardInterrupt(), 130)]
)
def test_an_export_that_fails_leaves_nothing(
    make_run: MakeRun,
    export: Export,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
) -> None:
    from halo_trainer.export import write

    def fail(*_: Any, **__: Any) -> None:
        raise error

    make_run()
    monkeypatch.setattr(write, "model_card", fail)
    assert export("demo", tmp_path / "out") == code
    assert [path.name for path in tmp_path.iterdir()] == ["workspace"]


def test_a_stage_that_is_being_computed_is_refused(
    make_run: MakeRun, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = make_run().parent
    with turn(stage, first=pytest.fail, check=pytest.fail):
        assert export("demo", tmp_path / "out") == 2
    assert "another run computes this stage" in capsys.readouterr().err


def test_a_model_in_another_form_is_refused(
    make_run: MakeRun, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"x")
    make_run(folder)
    assert export("demo", tmp_path / "out") == 2
    assert "there is no config.json here" in capsys.readouterr().err
