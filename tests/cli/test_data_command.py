"""`halo data` on files of rows, folders, globs and specs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call

THUMBS = 'prompt,answer,thumb\nHi,"Hello, you",up\nBye,No,down\n'
ROW = {"prompt": "Sky?", "completion": "Blue.", "label": True}
SPEC = """
name: viewed
model: {path: model}
data: {rows: {use: files, path: rows.jsonl}}
stages: {kto: {use: train, loss: kto, data: rows}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text(json.dumps(ROW) + "\n")
    Path("thumbs.csv").write_text(THUMBS)
    Path("parts").mkdir()
    shutil.copy("rows.jsonl", "parts/test.jsonl")
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert call(["data", *arguments, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_a_file_is_shown_with_its_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["data", "rows.jsonl"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("rows.jsonl: 1 row of binary feedback, 1 prompt\n")
    assert (
        "  rows.jsonl: binary; prompt <- prompt, completion <- completion, label <- label" in said
    )
    assert "    completion Blue.\n" in said


def test_a_set_is_shown_although_a_stage_has_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    Path("spec.yaml").write_text(SPEC.replace("loss: kto", "loss: kt0"))
    assert call(["data", "spec.yaml:rows"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("rows: 1 row of binary feedback, 1 prompt\n")
    assert (
        told.err
        == "the spec has 2 mistakes outside of the data set rows: halo validate spec.yaml\n"
    )
    assert call(["data", "spec.yaml:rowz"]) == 2
    assert "no loss named 'kt0'" in capsys.readouterr().err
    Path("spec.yaml").write_text(SPEC.replace("use: files", "use: filez"))
    assert call(["data", "spec.yaml:rows"]) == 2
    assert "no data source named 'filez'" in capsys.readouterr().err


@pytest.mark.parametrize("matrix", ["", "matrix: {seed: {seed: [1, 2]}}\n"])
def test_a_set_is_shown_although_another_one_has_a_mistake(
    matrix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "{rows: {use: files, path: rows.jsonl}"
    spec = SPEC.replace(rows, f"{rows}, train: {{use: filez}}") + matrix
    Path("spec.yaml").write_text(spec)
    assert call(["data", "spec.yaml:rows"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("rows: 1 row of binary feedback, 1 prompt\n")
    assert told.err.endswith(" outside of the data set rows: halo validate spec.yaml\n")
    assert call(["data", "spec.yaml:train"]) == 2
    assert "no data source named 'filez'" in capsys.readouterr().err
    # A share that is held out changes the training set, so both are needed.
    Path("spec.yaml").write_text(spec.replace("{use: filez}", "{use: filez}, holdout: 0.5"))
    assert call(["data", "spec.yaml:test"]) == 2
    assert "no data source named 'filez'" in capsys.readouterr().err


def test_a_set_of_a_suite_is_shown_although_a_cell_has_a_mistake(
    capsys: pytest.CaptureFixture[str],
) -> None:
    matrix = "matrix:\n  method: {stages.kto.loss: [kto, kt0]}\n  seed: {seed: [1, 2]}\n"
    Path("suite.yaml").write_text(SPEC + matrix)
    assert call(["data", "suite.yaml:rows"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("rows: 1 row of binary feedback, 1 prompt\n")
    assert told.err.startswith("the suite has ")
    assert told.err.endswith(" outside of the data set rows: halo validate suite.yaml\n")
    assert call(["data", "suite.yaml:rowz"]) == 2
    assert "no loss named 'kt0'" in capsys.readouterr().err
    Path("suite.yaml").write_text(SPEC.replace("use: files", "use: filez") + matrix)
    assert call(["data", "suite.yaml:rows"]) == 2
    assert "no data source named 'filez'" in capsys.readouterr().err


def test_groups_are_shown_with_their_sizes_and_scores(capsys: pytest.CaptureFixture[str]) -> None:
    groups = [
        {"completions": ["a", "bb"], "scores": [1, 4], "completions_token_logps": [[-0.5], None]},
        {"completions": ["c", "d", "e"], "scores": [2, 2, 2]},
        {"completions": ["f"], "scores": [9]},
    ]
    rows = [json.dumps({"prompt": f"{i}?", **group}) for i, group in enumerate(groups)]
    Path("groups.jsonl").write_text("\n".join(rows))
    assert call(["data", "groups.jsonl"]) == 0
    said = capsys.readouterr().out
    assert (
        "  groups of 1 to 3 completions, 6 in all; scores from 1 to 9, median 2\n"
        "  groups with one completion, which a training leaves out: 1\n"
        "  groups with equal scores for all completions: 1\n"
        "  completions with the sampler's log-probabilities: 1\n"
    ) in said
    assert "    4          bb\n" in said
    found = shown(capsys, "groups.jsonl")
    assert found["groups"]["scores"] == {"lowest": 1.0, "median": 2.0, "highest": 9.0}
    assert found["characters"]["completions"] == {"median": 1, "max": 2}


def test_options_of_a_file_are_set_as_those_of_a_source(
    capsys: pytest.CaptureFixture[str],
) -> None:
    columns = ("--set", "columns={completion: answer, label: thumb}")
    found = shown(capsys, "thumbs.csv", *columns, "--set", "labels={up: true, down: false}")
    assert found["labels"] == {"desirable": 1, "undesirable": 1, "both": 0}
    assert [row["completion"] for row in found["examples"]] == ["Hello, you", "No"]


def test_files_of_which_all_are_test_data_are_shown_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for source in ("parts", "parts/test.jsonl", "parts/*.jsonl"):
        assert shown(capsys, source)["examples"][0]["id"] == "test:1"


def test_a_spec_by_any_name_is_still_a_spec(capsys: pytest.CaptureFixture[str]) -> None:
    Path("model").mkdir()
    Path("model/config.json").write_text("{}")
    Path("spec.conf").write_text(SPEC)
    tree = {"name": "viewed", "model": {"path": "model"}}
    tree |= {"data": {"rows": {"use": "files", "path": "rows.jsonl"}}}
    tree |= {"stages": {"kto": {"use": "train", "loss": "kto", "data": "rows"}}}
    Path("spec.json").write_text(json.dumps(tree))
    for source in ("spec.conf", "spec.conf:rows", "spec.json"):
        assert list(shown(capsys, source)["sets"]) == ["rows"]


def test_several_files_are_one_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    Path("more.csv").write_text("prompt,completion,label\nHi,Hello,1\nBye,No,0\n")
    files = shown(capsys, "rows.jsonl", "more.csv")["sets"]
    assert {name: found["rows"] for name, found in files.items()} == {"rows.jsonl and 1 more": 3}


def test_a_data_source_comes_before_a_folder_of_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("toy").mkdir()
    assert list(shown(capsys, "toy", "--set", "size=8")["sets"]) == ["toy"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("thmbs.csv",), "thmbs.csv: there is no such file or folder. Did you mean thumbs.csv?"),
        (
            ("rows.jsonl:train",),
            "rows.jsonl has rows and is not a spec, so it has no data set 'train'",
        ),
        (("rows.jsonl", "--split", "tset"), "unknown split 'tset'. Known: train"),
        (("rows.jsonl", "--tokens", "1"), "writes a spec: halo init --data rows.jsonl"),
        (("thumbs.csv",), "the columns 'prompt', 'answer', 'thumb' are of no known form"),
        (("notes.txt",), "there is no such file or folder"),
        (("jsnl",), "no data source named 'jsnl'. Did you mean 'jsonl'?"),
        (("none/*.csv",), "the glob matches no file"),
        (("rows.jsonl", "spec.yaml"), "spec.yaml is not a file of rows; expected either one arg"),
        (("rows.jsonl", "toy"), "toy is not a file of rows; expected either one argument or sev"),
        (("rows.jsonl", "thumbs.csv", "--tokens", "1"), "got 2 arguments; --tokens expects one sp"),
    ],
)
def test_what_cannot_be_shown_is_one_clear_error(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["data", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "YAML" not in said


def test_a_file_without_rows_is_one_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.jsonl").write_text("")
    Path("odd.txt").write_text("once\n")
    for source, words in (
        ("empty.jsonl", "the file has no rows"),
        ("odd.txt", "expected a file that"),
    ):
        assert call(["data", source]) == 2
        assert words in capsys.readouterr().err
