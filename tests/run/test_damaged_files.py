"""A changed file is found before it is used, and made again."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.errors import DiskError
from halo_core.hashing import file_hash
from halo_core.workspace.check_values import check_values, damages, files_made
from halo_core.workspace.files import object_check
from halo_core.workspace.records import CHECKED, CHECKPOINT, CheckpointRecord

pytestmark = pytest.mark.slow

SPEC = """
name: damaged
model: {scratch: {data: rows, vocab_size: 270, config: {hidden_size: 8, intermediate_size: 8,
  num_hidden_layers: 1, num_attention_heads: 1, max_position_embeddings: 64}}}
data:
  rows: {use: toy, feedback: demonstration, size: 8}
stages:
  answers: {use: sample, prompts: rows, n: 4, max_new_tokens: 4}
  win: {use: judge, judge: longest, of: answers, against: target}
reports: []
"""


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def gone(path: Path) -> None:
    path.unlink()


def one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


DAMAGES: list[Callable[[Path], None]] = [cut, emptied, zeros, gone, one_bit]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "spec.yaml").write_text(SPEC)
    assert call(["run", str(folder / "spec.yaml"), "--workspace", str(folder / "w")]) == 0
    return folder


def run_again(made: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    code = call(["run", str(made / "spec.yaml"), "--workspace", str(made / "w"), "--json"])
    said = capsys.readouterr()
    assert code == 0, said.err
    return json.loads(said.out), said.err


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize(
    ("pattern", "stage"),
    [
        ("stages/scratch-*/model/model.safetensors", "model"),
        ("stages/scratch-*/model/tokenizer.json", "model"),
        ("stages/sample-*/samples.jsonl", "answers"),
        ("stages/judge-*/verdicts.jsonl", "win"),
    ],
)
def test_a_damaged_product_is_computed_again_with_the_same_bytes(
    made: Path,
    capsys: pytest.CaptureFixture[str],
    pattern: str,
    stage: str,
    damage: Callable[[Path], None],
) -> None:
    (path,) = (made / "w").glob(pattern)
    before = path.read_bytes()
    damage(path)
    assert call(["verify", "--all", "--workspace", str(made / "w"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [item["path"] for item in found["damaged"]] == [str(path)]
    record, said = run_again(made, capsys)
    states = {item["id"]: item["status"] for item in record["stages"]}
    assert states == {id_: "computed" if id_ == stage else "cached" for id_ in states}
    assert f"{stage}: {path}" in said
    assert "the stage is computed again" in said
    assert path.read_bytes() == before
    assert call(["verify", "--all", "--workspace", str(made / "w")]) == 0


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ["rows.arrow", "data.json"])
def test_damaged_rows_are_read_again_with_a_warning(
    made: Path, capsys: pytest.CaptureFixture[str], name: str, damage: Callable[[Path], None]
) -> None:
    (path,) = (made / "w" / "data").glob(f"*/{name}")
    rows = path.with_name("rows.arrow")
    before = rows.read_bytes()
    damage(path)
    again = ("--again", "answers")
    arguments = ["run", str(made / "spec.yaml"), "--workspace", str(made / "w"), *again]
    assert call(arguments) == 0
    said = capsys.readouterr().err
    # A missing record is the same as no record.
    told = "the rows of toy were read again" in said
    assert told == (not (name == "data.json" and damage is gone))
    assert rows.read_bytes() == before


def test_a_run_that_uses_nothing_damaged_reads_no_large_file_again(
    made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_again(made, capsys)

    def only_of_specs(path: Path) -> str:
        assert path.suffix == ".yaml"  # The run has just written it.
        return file_hash(path)

    monkeypatch.setattr("halo_core.workspace.check_values.file_hash", only_of_specs)
    record, _ = run_again(made, capsys)
    assert {item["status"] for item in record["stages"]} == {"cached"}


def test_stages_of_an_older_halo_are_used_with_one_note(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (made / "w" / "stages").glob("*/done.json"):
        record = json.loads(path.read_text())
        del record["files"], record["crc"]
        path.write_text(json.dumps(record))
    record, said = run_again(made, capsys)
    assert {item["status"] for item in record["stages"]} == {"cached"}
    assert said.count("without check values") == 1
    assert "3 stages in the store were written by an older halo" in said
    assert call(["verify", "--all", "--workspace", str(made / "w"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["unchecked"]) == 3
    assert (
        call(["run", str(made / "spec.yaml"), "--workspace", str(made / "w"), "--again", "model"])
        == 0
    )


def test_a_half_written_event_is_cut_off_before_the_next(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = (made / "w" / "runs").glob("*/events.jsonl")
    with path.open("ab") as file:
        file.write(b'{"v": 1, "time": 1.0, "type": "war')
    run_again(made, capsys)
    lines = path.read_bytes().splitlines()
    assert all(json.loads(line)["crc"] for line in lines)
    assert call(["verify", "--all", "--workspace", str(made / "w")]) == 0


def test_a_changed_line_of_events_is_named(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = (made / "w" / "runs").glob("*/events.jsonl")
    before = path.read_text()
    path.write_text(before.replace('"run-started"', '"run-ztarted"', 1))
    try:
        assert call(["verify", "--all", "--workspace", str(made / "w")]) == 1
        said = capsys.readouterr().out
        assert f"{path}:1: got" in said
        assert "which is not what was written" in said
    finally:
        path.write_text(before)


def test_hidden_files_and_what_halo_keeps_are_no_products(tmp_path: Path) -> None:
    for name in ("model/a.bin", "b.jsonl", ".c", "checkpoints/d", "done.json", "events.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert files_made(tmp_path) == ["b.jsonl", "model/a.bin"]
    checks = check_values(tmp_path, files_made(tmp_path))
    assert damages(tmp_path, checks) == {}
    (tmp_path / "checked.json").write_text("{")
    assert damages(tmp_path, checks) == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "expected either a run or --all"),
        (["x", "--all"], "expected either a run or --all"),
        (["nowhere"], "no run or suite 'nowhere'"),
    ],
)
def test_verify_says_what_it_needs(
    made: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert call(["verify", *arguments, "--workspace", str(made / "w")]) == 2
    assert words in capsys.readouterr().err


def test_verify_of_a_run_reads_its_stages_and_rows(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = (path for path in (made / "w" / "runs").iterdir() if path.is_dir())
    assert call(["verify", run.name, "--workspace", str(made / "w"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["files"] > 10
    assert found["unchecked"] == []


@pytest.fixture
def checkpoint(made: Path) -> Iterator[Path]:
    """A checkpoint in the folder of a stage, in the form that a training writes."""
    (stage,) = (made / "w" / "stages").glob("scratch-*")
    folder = stage / "checkpoints" / "step-00000002"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"weights")
    CHECKPOINT.write(
        folder,
        CheckpointRecord(
            step=2,
            tokens=9,
            estimator={},
            window={"train/loss": [1.5, 2.0]},
            first_loss=0.5,
            last={},
            score=None,
            files=check_values(folder, ["weights.safetensors"]),
        ),
    )
    yield folder
    shutil.rmtree(stage / "checkpoints", ignore_errors=True)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ["weights.safetensors", "state.json"])
def test_verify_names_a_damaged_checkpoint(
    made: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    damage: Callable[[Path], None],
) -> None:
    arguments = ["verify", "--all", "--workspace", str(made / "w"), "--json"]
    assert call(arguments) == 0
    before = json.loads(capsys.readouterr().out)
    damage(checkpoint / name)
    assert call(arguments) == 1
    found = json.loads(capsys.readouterr().out)
    (damaged,) = found["damaged"]
    # An error names a record that is not JSON, and its line.
    assert re.sub(r":\d+$", "", damaged["path"]) == str(checkpoint / name)
    assert "continues from the checkpoint before" in damaged["next"]
    shutil.rmtree(checkpoint.parent)
    assert call(arguments) == 0
    after = json.loads(capsys.readouterr().out)
    assert before["files"] - after["files"] == 2
    assert after["unchecked"] == []


def test_verify_counts_a_checkpoint_of_an_older_halo(
    made: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((checkpoint / "state.json").read_text())
    del record["files"], record["crc"]
    (checkpoint / "state.json").write_text(json.dumps(record))
    assert call(["verify", "--all", "--workspace", str(made / "w"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unchecked"] == [str(checkpoint)]


def test_verify_says_nothing_of_a_checkpoint_that_a_training_removes(
    made: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from halo_core.run import verify

    def removing(folder: Path, *others: Any, **options: Any) -> Any:
        if folder == checkpoint:
            shutil.rmtree(folder)
        return damages(folder, *others, **options)

    monkeypatch.setattr(verify, "damages", removing)
    assert call(["verify", "--all", "--workspace", str(made / "w")]) == 0


def test_verify_finds_a_changed_record_of_a_finished_stage(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = (made / "w" / "stages").glob("judge-*/done.json")
    before = path.read_text()
    path.write_text(before.replace('"headline": "', '"headline": "x', 1))
    try:
        assert call(["verify", "--all", "--workspace", str(made / "w")]) == 1
        assert f"{path}: is not what halo wrote" in capsys.readouterr().out
    finally:
        path.write_text(before)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_stage_whose_record_is_damaged_is_computed_again(
    made: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    (path,) = (made / "w" / "stages").glob("sample-*/done.json")
    samples = path.with_name("samples.jsonl").read_bytes()
    damage(path)
    assert call(["plan", str(made / "spec.yaml"), "--workspace", str(made / "w"), "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)["stages"]
    assert [stage["state"] for stage in planned] == ["done", "started", "done"]
    record, said = run_again(made, capsys)
    assert [item["status"] for item in record["stages"]] == ["cached", "computed", "cached"]
    # A record that is gone is that of a stage that was not finished.
    assert ("the stage is computed again" in said) == (damage is not gone)
    assert path.with_name("samples.jsonl").read_bytes() == samples
    assert call(["verify", "--all", "--workspace", str(made / "w")]) == 0


@pytest.mark.parametrize("damage", [emptied, zeros, gone], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("pattern", ["runs/*/events.jsonl", "stages/judge-*/events.jsonl"])
def test_verify_finds_events_that_are_lost(
    made: Path,
    capsys: pytest.CaptureFixture[str],
    pattern: str,
    damage: Callable[[Path], None],
) -> None:
    (path,) = (made / "w").glob(pattern)
    before = path.read_bytes()
    damage(path)
    try:
        assert call(["verify", "--all", "--workspace", str(made / "w"), "--json"]) == 1
        found = json.loads(capsys.readouterr().out)["damaged"]
        assert [item["path"] for item in found] == [str(path)]
    finally:
        path.write_bytes(before)


def test_verify_reads_what_an_unfinished_stage_has_kept(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (done,) = (made / "w" / "stages").glob("judge-*/done.json")
    path = done.with_name("samples.partial.jsonl")
    record = done.read_bytes()
    done.unlink()
    try:
        path.write_text('{"v": 1, "a": 1, "crc": "00000000"}\n')
        assert call(["verify", "--all", "--workspace", str(made / "w")]) == 1
        assert f"{path}:1: got" in capsys.readouterr().out
    finally:
        path.unlink()
        done.write_bytes(record)


def test_a_folder_in_the_place_of_a_record_is_named_by_verify_and_by_a_run(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = (made / "w").glob("runs/*/run.json")
    before = path.read_bytes()
    path.unlink()
    path.mkdir()
    try:
        assert call(["verify", "--all", "--workspace", str(made / "w"), "--json"]) == 1
        (found,) = json.loads(capsys.readouterr().out)["damaged"]
        assert found["path"] == str(path)
        assert found["what"] == "Is a directory: a folder is in the place of a file"
        assert call(["run", str(made / "spec.yaml"), "--workspace", str(made / "w")]) == 2
        assert capsys.readouterr().err.endswith(
            f"{path}: Is a directory: a folder is in the place of a file. Move it away\n"
        )
    finally:
        path.rmdir()
        path.write_bytes(before)


def test_verify_goes_on_after_a_folder_in_the_place_of_a_file(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("stage.json", "done.json", "events.jsonl")
    (stage,) = (made / "w" / "stages").glob("sample-*")
    contents = {name: (stage / name).read_bytes() for name in names}
    try:
        for name in names:
            (stage / name).unlink()
            (stage / name).mkdir()
        assert call(["verify", "--all", "--workspace", str(made / "w"), "--json"]) == 1
        found = {item["path"] for item in json.loads(capsys.readouterr().out)["damaged"]}
        assert found == {str(stage / name) for name in names}
    finally:
        for name, content in contents.items():
            (stage / name).rmdir()
            (stage / name).write_bytes(content)


def test_a_folder_in_the_place_of_what_halo_remembers_changes_nothing(made: Path) -> None:
    (path,) = (made / "w" / "stages").glob("judge-*/checked.json")
    path.unlink()
    path.mkdir()
    try:
        assert call(["run", str(made / "spec.yaml"), "--workspace", str(made / "w")]) == 0
    finally:
        path.rmdir()


def test_verify_works_on_a_full_disk(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (made / "w" / "stages").glob("*/checked.json"):
        path.unlink()

    def full(self: object, folder: Path, record: object) -> None:
        raise DiskError("the disk is full", location=str(folder))

    monkeypatch.setattr(type(CHECKED), "write", full)
    assert call(["verify", "--all", "--workspace", str(made / "w")]) == 0


def test_verify_compares_the_counts_of_tokens_with_their_check_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cache" / "tokens" / "0"
    folder.mkdir(parents=True)
    record = {"examples": 6, "files": {}}
    path = folder / "counts.json"
    path.write_text(json.dumps({**record, "crc": object_check(record)}))
    assert call(["verify", "--all", "--workspace", str(tmp_path)]) == 0
    path.write_text(path.read_text().replace("6", "7", 1))
    capsys.readouterr()
    assert call(["verify", "--all", "--workspace", str(tmp_path), "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["damaged"]
    assert found["path"] == str(path)
    assert found["what"] == "is not what halo wrote: its check value is another"
