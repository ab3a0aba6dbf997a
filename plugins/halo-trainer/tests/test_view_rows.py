"""`halo data --tokens`: rows as the model of a stage sees them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.run.view_rows import SHOWN, view_lines
from halo_core.stage import ModelInput
from halo_core.token_view import CompletionView, Tokens, TokenView

ROWS = [
    {"prompt": "What says a cow?", "completion": "Moo.", "label": True},
    {"prompt": "What says a duck?", "completion": "moo " * 60, "label": False},
    {"prompt": [{"role": "tool", "content": "x"}], "completion": "Moo.", "label": True},
]
SPEC = """
name: viewed
model: {{path: {model}}}
data:
  rows: {{use: jsonl, path: rows.jsonl}}
  unread: {{use: jsonl, path: rows.jsonl}}
stages:
  kto: {{use: train, loss: kto, data: rows, max_length: 40, template_mismatch: drop}}
  csft: {{use: train, loss: csft, data: rows, max_length: 40, template_mismatch: drop}}
  answers: {{use: sample, prompts: rows, max_new_tokens: 8, template_mismatch: drop}}
"""


@pytest.fixture
def spec(tmp_path: Path, tiny_model: ModelInput, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    Path("spec.yaml").write_text(SPEC.format(model=tiny_model.path))
    return "spec.yaml"


def viewed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert call(["data", *arguments, "--json"]) == 0
    sets: dict[str, Any] = json.loads(capsys.readouterr().out)["sets"]
    return sets


def test_rows_are_shown_as_training_sees_them(
    spec: str, tiny_model: ModelInput, tiny_tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = viewed(capsys, "spec.yaml:rows", "--tokens", "5")["rows"]
    assert rows["stage"] == "kto"
    assert rows["tokenizer"] == f"the tokenizer of {tiny_model.path}"
    first, long, dropped = rows["rows"]
    prompt = "<|user|>\nWhat says a cow?\n<|assistant|>\n"
    ids = tiny_tokenizer(prompt)["input_ids"]
    assert first["prompt"] == {
        "text": prompt,
        "ids": ids,
        "pieces": [tiny_tokenizer.decode([i]) for i in ids],
    }
    (learned,) = first["completions"]
    assert learned["trained"]["text"] == "Moo.<|endoftext|>"
    assert (learned["column"], learned["cut"], learned["desirable"]) == ("completion", 0, True)
    assert learned["cut_off"] == ""
    (learned,) = long["completions"]
    whole = tiny_tokenizer("moo " * 60)["input_ids"]
    room = 40 - len(long["prompt"]["ids"])
    assert learned["trained"]["ids"] == whole[:room]
    assert learned["cut"] == len(whole) + 1 - room
    assert learned["trained"]["text"] + learned["cut_off"] == "moo " * 60 + "<|endoftext|>"
    assert not learned["desirable"]
    assert dropped["prompt"] is None
    assert dropped["dropped"].startswith("the chat template refuses the prompt")


def test_another_stage_is_named(
    spec: str, tiny_tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("spec.yaml:rows", "--tokens", "1", "--stage")
    (row,) = viewed(capsys, *arguments, "csft")["rows"]["rows"]
    assert row["prompt"]["text"].endswith("<|assistant|>\n<|good|>")
    (row,) = viewed(capsys, *arguments, "answers")["rows"]["rows"]
    assert row["prompt"]["text"].endswith("<|assistant|>\n")
    assert row["completions"] == []


def test_lines_say_what_is_trained_and_cut(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["data", "spec.yaml:rows", "--tokens", "2"]) == 0
    said = capsys.readouterr().out
    assert "rows, as the stage kto sees it with the tokenizer of " in said
    assert " tokens are trained\n    Moo.<|endoftext|>\n" in said
    assert "completion, undesirable: " in said
    assert " tokens are trained, max_length cut " in said
    assert "What says a cow?\\n<|assistant|>\\n" in said
    assert re.search(r"moo moo ?\[cut:  ?moo moo .*<\|endoftext\|>\]\n", said)


LONG = "Say " + "very " * 40 + "briefly: why?"


@pytest.mark.parametrize("stage", ["kto", "answers"])
def test_the_part_that_was_cut_out_of_a_prompt_is_shown_where_it_was(
    spec: str, stage: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = [{"role": "user", "content": "Moo?"}, {"role": "assistant", "content": "Moo!"}]
    prompt = [*earlier, {"role": "user", "content": LONG}]
    Path("rows.jsonl").write_text(
        "".join(json.dumps({**row, "prompt": prompt}) + "\n" for row in ROWS[:2])
    )
    shorter = ("--set", f"stages.{stage}.max_prompt_length=20")
    asked = ("spec.yaml:rows", "--tokens", "1", "--stage", stage, *shorter)
    (row,) = viewed(capsys, *asked)["rows"]["rows"]
    text, removed = row["prompt"]["text"], row["removed"]
    before, after = text[: removed["at"]], text[removed["at"] :]
    whole = f"<|user|>\nMoo?\n<|assistant|>\nMoo!<|endoftext|>\n<|user|>\n{LONG}\n<|assistant|>\n"
    assert f"{before}{removed['text']}{after}" == whole
    assert call(["data", *asked]) == 0
    shown = capsys.readouterr().out
    assert "its beginning was cut\n" in shown
    assert re.search(r"<\|user\|>\\n\[cut: Moo\?.*\].*why\?", shown)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert call(["data", *asked]) == 0
    assert re.search(r"\x1b\[33mMoo\?.*\x1b\[0m.*why", capsys.readouterr().out)


def test_a_cut_text_that_is_long_is_shortened_with_the_number_of_its_characters() -> None:
    prompt = Tokens("Hi", [1], ["Hi"])
    learned = CompletionView("text", Tokens("a", [2], ["a"]), 9, True, (), "b" * (SHOWN + 7))
    text = "\n".join(view_lines(TokenView("train:1", prompt, False, (learned,))))
    assert f"a[cut: {'b' * SHOWN} ... and 7 more characters]" in text


def test_the_origin_of_the_chat_template_is_named(
    spec: str, tmp_path: Path, tiny_model: ModelInput, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    shutil.copytree(tiny_model.path, own)
    for name in ("chat_template.jinja", "halo.json"):
        (own / name).unlink(missing_ok=True)
    asked = ["data", "spec.yaml:rows", "--tokens", "1", "--set", f"model.path={own}"]

    def told(*more: str) -> str:
        assert call([*asked, *more]) == 0
        said = capsys.readouterr().out
        return next(line for line in said.splitlines() if "chat template:" in line).strip()

    assert told() == f"chat template: built in (tulu), because the tokenizer of {own} has none"
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    file = own / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": template}))
    assert told() == f"chat template: from the tokenizer, tokenizer_config.json of {own}"
    (own / "chat_template.jinja").write_text(template)
    assert told() == f"chat template: from the model, chat_template.jinja of {own}"
    option = ("--set", "stages.kto.template=tulu")
    assert told(*option) == "chat template: from the option template of the stage (tulu)"
    ready = told("--set", "stages.kto.pretemplated=true")
    assert ready == "chat template: none, because the rows are templated already (pretemplated)"
    assert "chat template: from the model" in told("--stage", "answers")


def test_a_terminal_shows_trained_and_cut_parts_in_colours(
    spec: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ("data", "spec.yaml:rows", "--tokens", "2")
    assert call([*plain]) == 0
    assert "\x1b[" not in capsys.readouterr().out
    # click leaves out colours if the output is not a terminal.
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert call([*plain]) == 0
    said = capsys.readouterr().out
    assert "\n    \x1b[32mMoo.<|endoftext|>\x1b[0m\n" in said
    assert "\x1b[33m, max_length cut " in said
    assert "\n    \x1b[31m" in said
    monkeypatch.setenv("NO_COLOR", "1")
    assert call([*plain]) == 0
    assert "\x1b[" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("spec.yaml:unread", "--tokens", "1"), "no stage reads it"),
        (("spec.yaml:row", "--tokens", "1"), "Did you mean 'rows'"),
        (("spec.yaml:rows", "--tokens", "1", "--stage", "ktoo"), "the stage ktoo does not read it"),
        (("jsonl", "--tokens", "1"), "jsonl is not a spec"),
        (("spec.yaml:rows", "--tokens", "0"), "0 is not in the range"),
        (
            ("spec.yaml:rows", "--tokens", "1", "--set", "model.path=nowhere"),
            "nowhere",
        ),
    ],
)
def test_what_cannot_be_shown_is_one_clear_error(
    spec: str, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert call(["data", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_nothing_is_left_behind(spec: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    assert call(["data", "spec.yaml:rows", "--tokens", "1"]) == 0
    assert sorted(tmp_path.iterdir()) == before
