"""`halo runs`: the list, one run, two runs, names and notes."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.events import EventLog
from halo_core.overview import follow as following
from halo_core.overview.follow import follow
from halo_core.overview.run_entry import run_entries
from halo_core.overview.run_state import run_state
from halo_core.overview.sizes import size_of
from halo_core.overview.varying import varying
from halo_core.workspace.layout import find
from halo_core.workspace.lock import owned
from halo_core.workspace.records import EVENTS, OWNER, RESOLVED_SPEC, RUN, TITLE, OwnerRecord
from halo_core.workspace.run_title import run_title


@pytest.fixture
def runs(made: Any) -> Any:
    """Three runs of one spec, of which two share a stage, and a suite of two cells."""
    base = made.stage("base", rows=["train"])
    weak = made.stage("weak", rows=["train"], metrics={"win": 0.25, "n": 10.0}, size=5000)
    strong = made.stage("strong", metrics={"win": 0.75, "n": 10.0})
    beta = "stages.kto.beta"
    made.run("toy-a1", [base, weak], options={beta: 0.1, "seed": 1}, versions={"torch": "2.9"})
    made.run("toy-b2", [base, strong], options={beta: 0.2, "seed": 1}, versions={"torch": "3.0"})
    made.run("odd-c3", [made.stage("new", done=False)], spec="odd", status=None)
    cells = {
        id_: made.run(f"fam-{id_}-d4", [base], spec="fam", cell=made.cell("fam-9f", id_))
        for id_ in ("kto", "dpo")
    }
    made.suite("fam-9f", {**cells, "sft": None})
    return made


def told(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> Any:
    assert call(["runs", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def said(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    assert call(["runs", *arguments]) == code
    both = capsys.readouterr()
    return both.out + both.err


def test_the_list_names_what_varies_the_state_the_result_and_the_size(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {run["name"]: run for run in told([], capsys)["runs"]}
    assert found["toy-a1"]["varies"] == {"kto.beta": "0.1", "weak": "train", "strong": "none"}
    assert found["fam-kto-d4"]["varies"] == {"method": "kto"}
    assert found["odd-c3"]["varies"] == {}
    states = {name: run["state"] for name, run in found.items()}
    assert states["toy-a1"] == "done"
    assert states["odd-c3"] == "killed"
    assert found["toy-a1"]["headline"] == "toy-a1 is good"
    assert found["odd-c3"]["headline"] == "new: step 3, loss 0.5"
    folders = [
        runs.root / stage["folder"] for stage in RUN.read(runs.root / "runs/toy-a1")["stages"]
    ]
    whole = sum(map(size_of, [runs.root / "runs/toy-a1", *folders]))
    assert found["toy-a1"]["size"] == whole > 6000
    text = said([], capsys)
    assert "kto.beta=0.1" in text
    assert "suite fam-9f: 2 computed, 1 pending" in text


def test_the_last_active_run_comes_first_unless_asked_otherwise(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [run["name"] for run in told([], capsys)["runs"]][-1] == "toy-a1"
    assert told(["--sort", "size"], capsys)["runs"][0]["name"] == "toy-a1"
    names = [run["name"] for run in told(["--sort", "name"], capsys)["runs"]]
    assert names == sorted(names)


def test_runs_that_are_left_out_are_counted(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert "1 of 5 runs; 1 more fit, without --limit" in said(
        ["--spec", "toy", "--limit", "1"], capsys
    )
    killed = told(["--state", "killed", "--state", "new"], capsys)
    assert [run["name"] for run in killed["runs"]] == ["odd-c3"]
    assert (killed["matching"], killed["total"]) == (1, 5)
    assert "none of the 5 runs fits" in said(["--state", "failed"], capsys)
    assert [run["cell"] for run in told(["--spec", "fam-9f"], capsys)["runs"]] == ["dpo", "kto"]


def test_wrong_names_are_answered_with_the_nearest(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Did you mean 'toy'? Specs: fam, odd, toy" in said(["--spec", "toi"], capsys, code=2)
    assert "no subcommand 'shw'. Did you mean 'show'?" in said(["shw"], capsys, code=2)
    assert "To show a run: halo runs show toy" in said(["toy"], capsys, code=2)
    assert "Did you mean 'toy-a1'?" in said(["show", "tou-a1"], capsys, code=2)
    assert "is a suite; name one of its runs" in said(["diff", "fam", "toy"], capsys, code=2)
    assert "is a suite; name" in said(["show", "fam", "--follow"], capsys, code=2)
    gone = ["--workspace", str(runs.root / "gone")]
    assert "there is no such folder" in said(gone, capsys, code=2)
    assert not (runs.root / "gone").exists()


def test_an_empty_workspace_has_no_runs(made: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert "has no runs yet. Start one: halo run SPEC" in said([], capsys)


def test_a_run_whose_record_cannot_be_read_is_listed_with_the_reason(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs.root / "runs/toy-a1" / RUN.name).write_text('{"schema": 99}')
    found = {run["name"]: run for run in told([], capsys)["runs"]}
    assert "is of version 99, from another halo" in found["toy-a1"]["problem"]
    assert found["toy-b2"]["problem"] is None
    assert "is of version 99" in said(["diff", "toy-a1", "toy-b2"], capsys, code=2)


@pytest.mark.parametrize(
    ("status", "error", "state", "headline"),
    [
        ("done", None, "done", "toy-a1 is good"),
        ("failed", "UserError: no room\nfor it", "failed", "UserError: no room"),
        ("interrupted", "Interrupted: saved", "interrupted", "toy-a1 is good"),
        (None, None, "killed", "base: step 3, loss 0.5"),
    ],
)
def test_the_state_is_that_of_the_last_event(
    made: Any, status: str | None, error: str | None, state: str, headline: str
) -> None:
    folder = made.run("toy-a1", [made.stage("base")], status=status, error=error)
    found = run_state(folder)
    assert (found.state, found.headline) == (state, headline)


def test_a_run_whose_folder_is_locked_is_running_and_one_with_an_old_owner_is_not(
    made: Any,
) -> None:
    folder = made.run("toy-a1", [made.stage("base")], status=None)
    with owned(folder):
        assert run_state(folder).state == "running"
    OWNER.write(folder, OwnerRecord(host="elsewhere", process=1, since=0.0))
    assert run_state(folder).state == "killed"
    (folder / OWNER.name).write_text("{")
    assert run_state(folder).state == "killed"


def test_damaged_events_do_not_hide_a_run(made: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made.run("toy-a1", [made.stage("base")])
    (folder / EVENTS.name).write_bytes(b"\xff\n")
    assert told([], capsys)["runs"][0]["state"] == "new"


def test_a_run_is_shown_with_its_stages_and_what_other_runs_share(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = told(["show", "toy-a1"], capsys)
    base, weak = shown["stages"]
    assert (base["state"], base["shared_with"]) == ("done", ["fam-dpo-d4", "fam-kto-d4", "toy-b2"])
    assert (weak["shared_with"], weak["metrics"]) == ([], {"win": 0.25, "n": 10.0})
    assert shown["own_size"] == shown["size"] - base["size"]
    text = said(["show", "toy-a1"], capsys)
    assert "weak learned" in text
    assert "of which no other run uses" in text
    assert told(["show", "odd"], capsys)["stages"][0]["state"] == "started"


def test_a_suite_is_shown_as_the_runs_of_its_cells(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [run["cell"] for run in told(["show", "fam"], capsys)["runs"]] == ["dpo", "kto"]
    runs.suite("new-9f", {"kto": None})
    assert told(["show", "new-9f"], capsys)["runs"] == []


def test_a_stage_outside_of_the_workspace_is_not_looked_at(
    made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = made.stage("base")
    for place in ("../elsewhere", str(tmp_path), "stages/../..", "stages/..", "stages"):
        made.run(f"toy-{abs(hash(place))}", [{**stage, "folder": place}], spec=place)
    for run in told([], capsys)["runs"]:
        (shown,) = told(["show", run["name"]], capsys)["stages"]
        assert (shown["folder"], shown["size"]) == (None, 0)


def test_two_runs_differ_in_their_specs_versions_and_results(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(["diff", "toy-a1", "toy-b2"], capsys)
    assert {"path": "stages.kto.beta", "a": "0.1", "b": "0.2"} in found["spec"]
    assert found["versions"] == [{"path": "torch", "a": "2.9", "b": "3.0"}]
    assert found["data"] == []
    assert {"stage": "weak", "metric": "win", "a": 0.25, "b": None, "difference": None} in found[
        "results"
    ]
    assert "data: the same" in said(["diff", "toy-a1", "toy-b2"], capsys)
    same = said(["diff", "toy-a1", "toy-a1"], capsys)
    assert "results: the same (2 compared)" in same


def test_numbers_of_one_stage_are_compared_and_equal_ones_counted(
    made: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, win in (("toy-a1", 0.25), ("toy-b2", 0.75)):
        stage = made.stage(f"{name}s", metrics={"win": win, "n": 10.0})
        made.run(name, [{**stage, "id": "win"}])
    found = told(["diff", "toy-a1", "toy-b2"], capsys)
    assert found["results"] == [
        {"stage": "win", "metric": "win", "a": 0.25, "b": 0.75, "difference": 0.5}
    ]
    assert found["same_results"] == 1
    assert "the same in both: 1" in said(["diff", "toy-a1", "toy-b2"], capsys)


def test_a_name_is_shown_and_found_and_changes_no_folder(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = RUN.read(runs.root / "runs/toy-a1")
    assert "toy-a1 is shown as the best" in said(["rename", "toy-a1", " the best "], capsys)
    assert find("the best", runs.root).folder.name == "toy-a1"
    assert "the best" in said([], capsys)
    assert told(["show", "the best"], capsys)["title"] == "the best"
    assert RUN.read(runs.root / "runs/toy-a1") == before
    assert run_title(runs.root / "runs/toy-a1") == "the best"
    assert call(["verify", "--all"]) == 0
    capsys.readouterr()
    assert "Did you mean 'the best'?" in said(["show", "the bst"], capsys, code=2)
    assert "toy-a1: the name that you gave is removed" in said(["rename", "the best", ""], capsys)
    assert not (runs.root / "runs/toy-a1" / TITLE.name).exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("toy-b2", "the run toy-b2 has this name; choose another"),
        ("taken", "the suite fam-9f has this name; choose another"),
        ("a/b", "the name has '/'"),
        ("a:b", "the name has ':'"),
        ("\x1b[31m", "it contains the control character '\\x1b'"),
        ("x" * 101, "101 characters; expected a name of at most 100"),
    ],
)
def test_a_name_that_another_has_or_that_cannot_be_typed_is_refused(
    runs: Any, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["runs", "rename", "fam-9f", "taken"]) == 0
    assert message in said(["rename", "toy-a1", name], capsys, code=2)
    assert not (runs.root / "runs/toy-a1" / TITLE.name).exists()


def test_a_note_is_kept_with_the_name_and_removed_when_empty(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    said(["rename", "toy-a1", "best"], capsys)
    assert "half the data" in said(["note", "best", "half the data\nof May"], capsys)
    assert told(["note", "best"], capsys)["note"] == "half the data\nof May"
    assert "(half the data)" in said([], capsys)
    assert "of May" in said(["show", "best"], capsys)
    said(["note", "best", ""], capsys)
    assert "toy-a1 has no note" in said(["note", "best"], capsys)
    assert told(["show", "best"], capsys)["title"] == "best"


def test_a_damaged_name_counts_as_none_and_is_found_by_verify(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    said(["rename", "toy-a1", "best"], capsys)
    path = runs.root / "runs/toy-a1" / TITLE.name
    path.write_text(path.read_text().replace("best", "worst"))
    assert told(["show", "toy-a1"], capsys)["title"] == ""
    assert call(["verify", "toy-a1"]) == 1
    assert TITLE.name in capsys.readouterr().out


def test_a_running_run_is_followed_to_its_end(
    made: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(following, "POLL_S", 0.01)
    monkeypatch.setattr(following, "GRACE_S", 0.02)
    folder = made.run("toy-a1", [made.stage("base")], status=None)
    log, begun, seen = EventLog(folder / EVENTS.name), threading.Event(), []

    def work() -> None:
        with owned(folder):
            begun.set()
            log.append("stage-ended", stage="base", headline="learned", status="computed")
            log.append("run-ended", status="done", headline="learned", error=None)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    seen = [event["type"] for event in follow(folder)]
    thread.join()
    assert seen[-2:] == ["stage-ended", "run-ended"]
    text = said(["show", "toy-a1", "--follow"], capsys)
    assert "toy-a1 is done, not running; these are its events" in text
    assert "base  step 3  loss 0.5\nbase: learned\ndone\n" in text
    assert "leave one of them out" in said(["show", "toy-a1", "--follow", "--json"], capsys, code=2)


def test_what_varies_is_read_from_specs_with_aliases_too(made: Any) -> None:
    for name, beta in (("toy-a1", 1), ("toy-b2", 2)):
        folder = made.run(name, [made.stage("base")])
        text = f"stages:\n  kto: &id001\n    beta: {beta}\n  dpo: *id001\n"
        (folder / RESOLVED_SPEC).write_text(text)
    found = {folder.name: options for folder, options in varying(run_entries(made.place)).items()}
    assert found["toy-a1"] == {"kto.beta": "1"}


def test_options_that_vary_alike_count_once_and_others_each(made: Any) -> None:
    values = {"toy-a1": (1, 1, 0.1), "toy-b2": (2, 2, 0.1), "toy-c3": (2, 2, 0.2)}
    for name, (seed, data_seed, beta) in values.items():
        options = {"seed": seed, "data.train.seed": data_seed, "stages.base.beta": beta}
        made.run(name, [made.stage("base")], options=options)
    found = {folder.name: options for folder, options in varying(run_entries(made.place)).items()}
    assert found["toy-b2"] == {"seed": "2", "base.beta": "0.1"}


def test_a_narrow_terminal_shows_each_run_in_lines_and_cuts_nothing(
    runs: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "50")
    lines = said(["--spec", "odd"], capsys).splitlines()
    assert lines[0].startswith("odd-c3  killed  20")
    assert lines[0].endswith("kB")
    assert lines[1] == "    new: step 3, loss 0.5"
