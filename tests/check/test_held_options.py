"""`halo check --set` with an option that is a component, or a path."""

from pathlib import Path

import pytest
from pydantic import Field

from halo_core import DataInfo, DataSource, Loaded, UserError
from halo_core.check.held_options import with_held
from halo_core.check.options_rules import as_in_a_spec
from halo_core.plugins.discovery import discover


class Around(DataSource):
    """A source around another one, and around a file."""

    source: DataSource = Field(description="The source.")
    path: str = Field(default="", description="The file.")

    def inspect(self) -> DataInfo:
        return self.source.inspect()

    def load(self, split: str) -> Loaded:
        return self.source.load(split)


def test_a_source_in_an_option_is_made_as_in_a_spec(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "moo"}\n{"text": "baa"}\n', encoding="utf-8")
    given = {"source": {"use": "files", "path": "rows.jsonl"}, "path": "x"}
    options = with_held(Around, given, discover(), tmp_path)
    around = Around.model_validate(options)
    assert around.inspect().feedback == "text"
    assert [row["text"] for row in around.load("train").rows] == ["moo", "baa"]
    assert around.path == "x"


def test_an_unknown_source_in_an_option_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="source: no data source named 'filez'") as caught:
        with_held(Around, {"source": {"use": "filez"}}, discover(), tmp_path)
    assert caught.value.location == "--set"


def test_a_text_that_names_a_file_is_found_without_a_marker(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("moo", encoding="utf-8")
    (tmp_path / "train").write_text("moo", encoding="utf-8")
    for text, path in (("rows.txt", f"{tmp_path}/rows.txt"), ("train", "train"), ("no.x", "no.x")):
        assert as_in_a_spec(Around, {"path": text}, tmp_path)["path"] == path
