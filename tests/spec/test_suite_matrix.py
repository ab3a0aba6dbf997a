"""A suite's matrix: how a document becomes cells, and its mistakes."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from halo_core.errors import SpecErrors, UserError
from halo_core.spec.document import Document, parse_document
from halo_core.spec.matrix import Matrix, read_matrix
from halo_core.spec.matrix_cell import expand
from halo_core.spec.suite import Suite, load_suite

BASE = """\
name: s
seed: 0
model: {hub: a/b}
data: {train: x}
stages:
  sft: {use: train, loss: sft, rate: 1}
  align: {use: train, loss: {use: kto, beta: 1}}
  win: {use: judge}
matrix:
"""


def matrix_of(text: str) -> Matrix:
    return read_matrix(document_of(text))


def document_of(text: str) -> Document:
    return parse_document(BASE + text, name="s.yaml", folder=Path("/specs"))


def trees(text: str, **overrides: str) -> dict[str, Any]:
    document = document_of(text)
    paths = {path.replace("__", "."): value for path, value in overrides.items()}
    cells = read_matrix(document).cells
    return {cell.id: expand(document, cell, paths)[0].tree for cell in cells}


def mistakes(text: str) -> list[str]:
    with pytest.raises(SpecErrors) as caught:
        read_matrix(document_of(text))
    return [str(error) for error in caught.value.errors]


def test_cells_are_all_combinations_and_the_last_axis_changes_fastest() -> None:
    matrix = matrix_of("  a: {x: , y: }\n  b: {p: , q: , r: }\n")
    assert [cell.id for cell in matrix.cells] == ["x/p", "x/q", "x/r", "y/p", "y/q", "y/r"]
    assert matrix.axes == {"a": ["x", "y"], "b": ["p", "q", "r"]}
    assert matrix.cells[1].axes == {"a": "x", "b": "q"}


def test_a_cell_is_the_spec_with_its_settings_and_without_the_matrix() -> None:
    found = trees("  a: {x: {seed: 1, stages.align.loss.beta: 5}, y: }\n")
    assert found["x"]["seed"] == 1
    assert found["x"]["stages"]["align"] == {"use": "train", "loss": {"use": "kto", "beta": 5}}
    assert found["y"]["seed"] == 0
    assert "matrix" not in found["x"]


def test_cells_do_not_share_what_they_change() -> None:
    found = trees("  a: {x: {stages.sft.rate: 2}, y: {stages.sft.rate: 3}, z: }\n")
    rates = [tree["stages"]["sft"]["rate"] for tree in found.values()]
    assert rates == [2, 3, 1]


def test_later_axes_win_and_the_command_line_wins_over_all() -> None:
    axes = "  a: {x: {seed: 1}}\n  b: {p: {seed: 2}}\n"
    assert trees(axes)["x/p"]["seed"] == 2
    assert trees(axes, seed="3")["x/p"]["seed"] == 3


def test_a_name_becomes_a_component_where_an_option_of_it_is_set() -> None:
    found = trees("  a: {x: {stages.sft.loss.length: true}, y: {stages.align.loss: dpo}}\n")
    assert found["x"]["stages"]["sft"]["loss"] == {"use": "sft", "length": True}
    assert found["y"]["stages"]["align"]["loss"] == "dpo"


def test_null_removes_a_stage_and_is_a_value_elsewhere() -> None:
    found = trees("  a: {x: {stages.align: null, stages.sft.rate: null}}\n")
    assert list(found["x"]["stages"]) == ["sft", "win"]
    assert found["x"]["stages"]["sft"]["rate"] is None


def test_an_override_of_a_stage_is_left_out_where_the_cell_has_it_not() -> None:
    found = trees("  a: {x: {stages.align: null}, y: }\n", stages__align__steps="9")
    assert "align" not in found["x"]["stages"]
    assert found["y"]["stages"]["align"]["steps"] == 9


def test_exclude_takes_partial_matches_and_lists() -> None:
    axes = "  a: {x: , y: , z: }\n  b: {p: , q: }\n"
    rest = matrix_of(axes + "  exclude: [{a: x}, {a: [y, z], b: q}]\n").cells
    assert [cell.id for cell in rest] == ["y/p", "z/p"]


def test_include_adds_settings_to_a_cell_and_brings_an_excluded_one_back() -> None:
    axes = "  a: {x: {seed: 1}, y: }\n  exclude: [{a: y}]\n"
    found = trees(axes + "  include: [{a: x, set: {seed: 7}}, {a: y, set: {seed: 8}}]\n")
    assert {id_: tree["seed"] for id_, tree in found.items()} == {"x": 7, "y": 8}


@given(
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    data=st.data(),
)
def test_excluding_leaves_exactly_what_does_not_match(sizes: list[int], data: Any) -> None:
    axes = {f"a{i}": [f"c{j}" for j in range(n)] for i, n in enumerate(sizes)}
    rule = {
        axis: data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
        for axis, names in axes.items()
        if data.draw(st.booleans())
    }
    matrix: dict[str, Any] = {axis: dict.fromkeys(names) for axis, names in axes.items()}
    if rule:
        matrix["exclude"] = [rule]
    combinations = [dict(zip(axes, names, strict=True)) for names in product(*axes.values())]
    left = [
        cell
        for cell in combinations
        if not rule or any(cell[axis] not in names for axis, names in rule.items())
    ]
    document = Document("s.yaml", Path("/specs"), {"matrix": matrix})
    if left:
        assert [cell.axes for cell in read_matrix(document).cells] == left
    else:
        with pytest.raises(SpecErrors, match="every cell is excluded"):
            read_matrix(document)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ("  [a]\n", "s.yaml:9:1: matrix: got ['a']; expected axes of named values"),
        ("  exclude: []\n", "s.yaml:9:1: matrix: no axes; expected at least one"),
        ("  a: {}\n", "s.yaml:10:3: matrix.a: no values; expected named values"),
        ("  a: 7\n", "s.yaml:10:3: matrix.a: got 7; expected named values"),
        ("  a: 7\n", "as in small: {seed: 1}, or a path and its values, as in seed: [1, 2]"),
        ("  a: {x: 7}\n", "s.yaml:10:7: matrix.a.x: got 7; expected paths and values"),
        ("  a: {x/y: }\n", "got the value 'x/y'; expected a letter or a digit"),
        ("  set: {x: }\n  a: {x: }\n", "no axis can be called 'set'"),
        ("  a: {x: }\n  exclude: {a: x}\n", "matrix.exclude: got {'a': 'x'}; expected a list"),
        ("  a: {x: }\n  exclude: [{}]\n", "matrix.exclude.0: got {}; expected {axis: value}"),
        ("  a: {x: }\n  exclude: [{b: x}]\n", "exclude.0.b: unknown axis 'b'. Known: a"),
        ("  size: {x: }\n  exclude: [{sise: x}]\n", "unknown axis 'sise'. Did you mean 'size'?"),
        ("  a: {small: }\n  exclude: [{a: smal}]\n", "unknown value 'smal'. Did you mean 'small'?"),
        ("  a: {x: }\n  exclude: [{a: [x, 1]}]\n", "unknown value '1'. Known: x"),
        ("  a: {x: }\n  exclude: [{a: x}]\n", "every cell is excluded; expected at least one"),
        ("  a: {x: }\n  include: [{a: y}]\n", "matrix.include.0.a: unknown value 'y'. Known: x"),
        ("  a: {x: }\n  b: {y: }\n  include: [{a: x}]\n", "no value of the axis 'b'"),
        (
            "  a: {x: }\n  include: [{a: x}]\n",
            "this cell exists already, and the line sets nothing",
        ),
    ],
)
def test_each_mistake_in_a_matrix_has_one_clear_message(matrix: str, message: str) -> None:
    (found,) = mistakes(matrix)
    assert message in found


BETA = "stages.align.loss.beta"


def test_an_axis_may_list_settings_of_a_path_which_are_also_the_names() -> None:
    found = trees(f"  beta: {{{BETA}: [0.05, 0.1, 5]}}\n  a: {{x: {{seed: 1}}}}\n")
    betas = {id_: tree["stages"]["align"]["loss"]["beta"] for id_, tree in found.items()}
    assert betas == {"0.05/x": 0.05, "0.1/x": 0.1, "5/x": 5}
    assert {tree["seed"] for tree in found.values()} == {1}


def test_listed_settings_make_the_same_specs_as_named_values() -> None:
    named = f"  beta: {{0.1: {{{BETA}: 0.1}}, 0.5: {{{BETA}: 0.5}}}}\n"
    assert trees(f"  beta: {{{BETA}: [0.1, 0.5]}}\n") == trees(named)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ("[1.0e-6, 5e-7, 1.0e+20]", ["1e-6", "5e-7", "1e+20"]),
        ("[true, false, null]", ["true", "false", "null"]),
        ("[dpo, 'acme/kto', 'file:./mine.py:Loss']", ["dpo", "acme-kto", "file-.-mine.py-Loss"]),
        ("[2, '10%']", ["2", "10-"]),
    ],
)
def test_names_of_values_are_short_and_have_only_the_characters_of_names(
    values: str, names: list[str]
) -> None:
    assert matrix_of(f"  a: {{stages.sft.x: {values}}}\n").axes == {"a": names}


def test_rules_name_listed_settings_as_they_are_written() -> None:
    axis = "  a: {seed: [1, 1.0e-6, true, x]}\n"
    rest = matrix_of(axis + "  exclude: [{a: [1, 0.000001]}, {a: true}]\n")
    assert [cell.id for cell in rest.cells] == ["x"]
    again = matrix_of(axis + "  exclude: [{a: [1, true, x]}]\n  include: [{a: x}]\n")
    assert [cell.id for cell in again.cells] == ["1e-6", "x"]


def test_rules_still_find_a_named_value_as_it_was_written() -> None:
    rest = matrix_of("  a: {1e-06: , true: , x: }\n  exclude: [{a: 1e-06}, {a: true}]\n").cells
    assert [cell.id for cell in rest] == ["x"]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (
            "  a: {seed: []}\n",
            "s.yaml:10:7: matrix.a.seed: got an empty list; expected at least one value, as in "
            "[0.05, 0.1]",
        ),
        (
            "  a: {seed: [0.1, 2, 0.10]}\n",
            "s.yaml:10:22: matrix.a.seed.2: 0.1 and 0.1 are both named '0.1'; remove one, or name "
            "the values, as in first: {seed: VALUE}",
        ),
        ("  a: {x.y: [a/b, a:b]}\n", "'a/b' and 'a:b' are both named 'a-b'; remove one"),
        ("  a: {x.y: [true, 'true']}\n", "true and 'true' are both named 'true'; remove one"),
        (
            "  a: {betas: [[0.9, 0.95]]}\n",
            "s.yaml:10:15: matrix.a.betas.0: got [0.9, 0.95]; a list has no name of its "
            "own; name the values, as in first: {betas: VALUE}",
        ),
        ("  a: {loss: [{use: kto}]}\n", "got {'use': 'kto'}; a mapping has no name of its own"),
        (
            "  a: {seed: [-1]}\n",
            "got -1; the name of a value begins with a letter or a digit; name the values, as in "
            "first: {seed: VALUE}",
        ),
        ("  a: {model.path: [./mine]}\n", "got './mine'; the name of a value begins with a letter"),
        ("  a: {model.path: ['']}\n", "got ''; the name of a value begins with a letter"),
        (
            "  a: {seed: [1], x: {seed: 2}}\n",
            "s.yaml:10:18: matrix.a.x: got {'seed': 2} next to a list of values; expected only "
            "lists of values, or only named values",
        ),
        ("  a: {seed: [1], x: }\n", "matrix.a.x: got None next to a list of values"),
        (
            "  a: {seed: [1], x.y: [2]}\n",
            "s.yaml:10:3: matrix.a: lists values of 2 paths (seed, x.y); expected one. For all "
            "combinations, write an axis for each path. To change them together, name the values",
        ),
        ("  a: {seed: [[1]]}\n  exclude: [{a: 1}]\n", "a list has no name of its own"),
    ],
)
def test_each_mistake_in_a_list_of_values_has_one_clear_message(matrix: str, message: str) -> None:
    (found,) = mistakes(matrix)
    assert message in found


def test_all_mistakes_of_a_matrix_are_reported_together() -> None:
    found = mistakes("  a: {}\n  b: {x: 3}\n  exclude: [{c: y}]\n")
    assert len(found) == 3


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ((30, 40), "more than 1000 cells (a0 30 x a1 40); a suite has at most 1000"),
        ((101, 101, 101), "more than 1000000 combinations (a0 101 x a1 101 x a2 101)"),
    ],
)
def test_a_matrix_that_explodes_is_refused(lengths: tuple[int, ...], message: str) -> None:
    axes = {f"a{i}": {f"c{j}": None for j in range(n)} for i, n in enumerate(lengths)}
    with pytest.raises(SpecErrors) as caught:
        read_matrix(Document("s.yaml", Path("/specs"), {"matrix": axes}))
    assert message in str(caught.value)


def load(suite_file: Path, old: str = "", new: str = "", **options: Any) -> Suite:
    text = suite_file.read_text()
    assert old in text
    suite_file.write_text(text.replace(old, new) if old else text)
    return load_suite(suite_file, **options)


def spec_mistakes(suite_file: Path, old: str, new: str) -> str:
    with pytest.raises(SpecErrors) as caught:
        load(suite_file, old, new)
    return str(caught.value)


def test_a_stage_after_a_removed_one_takes_the_preceding_model(suite_file: Path) -> None:
    specs = {spec.cell.id: spec for spec in load(suite_file).specs if spec.cell}
    assert specs["small/none"].stages[1].models == {"from": "base"}
    assert specs["small/weak"].stages[2].models == {"from": "align"}


def test_without_any_training_the_model_of_the_spec_is_taken(suite_file: Path) -> None:
    new = "none: {stages.align: null, stages.base: null}"
    spec = load(suite_file, "none: {stages.align: null}", new, only=["small/none"]).specs[0]
    assert [stage.id for stage in spec.stages] == ["answers", "win"]
    assert spec.stages[0].models == {"from": "model"}


def test_a_reference_to_a_removed_stage_names_the_cell(suite_file: Path) -> None:
    found = spec_mistakes(suite_file, 'Answer", prompts', 'Answer", from: align, prompts')
    assert "suite.yaml:16:" in found
    assert (
        "stages.answers.from: the stage 'align' is removed by method: none "
        "(in 2 of 6 cells: small/none, large/none)" in found
    )


def test_a_path_that_does_not_exist_gets_the_nearest_name(suite_file: Path) -> None:
    found = spec_mistakes(suite_file, "stages.base.rate", "stages.bass.rate")
    assert "suite.yaml:22:13: matrix.size.large.stages.bass.rate: unknown stage 'bass'." in found
    assert "Did you mean 'base'? Known: align, answers, base, win" in found
    assert "(in 3 of 6 cells: large/none, large/weak, large/strong)" in found


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("stages.base.raet", "unknown option 'raet'. Did you mean 'rate'?"),
        ("stagse.base.rate", "unknown key 'stagse'. Did you mean 'stages'?"),
        ("name", "unknown key 'name'. Known: data, model"),
        ("data.trian.prefix", "unknown data set 'trian'. Did you mean 'train'? Known: test, train"),
        ("stages.base.loss.beta.x", "'beta' is 0.1, which has nothing below it"),
        ("model.sctach.size", "model.sctach: unknown key 'sctach'. Did you mean 'scratch'?"),
    ],
)
def test_a_wrong_path_is_reported_where_it_stands(
    suite_file: Path, path: str, message: str
) -> None:
    found = spec_mistakes(suite_file, "stages.base.rate", path)
    assert "suite.yaml:22:13: " in found
    assert message in found


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("stages.base.raet", "stages.base.raet: unknown option 'raet'. Did you mean 'rate'?"),
        ("stagse.base.rate", "matrix.rate.stagse.base.rate: unknown key 'stagse'."),
        ("stages.bass.rate", "matrix.rate.stages.bass.rate: unknown stage 'bass'."),
        ("rate", "matrix.rate.rate: unknown key 'rate'. Known: data, model"),
        ("stages.base.loss.beta.x", "'beta' is 0.1, which has nothing below it"),
    ],
)
def test_a_wrong_path_of_listed_values_is_reported_once_with_its_place(
    suite_file: Path, path: str, message: str
) -> None:
    suite_file.write_text(suite_file.read_text() + f"  rate: {{{path}: [0.1, 0.2]}}\n")
    with pytest.raises(SpecErrors) as caught:
        load_suite(suite_file)
    (found,) = caught.value.errors
    assert message in str(found)
    assert "suite.yaml:27:10: " in str(found)
    assert "(in " not in str(found)


def test_a_wrong_value_among_listed_ones_names_its_cells(suite_file: Path) -> None:
    suite_file.write_text(suite_file.read_text() + "  rate: {stages.base.rate: [0.1, fast]}\n")
    with pytest.raises(SpecErrors) as caught:
        load_suite(suite_file)
    (found,) = caught.value.errors
    assert "suite.yaml:27:10: stages.base.rate: got 'fast'; " in str(found)
    assert "(in 6 of 12 cells: small/none/fast, " in str(found)


def test_listed_values_can_come_from_the_command_line(suite_file: Path) -> None:
    overrides = {"matrix.size": "{stages.base.rate: [1.0, 2.0]}"}
    suite = load_suite(suite_file, overrides, only=["2.0/none"])
    assert [spec.cell.axes for spec in suite.specs if spec.cell] == [
        {"size": "2.0", "method": "none"}
    ]


def test_what_is_written_for_null_by_mistake_does_not_remove_a_stage(suite_file: Path) -> None:
    found = spec_mistakes(suite_file, "none: {stages.align: null}", "none: {stages.align: none}")
    assert "matrix.method.none.stages.align: got 'none'; to remove the stage write null" in found


def test_a_path_into_a_stage_that_an_earlier_axis_removed_is_a_mistake(suite_file: Path) -> None:
    text = suite_file.read_text().replace("    weak:\n", "    weak: {stages.align.rate: 3.0}\n")
    suite_file.write_text(text + "  rate: {slow: {stages.align.rate: 0.1}}\n")
    with pytest.raises(SpecErrors) as caught:
        load_suite(suite_file)
    assert "the stage 'align' is removed by method: none; exclude this combination" in str(
        caught.value
    )
    suite_file.write_text(suite_file.read_text() + "  exclude: [{method: none, rate: slow}]\n")
    assert len(load_suite(suite_file).specs) == 4


def test_mistakes_of_paths_and_of_cells_are_reported_together(suite_file: Path) -> None:
    new = "strong: {stages.align.loss.betta: 1.0, stages.win.of: 3, stages.no.x: 1}"
    found = spec_mistakes(suite_file, "strong: {stages.align.loss.beta: 0.9}", new)
    assert found.count("suite.yaml:26:") == 3
    assert "3 mistakes in the spec." in found


def test_a_mistake_of_the_spec_itself_is_told_once_and_without_cells(suite_file: Path) -> None:
    found = spec_mistakes(suite_file, "seed: 1", "seed: -1")
    assert found.splitlines() == [
        "suite.yaml:2:1: seed: got -1; expected a whole number from 0 to 2147483647",
        "1 mistake in the spec.",
    ]


def test_only_some_cells_are_checked_when_asked(suite_file: Path) -> None:
    specs = load(suite_file, only=["large/none", "small/*"]).specs
    ids = [spec.cell.id for spec in specs if spec.cell]
    assert ids == ["small/none", "small/weak", "small/strong", "large/none"]
    with pytest.raises(UserError) as caught:
        load_suite(suite_file, only=["small/strng"])
    assert str(caught.value).startswith(
        "--cell small/strng: unknown cell 'small/strng'. Did you mean 'small/strong'?"
    )


def test_the_command_line_can_change_the_matrix(suite_file: Path) -> None:
    specs = load_suite(suite_file, {"matrix.exclude": "[{method: [none, weak]}]"}).specs
    assert [spec.cell.id for spec in specs if spec.cell] == ["small/strong", "large/strong"]


def test_an_override_that_no_cell_takes_is_a_mistake(suite_file: Path) -> None:
    only = {"matrix.exclude": "[{method: [weak, strong]}]", "stages.align.rate": "3.0"}
    with pytest.raises(SpecErrors) as caught:
        load_suite(suite_file, only)
    assert "--set stages.align.rate=3.0: " in str(caught.value)
    assert "no cell has this stage" in str(caught.value)


def test_the_suites_folder_depends_on_what_is_in_the_cells_alone(suite_file: Path) -> None:
    name = load_suite(suite_file).folder_name
    assert name.startswith("tiny-")
    suite_file.write_text("# a comment\n" + suite_file.read_text())
    assert load_suite(suite_file).folder_name == name
    assert load_suite(suite_file, only=["small/none"]).folder_name == name
    assert load_suite(suite_file, {"seed": "2"}).folder_name != name


@pytest.mark.parametrize("head", ["stages", "data"])
def test_a_list_in_place_of_named_stages_or_data_sets_is_a_mistake_and_no_crash(head: str) -> None:
    document = document_of(f"  a: {{x: {{{head}.align: 1}}}}\n")
    document.tree[head] = [["align"], 3, "other", {"align": 1}]
    _, errors = expand(document, read_matrix(document).cells[0], {})
    assert [error.message.partition("'")[2] for error in errors] == ["align'. Known: other"]
