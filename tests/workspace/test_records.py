"""Records on disk: versions, complete lines, and one clear error if they cannot be read."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import DataError, VersionError
from halo_core.events import EventLog, read_events
from halo_core.workspace import records
from halo_core.workspace.files import object_check, read_json, read_lines, whole_folder
from halo_core.workspace.formats import LineFile, ObjectFile
from halo_core.workspace.records import (
    CHECKPOINT,
    DONE,
    EVENTS,
    RUN,
    SAMPLES,
    SCORES,
    SUITE,
    TITLE,
    VERDICTS,
)

ROOT = Path(__file__).parents[2]
SAMPLE: dict[str, Any] = {"prompt_id": "p", "prompt": [], "completion": "c", "tokens": 1}
SCORE: dict[str, Any] = {"id": "s", "completion": "c", "score": 1.0, "reason": "", "cut": False}

LINE_FILES = [value for value in vars(records).values() if isinstance(value, LineFile)]
OBJECT_FILES = [value for value in vars(records).values() if isinstance(value, ObjectFile)]


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_lines_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / SCORES.name
    SCORES.write(path, [{**SCORE, "reason": "größer\u2028"}])
    SCORES.append(path, [SCORE, {**SCORE, "id": "t"}])
    assert [line["id"] for line in SCORES.read(path)] == ["s", "s", "t"]
    assert next(SCORES.read(path))["reason"] == "größer\u2028"


def test_a_written_line_carries_its_version(tmp_path: Path) -> None:
    path = tmp_path / SAMPLES.name
    SAMPLES.write(path, [SAMPLE])
    assert json.loads(path.read_text()) == {"v": 1, **SAMPLE}


def test_a_written_object_carries_its_version(tmp_path: Path) -> None:
    DONE.write(tmp_path, {"metrics": {"n": 1.0}, "headline": "one"})
    stored = json.loads((tmp_path / DONE.name).read_text())
    assert stored.pop("crc") == object_check(stored)
    assert stored == {"schema": 1, "metrics": {"n": 1.0}, "headline": "one"}


def test_an_object_that_was_changed_is_refused(tmp_path: Path) -> None:
    DONE.write(tmp_path, {"metrics": {"n": 1.0}, "headline": "one"})
    path = tmp_path / DONE.name
    path.write_text(path.read_text().replace("1.0", "2.0"))
    with pytest.raises(DataError, match="is not what halo wrote: its check value is another"):
        DONE.read(tmp_path)
    # A line that is changed on purpose has no check value.
    record = json.loads(path.read_text())
    del record["crc"]
    path.write_text(json.dumps(record))
    assert DONE.read(tmp_path) == {"schema": 1, "metrics": {"n": 2.0}, "headline": "one"}


def test_lines_and_objects_without_a_version_are_read(tmp_path: Path) -> None:
    assert list(SAMPLES.read(write(tmp_path / "old.jsonl", SAMPLE))) == [SAMPLE]
    write(tmp_path / DONE.name, {"metrics": {}, "headline": ""})
    assert DONE.read(tmp_path) == {"metrics": {}, "headline": ""}


def test_a_file_that_is_not_there_has_no_lines_and_no_object(tmp_path: Path) -> None:
    assert list(VERDICTS.read(tmp_path / VERDICTS.name)) == []
    assert RUN.read(tmp_path) is None


def test_a_line_of_a_newer_halo_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "samples.jsonl", SAMPLE, {"v": 2})
    with pytest.raises(VersionError) as caught:
        list(SAMPLES.read(path))
    assert str(caught.value) == (
        f"{path}:2: is of version 2, from another halo; expected at most version 1, the newest "
        "that this halo reads. Update halo: pip install -U halo-core"
    )


def test_an_object_of_a_newer_halo_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / RUN.name, {"schema": 2})
    with pytest.raises(VersionError, match=rf"^{path}: is of version 2, from another halo"):
        RUN.read(tmp_path)


@pytest.mark.parametrize("version", [0, "1", None, 1.5])
def test_what_is_no_version_is_refused(tmp_path: Path, version: object) -> None:
    write(tmp_path / RUN.name, {"schema": version})
    with pytest.raises(VersionError, match="is of version"):
        RUN.read(tmp_path)


@pytest.mark.parametrize("line", [b'{"prompt_id":', b"[1]", b"\xff{}", b"7"])
def test_a_damaged_line_is_named_with_what_to_do(tmp_path: Path, line: bytes) -> None:
    path = write(tmp_path / "samples.jsonl", SAMPLE)
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(DataError) as caught:
        list(SAMPLES.read(path))
    assert str(caught.value) == (
        f"{path}:2: got {line.decode('utf-8', 'replace')!r}; expected a JSON object with "
        "prompt_id, prompt, completion and tokens. Compute its stage again: "
        "halo run SPEC --again STAGE"
    )


def can_be_read(text: str) -> bool:
    try:
        json.loads(text)
    except RecursionError:
        return False
    return True


def test_a_line_or_an_object_that_is_nested_too_deeply_is_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "samples.jsonl", SAMPLE)
    for depth in (100_000, 2_000):
        deep = "[" * depth + "]" * depth
        if depth == 2_000 and can_be_read(deep):
            continue  # Newer versions of Python have a higher limit.
        path.write_text(f'{json.dumps(SAMPLE)}\n{{"prompt_id": {deep}}}\n')
        with pytest.raises(DataError, match=rf"^{path}:2: got '.{{80}}\.\.\.'; expected a JSON ob"):
            list(SAMPLES.read(path))
        (tmp_path / DONE.name).write_text(f'{{"metrics": {deep}}}')
        with pytest.raises(DataError) as caught:
            DONE.read(tmp_path)
        assert str(caught.value) == (
            f"{tmp_path / DONE.name}: is nested too deeply; expected a JSON file as halo writes "
            "it. Remove it; the same command computes the stage again"
        )


def test_a_long_damaged_line_is_shown_in_part(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x" * 500 + "\n")
    with pytest.raises(DataError, match=r"got 'x{80}\.\.\.'; expected a JSON object$"):
        list(read_lines(tmp_path / "x"))


def test_a_line_that_lacks_a_field_says_which(tmp_path: Path) -> None:
    path = write(tmp_path / "samples.jsonl", {"prompt_id": "p", "prompt": [], "tokens": 1})
    with pytest.raises(DataError) as caught:
        list(SAMPLES.read(path))
    assert f"{path}:1: got " in str(caught.value)
    assert " without completion; expected a JSON object with" in str(caught.value)


def test_a_reader_may_need_more_fields_than_a_line_must_have(tmp_path: Path) -> None:
    path = write(tmp_path / "samples.jsonl", SAMPLE)
    assert len(list(SAMPLES.read(path))) == 1
    with pytest.raises(DataError, match=r"without token_ids; .*, tokens and token_ids"):
        list(SAMPLES.read(path, needs=["token_ids"]))


@pytest.mark.parametrize("end", ['{"id": "t", "compl', '{"id": "t"}'])
def test_a_last_line_that_was_cut_off_is_left_out_of_a_growing_file(
    tmp_path: Path, end: str
) -> None:
    path = write(tmp_path / "scores.jsonl", SCORE)
    path.write_text(path.read_text() + end)
    assert list(SCORES.read(path)) == [SCORE]


def test_a_last_line_without_its_end_counts_in_a_file_that_was_written_whole(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "samples.jsonl", SAMPLE)
    path.write_text(path.read_text().rstrip("\n"))
    assert list(SAMPLES.read(path)) == [SAMPLE]


def test_a_file_of_a_finished_stage_holds_all_lines_that_it_wrote(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.jsonl", SCORE, {**SCORE, "id": "t"})
    assert len(SCORES.read_finished(path, 2)) == len(SCORES.read_finished(path, None)) == 2
    assert SCORES.read_finished(tmp_path / "none.jsonl", 2) == []
    for count in (1, 3):
        with pytest.raises(DataError) as caught:
            SCORES.read_finished(path, count)
        assert str(caught.value) == (
            f"{path}: holds 2 lines; expected {count}, as its stage wrote. "
            "Compute its stage again: halo run SPEC --again STAGE"
        )


def test_a_last_line_that_was_cut_off_is_damage_once_its_stage_is_finished(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.jsonl", SCORE)
    whole = path.read_text()
    path.write_text(whole + '{"id": "t", "compl')
    with pytest.raises(DataError, match=rf"^{path}:2: got .*; expected a JSON object with"):
        SCORES.read_finished(path, None)
    path.write_text(whole.rstrip("\n"))
    assert SCORES.read_finished(path, 1) == [SCORE]


def test_empty_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('\n{"a": 1}\n \n{"a": 2}\n')
    assert list(read_lines(tmp_path / "x")) == [(2, {"a": 1}), (4, {"a": 2})]


def test_an_object_that_is_no_json_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / SUITE.name
    path.write_text('{"name":\n')
    with pytest.raises(DataError) as caught:
        SUITE.read(tmp_path)
    assert str(caught.value) == (
        f"{path}:2: is not JSON (Expecting value); expected a JSON file as halo writes it. "
        "Remove it; halo run SUITE writes it again"
    )


@pytest.mark.parametrize("content", [[], None, "x"])
def test_a_file_that_holds_no_object_is_named(tmp_path: Path, content: object) -> None:
    path = write(tmp_path / SUITE.name, content)
    with pytest.raises(DataError) as caught:
        SUITE.read(tmp_path)
    assert str(caught.value).startswith(
        f"{path}: got {json.dumps(content)!r}; expected a JSON object with name, axes and cells. "
    )


def test_an_object_that_lacks_a_field_says_which(tmp_path: Path) -> None:
    write(tmp_path / SUITE.name, {"schema": 1, "name": "toy", "cells": []})
    with pytest.raises(DataError, match=r"without axes; expected .* name, axes and cells\. Remove"):
        SUITE.read(tmp_path)


def test_an_object_in_a_list_that_lacks_a_field_is_named_by_its_place(tmp_path: Path) -> None:
    cell = {"id": "a", "axes": {}, "run": None, "status": "pending", "error": None}
    write(tmp_path / SUITE.name, {"name": "toy", "axes": {}, "cells": [cell, {"id": "b"}, 7]})
    lacking = ["cells[1].axes", "cells[1].run", "cells[1].status", "cells[1].error"]
    lacking += ["cells[2].id", "cells[2].axes", "cells[2].run", "cells[2].status", "cells[2].error"]
    with pytest.raises(DataError, match=re.escape(f" without {', '.join(lacking)}; expected")):
        SUITE.read(tmp_path)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"suite": "x"}, "suite is 'x'"),
        ({"suite": {"folder": "f", "cell": "c"}}, "suite.axes is missing"),
        ({"seed": True}, "seed is True"),
        ({"command": ["halo", 1]}, "command[1] is 1"),
        ({"trackers": {"mlflow": ["a"]}}, "trackers.mlflow is ['a']"),
        ({"stages": [7]}, "stages[0] is 7"),
        ({"stages": "all"}, "stages is 'all'"),
    ],
)
def test_a_field_of_another_type_is_named(tmp_path: Path, fields: object, wrong: str) -> None:
    write(tmp_path / RUN.name, fields)
    with pytest.raises(DataError) as caught:
        RUN.read(tmp_path)
    assert wrong.partition("[0]")[0] in caught.value.message
    assert caught.value.message.endswith(". The halo run that wrote it writes it again")
    assert caught.value.location == str(tmp_path / RUN.name)


def test_half_a_character_is_written_and_read_back(tmp_path: Path) -> None:
    """Replies of judges sometimes contain one, and paid replies must be kept."""
    path = tmp_path / SCORES.name
    SCORES.append(path, [{**SCORE, "reason": "a \\ and \ud83d"}])
    path.read_text(encoding="utf-8")
    assert next(SCORES.read(path))["reason"] == "a \\ and \ud83d"
    DONE.write(tmp_path, {"metrics": {}, "headline": "\ud83d"})
    assert DONE.read(tmp_path) == {"schema": 1, "metrics": {}, "headline": "\ud83d"}


def test_the_orders_of_a_verdict_are_checked(tmp_path: Path) -> None:
    verdict = {"prompt_id": "p", "prompt": [], "completion": "", "baseline": "", "flip": False}
    path = write(tmp_path / "x", {**verdict, "result": "win", "orders": [{"order": "AB"}]})
    with pytest.raises(DataError, match=r"without orders\[0\]\.winner, orders\[0\]\.reason; exp"):
        list(VERDICTS.read(path))


def test_a_json_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(DataError, match=r"x: is not text \(invalid start byte\); expected a JSON"):
        read_json(tmp_path / "x")


def test_a_number_that_is_not_finite_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        DONE.write(tmp_path, {"metrics": {"n": float("nan")}, "headline": ""})
    with pytest.raises(ValueError, match="not JSON compliant"):
        SCORES.append(tmp_path / SCORES.name, [{**SCORE, "score": float("inf")}])
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_event_is_named_by_its_line_from_any_offset(tmp_path: Path) -> None:
    path = tmp_path / EVENTS.name
    log = EventLog(path)
    for message in ("one", "two"):
        log.append("warning", stage=None, message=message)
    (_, behind_first), _ = read_events(path)
    path.write_text(path.read_text() + '{"v": 1, "type"\n')
    found = read_events(path, offset=behind_first)
    assert next(found)[0]["message"] == "two"
    with pytest.raises(DataError, match=rf"^{path}:3: got '.+'; expected a JSON object with time"):
        next(found)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, "' without time; expected a JSON object with time and type."),
        ({"time": "1.5"}, "', where time is '1.5', not a number; expected "),
        ({"time": 1.5, "stage": 3}, "', where stage is 3, not a text or null; expected "),
        ({"time": 1.5, "step": "2"}, "', where step is '2', not a whole number; expected "),
        ({"time": 1.5, "step": True}, "', where step is True, not a whole number; expected "),
        (
            {"time": 1.5, "metrics": {"loss": None}},
            "', where metrics.loss is None, not a number; expected ",
        ),
        ({"time": 1.5, "metrics": []}, "', where metrics is [], not an object; expected "),
    ],
)
def test_an_event_with_a_field_of_another_type_is_damage(
    tmp_path: Path, fields: dict[str, object], wrong: str
) -> None:
    path = write(tmp_path / EVENTS.name, {"type": "metrics", **fields})
    with pytest.raises(DataError) as caught:
        list(read_events(path))
    assert wrong in caught.value.message
    assert caught.value.message.endswith("Remove this line, and only this one")
    assert caught.value.location == f"{path}:1"


def test_an_event_has_its_time_and_may_have_a_stage_a_step_and_metrics(tmp_path: Path) -> None:
    plain = {"time": 1, "type": "warning", "stage": None}
    full = {"time": 1.5, "type": "metrics", "stage": "kto", "step": 1, "metrics": {"loss": 2}}
    path = write(tmp_path / EVENTS.name, plain, full)
    assert [event for event, _ in read_events(path)] == [plain, full]


def test_every_field_of_every_record_is_described() -> None:
    modules = sorted(Path(records.__file__).parent.glob("*_records.py"))
    trees = [ast.parse(module.read_text(encoding="utf-8")) for module in modules]
    nodes = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    assert {node.name for node in nodes} >= {file.fields.__name__ for file in OBJECT_FILES}
    for node in nodes:
        assert ast.get_docstring(node), node.name
        fields = node.body[1:]
        for field, text in zip(fields[::2], fields[1::2], strict=True):
            assert isinstance(field, ast.AnnAssign), node.name
            assert isinstance(text, ast.Expr), (node.name, ast.unparse(field))


def test_every_record_has_a_version_and_an_own_name() -> None:
    for file in LINE_FILES:
        assert "v" in file.fields.__annotations__, file.name
    for file in OBJECT_FILES:
        assert "schema" in file.fields.__annotations__, file.name
    names = [file.name for file in (*LINE_FILES, *OBJECT_FILES)]
    assert len(set(names)) == len(names) > 12


def test_older_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "old").mkdir(parents=True)
    (tmp_path / ".model.dead.partial").mkdir()
    with whole_folder(folder) as partial:
        (partial / "new").touch()
        assert (folder / "old").exists()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_failed_writer_leaves_the_older_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").touch()

    def fail() -> None:
        with whole_folder(folder) as partial:
            (partial / "new").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def literals(source: Path) -> Iterator[tuple[int, str]]:
    """Yields the line and value of each text in a file that is not a docstring."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.lineno, node.value


