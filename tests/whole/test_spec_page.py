"""The reference page of the spec describes every key, option and default of a spec."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from halo_core.option_fields import fields_by_alias, marker_of
from halo_core.option_markers import Default, Refers
from halo_core.plugins.describe import component_class
from halo_core.plugins.discovery import discover
from halo_core.spec.document import parse_document, parse_value
from halo_core.spec.json_schema import spec_schema
from halo_core.spec.spec import TOP_LEVEL, check_spec

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "spec.md").read_text(encoding="utf-8")


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "registry"))
    return importlib.import_module("spec_tables")


def test_every_top_level_key_has_a_row_with_its_description() -> None:
    properties = spec_schema()["properties"]
    assert set(properties) == set(TOP_LEVEL)
    for key in TOP_LEVEL:
        said = re.escape(properties[key]["description"])
        assert re.search(rf"^\| `{key}` \|.*\| {said} \|$", PAGE, re.MULTILINE), key


def test_every_option_that_names_something_of_the_spec_has_a_row(tables: ModuleType) -> None:
    table = tables.references_table()
    for registration in discover().registrations:
        if registration.kind != "stage":
            continue
        for option, info in fields_by_alias(component_class(registration)).items():
            if marker_of(info, Refers) or marker_of(info, Default):
                assert f"| stage `{registration.name}` | `{option}` |" in table


def test_the_table_has_the_defaults_that_name_another_stage(tables: ModuleType) -> None:
    table = tables.references_table()
    previous = "the nearest earlier stage that makes a model, otherwise the spec's `model`"
    assert re.search(rf"`train` \| `from` .*{previous}", table)
    assert re.search(r"`train` \| `reference` .*the same as `from`, if", table)
    assert re.search(r"`judge` \| `against` .*\| `target` \|", table)
    assert re.search(r"`train` \| `reference_point` .*the default of the loss", table)


def test_the_example_has_no_mistakes_and_starts_from_the_models_that_the_page_names(
    tmp_path: Path,
) -> None:
    example = re.findall(r"```yaml\n(name: .*?)```", PAGE, re.DOTALL)[0]
    (tmp_path / "my-model").mkdir()
    (tmp_path / "my-model" / "config.json").write_text("{}")
    rows = '{"prompt": "Hello?", "chosen": "Hello!", "rejected": "What?"}\n'
    (tmp_path / "pairs.jsonl").write_text(rows)
    spec = check_spec(parse_document(example, name="spec.yaml", folder=tmp_path), discover())
    models = {stage.id: stage.models for stage in spec.stages}
    assert models["sft"] == {"from": "model"}
    assert models["kto"] == {"from": "sft", "reference": "sft"}
    assert models["answers"] == {"from": "kto"}


def test_numbers_are_read_as_the_page_says() -> None:
    assert (parse_value("5e-7"), parse_value("5.0e-7")) == (5e-7, 5e-7)
    assert parse_value('"0.1"') == "0.1"
