"""The catalogue: entries, the index made of them, and the hints that read it."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest

from halo_core.errors import UserError
from halo_core.plugins.builtin_names import RESERVED
from halo_core.plugins.catalogue import catalogue, read_index
from halo_core.plugins.registry import Registry

FOLDER = Path(__file__).parents[2] / "registry"
DISTRIBUTIONS = sorted(path.name for path in FOLDER.parent.glob("plugins/halo-*"))


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))  # it imports modules from its own folder
    spec = importlib.util.spec_from_file_location("registry_build", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_entries_and_index_have_not_drifted_apart(
    build: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build.main(["--check"]) == 0, capsys.readouterr().err


def test_every_distribution_of_the_repository_has_an_entry() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.toml")) == DISTRIBUTIONS
    assert [entry.distribution for entry in catalogue()] == DISTRIBUTIONS


def test_the_index_has_every_reserved_name() -> None:
    found = {(c.kind, c.name): e.distribution for e in catalogue() for c in e.components}
    for kind, names in RESERVED.items():
        for name, owner in names.items():
            if owner != "halo-core":
                assert found[kind, name] == owner


def test_every_component_in_the_index_has_a_summary_and_described_options() -> None:
    index = json.loads((FOLDER / "index.json").read_text())
    for entry in index["distributions"]:
        for component in entry["components"]:
            assert component["summary"].strip(), component["name"]
            assert all(option["description"] for option in component.get("options", ()))


def test_the_schema_of_entries_is_a_schema_and_refuses_an_unknown_key() -> None:
    schema = json.loads((FOLDER / "schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    entry = {"distribution": "halo-acme", "summary": "Losses of Acme", "license": "MIT"}
    jsonschema.validate(entry, schema)
    with pytest.raises(jsonschema.ValidationError, match="'licence' was unexpected"):
        jsonschema.validate({**entry, "licence": "MIT"}, schema)


def test_a_catalogued_name_that_is_not_installed_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    component = {"kind": "loss", "name": "acme/soft", "summary": "Soft."}
    entry = {
        "distribution": "halo-acme",
        "version": "1.0",
        "summary": "Losses of Acme",
        "homepage": "",
        "components": [component],
    }
    file = tmp_path / "index.json"
    file.write_text(json.dumps({"schema": 1, "distributions": [entry]}))
    monkeypatch.setattr("halo_core.plugins.catalogue.catalogue", lambda: read_index(str(file)))
    with pytest.raises(UserError) as caught:
        Registry([]).find("loss", "acme/soft")
    assert str(caught.value) == (
        "the loss 'acme/soft' is in halo-acme, which is not installed: pip install halo-acme"
    )


def test_backslashes_do_not_show_within_code_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    page = importlib.import_module("page")
    assert page._escaped("As what `max_tokens` is *sent*") == "As what `max_tokens` is \\*sent\\*"
    assert page._escaped("`a|b` of <n>") == "`a\\|b` of \\<n\\>"
    assert page._escaped("a lone ` is_no code") == "a lone ` is\\_no code"
