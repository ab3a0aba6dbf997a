"""The JSON schema for editors agrees with what `halo` accepts."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from halo_core.spec.document import read_document
from halo_core.spec.json_schema import spec_schema

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.yaml"))


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
