"""YAML as data only, with places."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from halo_core.cli import call
from halo_core.errors import PathError, SpecErrors, UserError
from halo_core.spec import spec_bytes
from halo_core.spec.document import (
    Document,
    apply_overrides,
    parse_document,
    parse_value,
    read_document,
)


def parse(text: str) -> Document:
    return parse_document(text, name="spec.yaml", folder=Path("/specs"))


def test_values_follow_yaml_1_2() -> None:
    tree = parse("a: 5e-7\nb: on\nc: yes\nd: 010\ne: ~\nf: [1, 2.0, true]\n").tree
    assert tree == {"a": 5e-7, "b": "on", "c": "yes", "d": 10, "e": None, "f": [1, 2.0, True]}


def test_each_value_is_located_by_line_and_column() -> None:
    document = parse("a: 1\nb:\n  c: [x, {d: 2}]\n")
    assert document.locate(("b", "c", 1, "d")) == "spec.yaml:3:11: b.c.1.d"
    assert document.locate(("b", "missing")) == "spec.yaml:2:1: b.missing"


def test_duplicate_keys_tags_and_dates_are_all_reported() -> None:
    with pytest.raises(SpecErrors) as caught:
        parse("a: 1\na: 2\nb: !!python/name:os.system x\nc: 2024-01-01\n")
    assert [str(error).partition(": ")[0] for error in caught.value.errors] == [
        "spec.yaml:2:1",
        "spec.yaml:3:4",
        "spec.yaml:4:4",
    ]
    assert "is given twice" in str(caught.value)
    assert "data only" in str(caught.value)
    assert "quote it" in str(caught.value)


def test_broken_yaml_names_the_place() -> None:
    with pytest.raises(SpecErrors, match=r"spec.yaml:2:\d+: not valid YAML"):
        parse("a: [1\n")


@pytest.mark.parametrize("depth", [100_000, 600])
def test_what_is_nested_too_deeply_is_a_mistake(depth: int) -> None:
    with pytest.raises(SpecErrors, match=r"spec.yaml:1:105: nested too deeply; expected a few"):
        parse(f"a: {'[' * depth}{']' * depth}")
    with pytest.raises(SpecErrors, match=r"spec.yaml: nested too deeply"):
        parse("".join(f"{' ' * level}a:\n" for level in range(600)))
    with pytest.raises(UserError, match=r"^nested too deeply; expected a few levels"):
        parse_value("{a: " * depth)


def test_aliases_cannot_blow_up() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 8)]
    with pytest.raises(SpecErrors, match="too large"):
        parse("\n".join(lines))


def test_set_replaces_adds_and_opens_a_bare_name() -> None:
    document = parse("seed: 1\nstages: {kto: {loss: kto}}\ndata: {train: [{use: hh}]}\n")
    apply_overrides(
        document,
        {"seed": "2", "stages.kto.loss.beta": "0.2", "data.train.0.path": "./x", "new": "[1]"},
    )
    assert document.tree["seed"] == 2
    assert document.tree["stages"]["kto"]["loss"] == {"use": "kto", "beta": 0.2}
    assert document.tree["data"]["train"][0]["path"] == "./x"
    assert document.locate(("seed",)) == "--set seed=2: seed"
    assert document.folder_of(("data", "train", 0, "path")) == Path.cwd()
    assert document.folder_of(("stages",)) == Path("/specs")


def test_what_a_set_makes_on_its_way_stands_where_the_set_does() -> None:
    document = parse("stages: {kto: {use: train}}\n")
    apply_overrides(document, {"stages.ktoo.loss.beta": "1"})
    place = "--set stages.ktoo.loss.beta=1"
    assert document.locate(("stages", "ktoo")) == f"{place}: stages.ktoo"
    assert document.locate(("stages", "ktoo", "loss", "no")) == f"{place}: stages.ktoo.loss.no"
    assert document.locate(("stages", "slic")) == "spec.yaml:1:1: stages.slic"


def test_set_takes_position_zero_of_a_single_source() -> None:
    document = parse("data: {train: {use: hh}}\n")
    apply_overrides(document, {"data.train.0.path": "x"})
    assert document.tree["data"]["train"] == [{"use": "hh", "path": "x"}]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("a.b", "1", "has nothing below it"),
        ("l.7", "1", "not a position in this list of 2"),
        ("a", "[1", "not valid YAML"),
        ("a", "x\0y", "not valid YAML: the character"),
    ],
)
def test_set_that_cannot_be_followed_says_why(path: str, value: str, message: str) -> None:
    document = parse("a: 3\nl: [1, 2]\n")
    with pytest.raises(SpecErrors, match=message) as caught:
        apply_overrides(document, {path: value})
    assert str(caught.value).startswith(f"--set {path}={value}: ")


def test_values_of_set_are_yaml() -> None:
    assert parse_value("5.0e-7") == 5e-7
    assert parse_value("[a, {b: 1}]") == ["a", {"b": 1}]
    assert parse_value("") is None
    with pytest.raises(UserError, match="data only"):
        parse_value("!!python/name:os.system x")


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text("name: x\n")
    with pytest.raises(PathError, match=r"no such file. Did you mean .*quickstart.yaml\?"):
        read_document(tmp_path / "quikstart.yaml")
    with pytest.raises(PathError, match="this is a folder"):
        read_document(tmp_path)


@pytest.mark.parametrize("command", ["validate", "plan", "data", "run"])
@pytest.mark.parametrize("file", ["spec_file", "suite_file"])
def test_a_command_reads_its_spec_once(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, command: str, file: str
) -> None:
    path: Path = request.getfixturevalue(file)
    monkeypatch.chdir(path.parent)
    read: list[str] = []

    def counted(text: str, *, name: str, folder: Path) -> Document:
        read.append(name)
        return parse_document(text, name=name, folder=folder)

    monkeypatch.setattr("halo_core.spec.document.parse_document", counted)
    arguments = [command, path.name, *(["--dry-run"] if command == "run" else [])]
    assert call(arguments) == 0
    assert read == [path.name]


@pytest.mark.parametrize("character", ["\0", "\x1b", "\ufffe"])
def test_a_character_that_yaml_does_not_allow_is_named_with_its_line(
    tmp_path: Path, character: str
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(f"name: x\nseed: {character}\n", encoding="utf-8")
    with pytest.raises(SpecErrors, match=r"spec.yaml:2: not valid YAML: the character .* remove"):
        read_document(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("!foo {b: 1}", "the tag !foo is not allowed"),
        ("!!set {b: null}", "tag:yaml.org,2002:set is not allowed"),
        ("!foo [1]", "the tag !foo is not allowed"),
        (r'"\ud800"', r"the escape \ud800 is not a character of text"),
        (r'"a\0b"', r"the escape \x00 is not a character of text"),
        (r'"\UFFFFFFFF"', "an escape that is not a character of Unicode"),
        ("9" * 6000, "cannot be read as a number; quote it if it is text"),
        ("9" * 20, "a whole number of more than 64 bits; quote it if it is text"),
        ("1e400", "too large for a number; quote it if it is text"),
        ("2001-13-45", "cannot be read as a date; quote it if it is text"),
        ("{" + "k" * 300 + ": 1}", "a key of 300 characters; expected at most 200"),
        (r'{"\ud800": 1}', "a key must be plain text"),
    ],
)
def test_values_that_cannot_be_meant_are_mistakes_with_their_place(
    value: str, message: str
) -> None:
    with pytest.raises(SpecErrors) as caught:
        parse(f"a: 1\nb: {value}")
    assert len(caught.value.errors) == 1
    said = str(caught.value.errors[0])
    assert message in said
    assert said.startswith("spec.yaml:2:")
    assert len(said) < 500


def test_infinity_and_standard_tags_are_read() -> None:
    assert parse("a: .inf\nb: !!map {c: !!seq [1]}\nc: -.INF").tree == {
        "a": float("inf"),
        "b": {"c": [1]},
        "c": float("-inf"),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\nb: \xff", r"spec.yaml:2: the byte 0xff is not UTF-8 text; save the file as"),
        (b"#" * 10_000_001, "more than 10,000,000 bytes; expected a spec of a few pages"),
    ],
)
def test_a_file_that_is_no_spec_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(content)
    with pytest.raises(PathError, match=message):
        read_document(path)


def test_a_pipe_without_a_writer_is_awaited_with_a_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(spec_bytes, "PATIENCE_S", 0.02)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    told = threading.Event()

    def say(line: str, *, err: bool) -> None:
        assert err
        assert line.startswith(f"reading the spec from the pipe {pipe}; waiting for a program to")
        told.set()

    def write() -> None:
        assert told.wait(10)
        pipe.write_text("name: x")

    monkeypatch.setattr(spec_bytes, "say", say)
    writer = threading.Thread(target=write)
    writer.start()
    assert read_document(pipe).tree == {"name": "x"}
    writer.join()


def test_a_pipe_with_content_and_a_file_say_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(spec_bytes, "say", pytest.fail)
    (tmp_path / "file").write_text("name: x")
    assert read_document(tmp_path / "file").tree == {"name": "x"}
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("name: x",))
    writer.start()
    assert read_document(tmp_path / "pipe").tree == {"name": "x"}
    writer.join()


def test_a_dash_is_answered_with_the_name_of_the_standard_input():
    with pytest.raises(PathError, match=r"no such file\. Write /dev/stdin for the standard input"):
        read_document(Path("-"))
