"""The JSON schema for editors agrees with what `halo` accepts."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from halo_core.spec.document import read_document
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
