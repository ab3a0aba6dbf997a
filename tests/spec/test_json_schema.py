"""The JSON schema for editors agrees with what `halo` accepts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from halo_core.spec.document import parse_document, read_document
from halo_core.spec.json_schema import spec_schema

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = spec_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_fit_the_schema(path: Path, validator: Draft202012Validator) -> None:
    assert [error.message for error in validator.iter_errors(read_document(path).tree)] == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_tell_editors_where_the_schema_is(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=halo.schema.json"
    schema = json.loads((path.parent / "halo.schema.json").read_text(encoding="utf-8"))
    found = Draft202012Validator(schema).iter_errors(read_document(path).tree)
    assert [error.message for error in found] == []


def test_a_wrong_option_does_not_fit(validator: Draft202012Validator) -> None:
    tree = read_document(EXAMPLES[0]).tree
    tree["stages"]["sft"]["learning_rate"] = "fast"
    assert list(validator.iter_errors(tree))


def test_a_matrix_fits_the_schema_and_a_wrong_one_does_not(
    validator: Draft202012Validator, suite_file: Path
) -> None:
    tree = {**read_document(suite_file).tree, "data": {}, "stages": {}}
    rules = {"exclude": [{"size": ["small"]}], "include": [{"size": "small", "set": {"seed": 2}}]}
    assert validator.is_valid({**tree, "matrix": {**tree["matrix"], **rules}})
    assert not validator.is_valid({**tree, "matrix": {"size": ["small"]}})
    assert not validator.is_valid({**tree, "matrix": {"size": {}}})
    assert validator.is_valid({**tree, "matrix": {"seed": {"seed": [1, 2]}}})
    assert not validator.is_valid({**tree, "matrix": {"seed": {"seed": []}}})
    assert not validator.is_valid({**tree, "matrix": {"seed": {"seed": [[1]]}}})
    assert not validator.is_valid({**tree, "matrix": {"seed": {"seed": [1], "x": [2]}}})
    assert not validator.is_valid({**tree, "matrix": {"seed": {"seed": [1], "x": None}}})
    assert not validator.is_valid({**tree, "matrix": {**tree["matrix"], "exclude": [{}]}})


def test_a_spec_without_a_model_needs_a_matrix(validator: Draft202012Validator) -> None:
    assert not validator.is_valid({"name": "a", "stages": {}})
    assert validator.is_valid({"name": "a", "stages": {}, "matrix": {"size": {"small": None}}})


SMALL = """\
name: s
model: {hub: a/b}
data: {train: {use: toy}}
stages:
  sft: {use: train, loss: {use: kto, beta: 0.1}, data: train, lora: {rank: 4}}
"""


def errors(validator: Draft202012Validator, old: str, new: str) -> list[tuple[str, str]]:
    """Returns the places and the messages of all errors after a change of a small spec."""
    assert old in SMALL
    text = SMALL.replace(old, new)
    tree = parse_document(text, name="s.yaml", folder=Path("/specs")).tree
    found = validator.iter_errors(tree)
    return [(".".join(map(str, error.absolute_path)), error.message) for error in found]


def test_the_small_spec_fits_the_schema(validator: Draft202012Validator) -> None:
    assert errors(validator, "", "") == []


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        (
            "data: train,",
            "data: train, batch_size: many,",
            "stages.sft.batch_size",
            "'many' is not",
        ),
        ("data: train,", "data: train, bach_size: 1,", "stages.sft", "'bach_size' was unexpected"),
        ("use: train,", "use: trian,", "stages.sft.use", "'trian' is not valid"),
        ("use: train, ", "", "stages.sft", "'use' is a required property"),
        ("data: train, ", "", "stages.sft", "'data' is a required property"),
        ("beta: 0.1", "beta: high", "stages.sft.loss.beta", "'high' is not of type 'number'"),
        ("beta: 0.1", "betta: 0.1", "stages.sft.loss", "'betta' was unexpected"),
        ("use: kto", "use: kt0", "stages.sft.loss.use", "'kt0' is not valid"),
        ("{use: kto, beta: 0.1}", "kt0", "stages.sft.loss", "'kt0' is not valid"),
        ("rank: 4", "rank: 0", "stages.sft.lora.rank", "0 is less than the minimum of 1"),
        ("rank: 4", "r: 4", "stages.sft.lora", "'r' was unexpected"),
        ("{use: toy}", "{use: toy, size: no}", "data.train.size", "'no' is not of type 'integer'"),
        ("{use: toy}", "[{use: toy, size: no}]", "data.train.0.size", "'no' is not of type"),
        ("model: {hub: a/b}\n", "", "", "'model' is a required property"),
        (
            "loss: {use: kto, beta: 0.1}",
            "loss: kto, reference_point: {use: zero, x: 1}",
            "stages.sft.reference_point",
            "'x' was unexpected",
        ),
    ],
)
def test_a_mistake_is_reported_once_at_its_own_key(
    validator: Draft202012Validator, old: str, new: str, place: str, message: str
) -> None:
    ((found, said),) = errors(validator, old, new)
    assert found == place
    assert message in said


@pytest.mark.parametrize(
    "loss", ["halo-methods/kto", "file:./mine.py:Loss", "{use: 'file:./mine.py:Loss', x: 1}"]
)
def test_other_names_of_a_component_fit_the_schema(
    validator: Draft202012Validator, loss: str
) -> None:
    assert errors(validator, "{use: kto, beta: 0.1}", loss) == []
