"""A spec's mistakes: all together, each with its place and the nearest right name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML

from halo_core.errors import HaloError, PathError, PluginError, SpecErrors, UserError
from halo_core.option_fields import nested_options
from halo_core.plugins.local_file import local_registration
from halo_core.run.run_files import resolved_tree
from halo_core.spec.document import Document
from halo_core.spec.mistakes import Mistakes
from halo_core.spec.spec import TOP_LEVEL, Spec, load_spec


def check(spec_file: Path, **changes: str) -> Spec:
    return load_spec(spec_file, {path.replace("__", "."): text for path, text in changes.items()})


def mistakes(spec_file: Path, **changes: str) -> list[str]:
    with pytest.raises(SpecErrors) as caught:
        check(spec_file, **changes)
    return [error.message for error in caught.value.errors]


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        ("".join(f"k{i}: {i}\n" for i in range(1200)), "unknown key", "k100"),
        ("tracking:\n" + "  - {a: 1}\n" * 1200, "expected a tracker", "tracking.100"),
    ],
    ids=["unknown keys", "wrong values"],
)
def test_of_thousands_of_mistakes_a_hundred_are_listed_and_the_others_counted(
    spec_file: Path, text: str, kind: str, place: str
) -> None:
    spec_file.write_text(spec_file.read_text() + text)
    with pytest.raises(SpecErrors) as caught:
        load_spec(spec_file)
    *listed, last = caught.value.errors
    assert len(listed) == 100
    assert all(kind in error.message for error in listed)
    assert last.message == "from here on, up to 1,100 more mistakes are not listed"
    assert place in str(last.location)


def test_a_mistake_found_twice_counts_once_whether_it_is_listed_or_not(tmp_path: Path) -> None:
    mistakes = Mistakes(Document("spec.yaml", tmp_path / "spec.yaml", {}))
    for _ in range(3):
        for i in range(102):
            mistakes.add(("stages", f"s{i}"), f"s{i} is wrong")
    assert mistakes.count == 3 * 102
    with pytest.raises(SpecErrors) as caught:
        mistakes.raise_if_any()
    assert len(caught.value.errors) == 101
    assert caught.value.errors[-1].message == "from here on, up to 2 more mistakes are not listed"


@pytest.mark.parametrize(("last", "code"), [(PluginError, 3), (UserError, 2)])
def test_the_line_that_counts_mistakes_leaves_the_exit_code_as_it_is(
    tmp_path: Path, last: type[HaloError], code: int
) -> None:
    mistakes = Mistakes(Document("spec.yaml", tmp_path / "spec.yaml", {}))
    for i in range(102):
        mistakes.take(("stages", f"s{i}"), PluginError("its plugin is broken"))
    mistakes.take(("stages", "s102"), last("it fails"))
    with pytest.raises(SpecErrors) as caught:
        mistakes.raise_if_any()
    assert caught.value.exit_code == code


def test_three_mistakes_are_reported_together_in_order(spec_file: Path) -> None:
    text = spec_file.read_text()
    text = text.replace("seed: 1", "seeed: 1").replace("data: train", "data: trian")
    spec_file.write_text(text.replace("beta: 0.1", "betta: 0.1"))
    with pytest.raises(SpecErrors) as caught:
        load_spec(spec_file)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("spec.yaml:2:1: seeed: unknown key 'seeed'. Did you mean 'seed'?")
    assert lines[1].startswith("spec.yaml:10:5: stages.learn.data: unknown data set 'trian'.")
    assert "Did you mean 'train'?" in lines[1]
    assert "stages.learn.loss.betta: unknown option 'betta'. Did you mean 'beta'?" in lines[2]
    assert lines[3] == "3 mistakes in the spec."


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "data.train.order",
            "forward",
            "got 'forward'; expected 'forwards' or 'backwards'. Did you mean 'forwards'?",
        ),
        ("name", "'a b'", "got 'a b'; expected a letter or a digit, followed by letters"),
        ("seed", "-1", "got -1; expected a whole number"),
        ("seed", "true", "got True; expected a whole number"),
        ("model", "gpt2", "expected exactly one of hub:, path:, gguf: and scratch:"),
        ("model.path", "x", "got hub, path; expected exactly one"),
        ("model.hub", "'bad name!'", "expected an id such as owner/name"),
        ("data.holdout", "2", "expected a share between 0 and 1"),
        ("data.holdout", "0.1", "makes the set 'test', which is also given"),
        ("data.train.split", "dev", "unknown split 'dev'. Known: test, train"),
        ("data.train.count", "'4'", "got '4'; expected a whole number"),
        (
            "overlap",
            "wran",
            "got 'wran'; expected error, or warn if test rows are training rows on",
        ),
        ("overlap", "wran", "on purpose. Did you mean 'warn'?"),
        ("overlap", "false", "got False; expected error, or warn"),
        ("data.train.count", "-1", "got -1; expected a number of at least 0"),
        ("stages.learn.loss", "kt0", "no loss named 'kt0'. Did you mean 'kto'?"),
        ("stages.learn.loss", "7", "got 7; expected a loss: NAME or {use: NAME, ...}"),
        ("stages.learn.loss.beta", "0", "got 0; expected a number above 0"),
        ("stages.learn.loss.beta", ".nan", "expected a finite number"),
        ("stages.learn.from", "lern", "unknown earlier stage 'lern'. Known: model"),
        ("stages.answers.from", "win", "unknown earlier stage 'win'. Known: learn, model"),
        ("stages.win.of", "learn", "the stage 'learn' makes model; expected samples"),
        ("stages.answers.prompts", "tset", "unknown data set 'tset'. Did you mean 'test'?"),
        ("stages.win.use", "juge", "no stage named 'juge'. Did you mean 'judge'?"),
        (
            "stages.a b",
            "{use: sample, prompts: test}",
            "got the id 'a b'; expected a letter or a digit, followed by letters, digits, '-' and "
            "'_'",
        ),
        ("stages.learn", "{data: train}", "'use' is missing"),
        ("stages.learn", "null", "got null; expected a stage: NAME or {use: NAME, ...}"),
        ("stages.lern.rate", "2.0", "as in use: train. Did you mean the stage 'learn'?"),
        ("stages.win.against", "targte", "Did you mean 'target'? Known: answers, target"),
        ("data.train", "7", "got 7; expected a data source: NAME or {use: NAME, ...}"),
        ("tracking", "[mlfow]", "no tracker named 'mlfow'. Did you mean 'mlflow'?"),
    ],
)
def test_each_mistake_has_one_clear_message(
    spec_file: Path, path: str, value: str, message: str
) -> None:
    with pytest.raises(SpecErrors) as caught:
        load_spec(spec_file, {path: value})
    assert len(caught.value.errors) == 1, caught.value
    error = caught.value.errors[0]
    assert message in error.message
    assert path.partition(".")[0] in (error.location or "")


def test_the_id_of_the_spec_s_model_is_reserved(spec_file: Path) -> None:
    found = mistakes(spec_file, stages__model="{use: sample, prompts: test}")
    told = "the id 'model' is reserved: it means the model of the spec; choose another id"
    assert found.count(told) == 1
    # The model is still the one of the spec, so nothing is said about how it is made.
    assert "unknown earlier stage" not in str(found)


class Inner(BaseModel):
    """Options inside options."""

    depth: int = 1


class Outer(BaseModel):
    """Options with options of other kinds."""

    inner: Inner | None = None
    named: dict[str, Inner] = Field(default={}, alias="by-name")
    plain: dict[str, int] = {}


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ((), ["inner", "by-name", "plain"]),
        (("inner",), ["depth"]),
        (("by-name", "x"), ["depth"]),
        ((0, "inner"), ["depth"]),
    ],
)
def test_the_options_inside_an_option_are_known_at_every_depth(
    path: tuple[str | int, ...], known: list[str]
) -> None:
    assert nested_options(FieldInfo(annotation=Outer | list[Outer] | None), path) == known


def test_a_missing_option_is_described(spec_file: Path) -> None:
    spec_file.write_text(spec_file.read_text().replace("    data: train\n", ""))
    assert mistakes(spec_file) == ["'data' is missing: what to learn from"]


def test_a_spec_needs_name_model_and_stages(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("seed: 3\n")
    assert [message.partition(";")[0] for message in mistakes(path)] == [
        "'name' is missing",
        "'model' is missing",
        "'stages' is missing",
    ]


def test_a_paired_loss_on_binary_data_says_so(spec_file: Path) -> None:
    made = Path(__file__).parents[1] / "made_components.py"
    (message,) = mistakes(spec_file, data__train=f"{{use: 'file:{made}:Binary'}}")
    assert "learns from paired feedback, but the data 'train'" in message
    assert "is binary" in message


def test_a_model_path_must_be_a_model_folder(spec_file: Path, tmp_path: Path) -> None:
    assert "no such folder" in mistakes(spec_file, model="{path: nowhere}")[0]
    assert "has no config.json" in mistakes(spec_file, model=f"{{path: {tmp_path}}}")[0]
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "gone").symlink_to("nowhere")
    os.mkfifo(folder / "model.safetensors")
    (told,) = mistakes(spec_file, model=f"{{path: {folder}}}")
    assert told.endswith(
        "model.safetensors: this is a pipe; expected a file. Write the content to a file first"
    )


def test_a_local_file_must_exist_and_hold_the_class(spec_file: Path, tmp_path: Path) -> None:
    assert "no such file" in mistakes(spec_file, stages__learn__loss="'file:no.py:Loss'")[0]
    (tmp_path / "mine.py").write_text("x = 1\n")
    changes = {"stages__learn__loss": f"'file:{tmp_path}/mine.py:Loss'"}
    assert "mine.py has no 'Loss'" in mistakes(spec_file, **changes)[0]
    (tmp_path / "bad.py").write_text("\n1 / 0\n")
    with pytest.raises(SpecErrors) as caught:
        check(spec_file, stages__learn__loss=f"'file:{tmp_path}/bad.py:Loss'")
    assert isinstance(caught.value.errors[0], PluginError)
    assert "bad.py:2" in str(caught.value)
    assert "ZeroDivisionError" in str(caught.value)


def test_a_class_of_another_kind_is_the_plugins_fault(spec_file: Path) -> None:
    made = Path(__file__).parents[1] / "made_components.py"
    with pytest.raises(SpecErrors) as caught:
        check(spec_file, stages__learn__loss=f"'file:{made}:Pairs'")
    assert "is a data, registered as a loss" in str(caught.value)


def test_references_default_to_what_came_before(spec_file: Path) -> None:
    spec = check(spec_file)
    learn, answers, win = spec.stages
    assert learn.models == {"from": "model"}
    assert answers.models == {"from": "learn"}
    assert win.inputs == {"of": "answers"}


def test_holdout_splits_train_by_prompt(spec_file: Path) -> None:
    text = spec_file.read_text()
    start = text.index("  test: {use")
    spec_file.write_text(text[:start] + "  holdout: 0.25\n" + text[text.index("stages:") :])
    sets = check(spec_file).sets
    assert [source.part.side for source in sets["train"].sources if source.part] == ["rest"]
    assert [source.part.side for source in sets["test"].sources if source.part] == ["held"]


def test_data_may_be_written_in_place(spec_file: Path) -> None:
    made = Path(__file__).parents[1] / "made_components.py"
    place = f"[{{use: 'file:{made}:Pairs', count: 2, split: test}}]"
    spec = check(spec_file, stages__learn__data=place)
    assert spec.stages[0].data["data"].sources[0].split == "test"
    wrong = f"[{{use: 'file:{made}:Pairs', cuont: 2}}]"
    assert "Did you mean 'count'?" in mistakes(spec_file, stages__learn__data=wrong)[0]


def test_an_option_may_take_one_component_or_a_list_of_them(spec_file: Path) -> None:
    either = spec_file.with_name("either.py")
    either.write_text(
        "from pydantic import Field\n"
        "from halo_core import DataInfo, DataSource, Loaded\n"
        "class Either(DataSource):\n"
        "    sources: DataSource | list[DataSource] | None = Field(None, description='some')\n"
        "    def inspect(self): return DataInfo('paired', (), '1')\n"
        "    def load(self, split): return Loaded([])\n"
    )
    use = f"use: 'file:{either}:Either'"
    one = f"{{use: 'file:{Path(__file__).parents[1] / 'made_components.py'}:Pairs'}}"
    for given in (one, f"[{one}, {one}]", "null"):
        check(spec_file, data__train=f"{{{use}, sources: {given}}}")


def test_paths_are_relative_to_the_spec_or_to_the_shell(spec_file: Path) -> None:
    spec_file.write_text(spec_file.read_text().replace("prefix: a", "prefix: a, path: x/y.jsonl"))
    sources = check(spec_file).sets["train"].sources
    assert sources[0].component.path == str(spec_file.parent / "x/y.jsonl")  # type: ignore[attr-defined]
    sources = check(spec_file, data__train__path="z").sets["train"].sources
    assert sources[0].component.path == str(Path.cwd() / "z")  # type: ignore[attr-defined]


def test_the_resolved_spec_holds_every_default(spec_file: Path) -> None:
    learn = resolved_tree(check(spec_file))["stages"]["learn"]
    assert learn["rate"] == 1.0
    assert learn["from"] == "model"
    assert learn["loss"]["beta"] == 0.1


def test_a_component_in_a_file_that_is_not_python_is_the_user_s_mistake(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no code")
    with pytest.raises(PathError, match=r"not a Python file; expected one whose name ends in \.py"):
        local_registration("loss", "file:notes.txt:Mine", tmp_path)


def test_a_tracker_or_report_that_is_listed_twice_is_a_mistake(
    spec_file: Path,
) -> None:
    text = spec_file.read_text().replace("reports: []", "reports: [html, html]")
    spec_file.write_text(text)
    with pytest.raises(SpecErrors, match="'html' is in reports twice with the same options"):
        load_spec(spec_file)


WRONG_SHAPES = ("[[]]", "[{}]", "[[a, b]]", "{a: [[]]}", "{a: {b: [[1]]}}", "3", "text", "[1, 2]")
RIGHT = {("name", "text"), ("seed", "3")}


@pytest.mark.parametrize("key", TOP_LEVEL)
def test_a_value_of_a_wrong_shape_is_a_mistake_of_the_spec_at_its_key(
    spec_file: Path, key: str
) -> None:
    yaml = YAML(typ="safe")
    tree = yaml.load(spec_file)
    for value in WRONG_SHAPES:
        spec_file.write_text(json.dumps(tree | {key: yaml.load(value)}))
        if (key, value) in RIGHT:
            load_spec(spec_file)
            continue
        with pytest.raises(SpecErrors) as caught:
            load_spec(spec_file)
        places = [str(error.location) for error in caught.value.errors]
        assert any(f": {key}" in place for place in places), (value, places)