def test_the_names_of_records_stand_in_their_file_alone() -> None:
    names = {file.name for file in (*LINE_FILES, *OBJECT_FILES)}
    names |= {records.SPEC, records.RESOLVED_SPEC, records.SUITE_SPEC, records.ROWS}
    elsewhere = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for folder in ("halo_core", "libraries", "plugins")
        for path in (ROOT / folder).rglob("*.py")
        # The templates of new plugins are code of others, which has no access to the records.
        if not {"tests", "templates"} & {*path.relative_to(ROOT).parts}
        if path != Path(records.__file__)
        for line, text in literals(path)
        if text in names
        # A folder of the library datasets has a file of that name too.
        and (path.name, text) != ("tables.py", CHECKPOINT.name)
    ]
    assert elsewhere == []


def test_a_record_that_another_process_writes_during_the_reading_is_absent_or_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_text = Path.read_text

    def appears_after(path: Path, *args: Any, **options: Any) -> str:
        try:
            return read_text(path, *args, **options)
        finally:
            if not path.exists():
                TITLE.write(tmp_path, {"title": "a", "note": ""})

    monkeypatch.setattr(Path, "read_text", appears_after)
    assert TITLE.read(tmp_path) is None
    found = TITLE.read(tmp_path)
    assert found is not None
    assert found["title"] == "a"
