"""Descriptions of trackers are checked, freed of credentials, filed by name, and stored."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import halo_core
from halo_core.cli.tracker_lines import label_lines, tracker_links, tracker_rows
from halo_core.errors import DataError, PathError, PluginError
from halo_core.tracker import Tracker, TrackerSession
from halo_core.tracking.descriptions import by_name, describe_all, keep, kept
from halo_core.workspace.records import RUN


class Board(Tracker):
    """Shows runs on a board."""

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        raise NotImplementedError


def describe(answer: object) -> tuple[Mapping[str, Any], list[BaseException]]:
    """Returns the description made from an answer, and the mistakes."""
    failures: list[BaseException] = []
    told = describe_all(
        {"b": Board()}, "describe", lambda _: answer, lambda _, error: failures.append(error)
    )
    return told, failures


def test_a_description_keeps_the_tracker_s_own_keys() -> None:
    answer = {"label": "Board", "url": "http://b/7", "pins": [1, 2.5, None], "by": {"who": "ann"}}
    assert describe(answer) == ({"b": answer}, [])


def test_a_description_without_a_label_gets_the_tracker_s_name() -> None:
    assert describe({"url": "http://b/7"}) == ({"b": {"label": "Board", "url": "http://b/7"}}, [])


@pytest.mark.parametrize("nothing", [None, {}])
def test_a_tracker_that_says_nothing_has_no_entry(nothing: object) -> None:
    assert describe(nothing) == ({}, [])


def test_a_known_key_that_is_none_is_left_out() -> None:
    assert describe({"label": "B", "url": None, "ui": None})[0] == {"b": {"label": "B"}}


def test_credentials_in_a_description_are_hidden() -> None:
    told, _ = describe(
        {
            "url": "http://ann:sesame@b/7?run=3&token=sesame",
            "links": {"more": "http://ann:sesame@b/8"},
            "own": {"api_key": "sesame", "list": ["https://x/?key=sesame#top"]},
        }
    )
    assert told["b"] == {
        "label": "Board",
        "url": "http://***@b/7?run=3&token=***",
        "links": {"more": "http://***@b/8"},
        "own": {"api_key": "***", "list": ["https://x/?key=***#top"]},
    }


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        ("http://b/7", "returned a str; expected a mapping with label, url, ..."),
        ({"url": Path("x")}, "returned 'url': a PosixPath; expected a text"),
        ({"label": 3}, "returned 'label': a int; expected a text"),
        (
            {"links": ["x"]},
            "returned 'links': expected a mapping from the name of a page to its address",
        ),
        (
            {"links": {"x": 3}},
            "returned 'links': expected a mapping from the name of a page to its address",
        ),
        (
            {"at": {"file": Path("x")}},
            "returned 'at': a dict that is not JSON; expected texts, numbers, lists, mappings",
        ),
        (
            {"best": float("nan")},
            "returned 'best': a float that is not JSON; expected texts, numbers, lists, mappings",
        ),
        ({3: "x"}, "returned 3: expected a text as the key"),
    ],
)
def test_what_is_no_description_blames_the_tracker(answer: object, what: str) -> None:
    told, (error,) = describe(answer)
    assert told == {}
    assert isinstance(error, PluginError)
    assert error.message == f"Board.describe() {what}"
    assert str(error.location).startswith(f"{__file__}:")


def test_a_tracker_that_raises_costs_only_its_own_entry() -> None:
    def ask(name: str) -> Mapping[str, object]:
        if name == "bad":
            raise SystemExit(3)
        return {"label": name}

    failed: list[str] = []
    told = describe_all(
        {"bad": Board(), "good": Board()}, "describe", ask, lambda name, _: failed.append(name)
    )
    assert told == {"good": {"label": "good"}}
    assert failed == ["bad"]


def test_two_trackers_of_one_name_have_two_names() -> None:
    first, second = Board(), Board()
    named = by_name([first, second])
    assert list(named) == ["Board", "Board#2"]
    assert named["Board#2"] is second


def test_what_was_said_is_kept_beside_what_others_said_before(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"name": "toy", "trackers": {"a": {"label": "A"}}}))
    keep(RUN, tmp_path, {"b": {"label": "B"}})
    keep(RUN, tmp_path, {})
    assert RUN.read(tmp_path) == {
        "schema": 1,
        "name": "toy",
        "trackers": {"a": {"label": "A"}, "b": {"label": "B"}},
    }
    assert kept(RUN, tmp_path, ["b", "c"]) == {"b": {"label": "B"}}


def test_a_record_of_an_earlier_version_can_be_added_to(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text('{"name": "toy"}')
    assert kept(RUN, tmp_path, ["b"]) == {}
    keep(RUN, tmp_path, {"b": {"label": "B"}})
    assert json.loads(file.read_text())["trackers"] == {"b": {"label": "B"}}


def test_a_record_that_is_none_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text("{")
    assert kept(RUN, tmp_path, ["b"]) == {}
    with pytest.raises(DataError, match=r"run\.json"):
        keep(RUN, tmp_path, {"b": {"label": "B"}})
    assert file.read_text() == "{"


def test_a_record_that_cannot_be_written_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, tree: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("halo_core.workspace.formats.write_json", full)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(PathError) as caught:
        keep(RUN, tmp_path, {"b": {"label": "B"}})
    told = "cannot save where trackers show this: No space left on device"
    assert str(caught.value) == f"{tmp_path / 'run.json'}: {told}"


TWO = {
    "acme/board": {
        "label": "Board",
        "ui": "acme-board serve",
        "url": "http://b/7",
        "links": {"all": "http://b"},
    },
    "acme/board#2": {"label": "Board", "url": "http://c/7", "links": {"all": "http://c"}},
    "quiet": {"label": "Quiet", "store": "somewhere"},
}


def test_people_read_the_command_and_the_page_and_of_a_server_further_pages() -> None:
    assert label_lines([("report", "r.html"), *tracker_rows(TWO)]) == [
        "  report  r.html",
        "  Board   acme-board serve",
        "          then http://b/7",
        "  Board   http://c/7",
        "          all: http://c",
    ]


def test_a_long_label_moves_all_texts() -> None:
    said = {"label": "A rather long one", "url": "http://b"}
    lines = label_lines([("report", "r.html"), *tracker_rows({"x": said})])
    assert lines == ["  report            r.html", "  A rather long one http://b"]


def test_pages_of_one_label_are_told_apart() -> None:
    assert tracker_links(TWO) == {
        "Board (acme/board)": "http://b/7",
        "Board (acme/board): all": "http://b",
        "Board (acme/board#2)": "http://c/7",
        "Board (acme/board#2): all": "http://c",
    }


def test_the_core_knows_no_tracker_by_name_but_whose_bare_name_it_is() -> None:
    folder = Path(halo_core.__file__).parent
    command = ["grep", "-rliE", "mlflow|tracking_uri", str(folder), "--include=*.py"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    # A drafted spec shows how to name a tracker, in a comment.
    known = {folder / "plugins" / "builtin_names.py", folder / "spec" / "draft.py"}
    assert set(map(Path, found)) == known
