"""`halo init` writes a commented spec that validates, from three answers or options."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.plugins.discovery import discover
from halo_core.spec.spec import Spec, load_spec

Halo = Callable[..., Any]
PAIRS = '{"prompt": "Sky?", "chosen": "Blue.", "rejected": "Green."}\n'
LABELS = "prompt,completion,label\nSky?,Blue.,true\nSky?,Green.,false\n"
SCORED = '{"prompt": "Sky?", "completions": ["Blue.", "Green."], "scores": [1.0, 0.0]}\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with data of three kinds and a model."""
    (tmp_path / "pairs.jsonl").write_text(PAIRS)
    (tmp_path / "my labels.csv").write_text(LABELS)
    (tmp_path / "scored.jsonl").write_text(SCORED)
    (tmp_path / "my-model").mkdir()
    (tmp_path / "my-model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(halo: Halo, model: str, data: str, method: str, *more: str) -> Spec:
    done = halo("init", "--model", model, "--data", data, "--method", method, *more)
    assert done.code == 0, done.err
    checked = halo("validate", "spec.yaml")
    assert checked.code == 0, checked.err
    return load_spec(Path("spec.yaml"))


@pytest.mark.parametrize(
    ("model", "data", "method", "stages"),
    [
        ("owner/name", "pairs.jsonl", "dpo", ["dpo", "answers"]),
        ("owner/name", "my labels.csv", "kto", ["kto", "answers"]),
        ("my-model", "pairs.jsonl", "kto", ["kto", "answers"]),
        ("new", "pairs.jsonl", "simpo", ["model", "sft", "simpo", "answers"]),
        ("new", "my labels.csv", "kto", ["model", "kto", "answers"]),
        ("new", "toy", "sft", ["model", "sft", "answers"]),
    ],
)
def test_what_is_written_validates(
    halo: Halo, folder: Path, model: str, data: str, method: str, stages: list[str]
) -> None:
    spec = written(halo, model, data, method)
    assert [stage.id for stage in spec.stages] == stages
    assert set(spec.sets) == {"train", "test"}
    text = (folder / "spec.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=halo.schema.json\n")
    assert "#   halo run spec.yaml\n" in text


def test_lines_in_comments_are_valid_too(halo: Halo, folder: Path) -> None:
    written(halo, "owner/name", "pairs.jsonl", "dpo")
    file = folder / "spec.yaml"
    lines = []
    for line in file.read_text().splitlines():
        body = line.strip().removeprefix("# ")
        optional = body.startswith(("sft: ", "win: ", "lora: ", "gradient_check", "tracking: "))
        lines.append(line.replace("# ", "", 1) if optional else line)
    file.write_text("\n".join(lines))
    spec = load_spec(file)
    assert [stage.id for stage in spec.stages] == ["sft", "dpo", "answers", "win"]


def test_a_gguf_file_is_a_model(halo: Halo, folder: Path) -> None:
    # A header without keys and tensors is enough for a spec to be valid.
    (folder / "small.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    written(halo, "small.gguf", "pairs.jsonl", "dpo")
    spec = load_spec(folder / "spec.yaml")
    assert spec.stages[0].component.model_dump()["file"] == str(folder / "small.gguf")
    assert "model: {gguf: small.gguf}" in (folder / "spec.yaml").read_text()


def test_lora_is_trained_if_it_is_asked_for(halo: Halo, folder: Path) -> None:
    written(halo, "owner/name", "pairs.jsonl", "dpo", "--lora")
    stage = load_spec(folder / "spec.yaml").stages[0].component.model_dump()
    assert stage["lora"]["rank"] == 16
    assert stage["learning_rate"] == 1e-4


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (
            ("./none", "pairs.jsonl", "dpo"),
            "--model ./none: got './none'; expected a folder with a model, a file that ends in "
            ".gguf, an id on the hub (owner/name), or new",
        ),
        (
            ("scored.jsonl", "pairs.jsonl", "dpo"),
            "--model scored.jsonl: this is a file; expected a folder with a model, an id on the "
            "hub, or a file that ends in .gguf",
        ),
        (
            ("a/b", "piars.jsonl", "dpo"),
            "--data piars.jsonl: no such file or folder, and unknown data source 'piars.jsonl'.",
        ),
        (("a/b", "mixture", "dpo"), "--data mixture: 'sources' is missing"),
        (("a/b", "pairs.jsonl", "dpp"), "--method dpp: no loss named 'dpp'. Did you mean 'ppo'?"),
        (
            ("a/b", "my labels.csv", "dpo"),
            "--method dpo: dpo does not fit binary feedback, makes no model that answers, or needs "
            "options; expected one of csft, kto, ",
        ),
        (("a/b", "pairs.jsonl", "bradley-terry"), "makes no model that answers"),
        (
            ("a/b", "scored.jsonl", "dpo"),
            "--method dpo: dpo does not fit scored feedback, makes no model that answers, or needs "
            "options; expected one of grpo, info-nca, nca",
        ),
    ],
)
def test_a_wrong_answer_gets_one_error_and_nothing_is_written(
    halo: Halo, folder: Path, answers: tuple[str, str, str], message: str
) -> None:
    model, data, method = answers
    done = halo("init", "--model", model, "--data", data, "--method", method)
    assert done.code == 2
    assert message in done.err
    assert not (folder / "spec.yaml").exists()


def test_a_file_is_never_overwritten(halo: Halo, folder: Path) -> None:
    (folder / "spec.yaml").write_text("mine")
    done = halo("init", "--model", "a/b", "--data", "pairs.jsonl", "--method", "dpo")
    assert done.code == 2
    assert "spec.yaml: this exists already, and halo init overwrites nothing" in done.err
    assert (folder / "spec.yaml").read_text() == "mine"
    (folder / "link.yaml").symlink_to(folder / "gone.yaml")
    done = halo("init", "link.yaml", "--model", "a/b", "--data", "pairs.jsonl", "--method", "dpo")
    assert done.code == 2
    assert not (folder / "gone.yaml").exists()


def test_without_a_terminal_options_are_required(halo: Halo, folder: Path) -> None:
    done = halo("init", "--model", "a/b")
    assert done.code == 2
    assert done.err.startswith(
        "halo init: no --data and no --method, and there is no terminal to ask in; expected all "
        "three, as in halo init --model owner/name --data pairs.jsonl --method dpo"
    )
    asked = halo("init", "--json")
    assert asked.json["errors"][0]["message"].startswith(
        "no --model and no --data and no --method, and --json asks no questions"
    )


def test_json_says_what_was_written(halo: Halo, folder: Path) -> None:
    given = ("--model", "a/b", "--data", "pairs.jsonl", "--method", "kto", "--json")
    assert halo("init", "own.yaml", *given).json == {
        "schema": 1,
        "file": "own.yaml",
        "model": "a/b",
        "feedback": "paired",
        "method": "kto",
    }


def test_paths_are_relative_to_the_spec_if_they_are_below_it(halo: Halo, folder: Path) -> None:
    (folder / "specs").mkdir()
    given = ("--model", "my-model", "--data", "pairs.jsonl", "--method", "kto")
    assert halo("init", "specs/own.yaml", *given).code == 0
    text = (folder / "specs" / "own.yaml").read_text()
    assert f"path: {folder / 'my-model'}" in text
    assert halo("validate", "specs/own.yaml").code == 0
    missing = halo("init", "none/own.yaml", *given)
    assert missing.code == 2
    assert "none: no such folder; make it first" in missing.err


class Terminal(io.StringIO):
    """Lines that are typed in a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_is_asked_three_questions_and_again_after_a_wrong_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    discover()
    monkeypatch.setattr("sys.stdin", Terminal("./none\nowner/name\nmy labels.csv\ndpo\nkto\n"))
    assert call(["init"]) == 0
    told = capsys.readouterr()
    assert told.err.count("--model ./none: got './none'; expected a folder") == 1
    assert told.err.count("--method dpo: dpo does not fit binary feedback") == 1
    assert "Method for binary feedback: csft, kto, " in told.out
    assert told.out.splitlines()[-1].endswith(
        "wrote spec.yaml: kto on binary feedback, from the model {hub: owner/name}. Next: halo "
        "plan spec.yaml"
    )
    assert [stage.id for stage in load_spec(Path("spec.yaml")).stages] == ["kto", "answers"]
