"""`halo runs gc`: what no run needs, what an option chooses, and what is never removed."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest

from halo_core.cache_entry import CacheEntry
from halo_core.cli import call
from halo_core.overview.sizes import size_of
from halo_core.plugins.hook_calls import HookAnswer
from halo_core.tidy import collect
from halo_core.workspace.lock import owned, turn
from halo_core.workspace.records import DATA, DONE, RUN


@pytest.fixture
def runs(made: Any) -> Any:
    """A run with two stages, one of them unfinished, and a stage and rows that no run needs."""
    base, half = made.stage("base", rows=["train"]), made.stage("half", done=False)
    made.run("toy-a1", [base, half], status="interrupted")
    made.stage("orphan", rows=["orphan"])
    made.rows("alone")
    for name in ("base", "half", "orphan"):
        checkpoint = made.root / f"stages/train-{made.key(name)}/checkpoints/last-1"
        checkpoint.mkdir(parents=True)
        (checkpoint / "weights").write_bytes(b"c" * 2000)
    return made


@pytest.fixture
def caches(runs: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Caches of a plugin: free, used now, perhaps used, paid, old; and one outside of the cache."""
    now = time.time()
    entries = []
    for name, in_use, paid, age_days in (
        ("free", False, False, 0),
        ("used", True, False, 0),
        ("unknown", None, False, 0),
        ("paid", False, True, 0),
        ("old", False, False, 30),
    ):
        folder = runs.place.cache / "made" / name
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * 100)
        used = now - age_days * collect.DAY_S
        entries.append(CacheEntry("made", folder, "it is made again", used, in_use, paid))
    outside = CacheEntry("outside", runs.root / "runs", "all is lost", now)
    answers = [
        HookAnswer("halo-made", [*entries, outside, "nothing"]),
        HookAnswer("halo-broken", error=collect.BusyError("it is broken")),
    ]
    monkeypatch.setattr(collect, "call_hook", lambda *_, **__: answers)
    return runs


def told(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> Any:
    assert call(["runs", "gc", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def chosen(answer: Any) -> set[str]:
    return {Path(item["path"]).name for item in answer["items"] if item["chosen"]}


def gone(arguments: list[str], made: Any, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Removes, and returns the names of the outermost folders that are gone."""
    before = made.files()
    told([*arguments, "--yes"], capsys)
    missing = before - made.files()
    outermost = {path for path in missing if str(Path(path).parent) not in missing}
    return {Path(path).name for path in outermost}


def test_a_dry_run_names_what_no_run_needs_and_removes_nothing(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = runs.files()
    answer = told([], capsys)
    names = {f"train-{runs.key('orphan')}", runs.key("orphan"), runs.key("alone")}
    assert chosen(answer) == names
    assert call(["runs", "gc"]) == 0
    text = capsys.readouterr().out
    assert "checkpoints of finished stages  kept without --checkpoints" in text
    assert "to remove. Nothing was removed. To remove it, add --yes" in text
    assert runs.files() == before


def test_what_a_run_needs_stays_and_the_rest_goes(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {f"train-{runs.key('orphan')}", runs.key("orphan"), runs.key("alone")}
    assert gone([], runs, capsys) == names
    assert call(["verify", "--all"]) == 0
    capsys.readouterr()
    assert gone([], runs, capsys) == set()
    assert call(["runs", "gc"]) == 0
    assert "There is nothing to remove now" in capsys.readouterr().out


def test_only_checkpoints_of_finished_stages_go(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    told(["--checkpoints", "--yes"], capsys)
    stages = runs.root / "stages"
    assert not (stages / f"train-{runs.key('base')}/checkpoints").exists()
    assert (stages / f"train-{runs.key('base')}" / DONE.name).exists()
    assert (stages / f"train-{runs.key('half')}/checkpoints/last-1/weights").exists()
    assert call(["verify", "--all"]) == 0
    capsys.readouterr()


def test_checkpoints_that_a_spec_names_stay(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = runs.root / f"stages/train-{runs.key('base')}/checkpoints"
    runs.run("toy-b2", [], options={"model.path": f"{path}/last-1"})
    answer = told(["--checkpoints", "--yes"], capsys)
    assert {i["why_kept"] for i in answer["items"] if i["path"] == str(path)} == {
        "a spec names them"
    }
    assert path.is_dir()


def test_caches_go_by_request_and_paid_ones_by_a_request_of_their_own(
    caches: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    orphans = chosen(told([], capsys))
    assert chosen(told(["--caches"], capsys)) - orphans == {"free", "unknown", "old"}
    assert chosen(told(["--paid-replies"], capsys)) - orphans == {"paid"}
    with owned(caches.root / "runs/toy-a1"):
        assert chosen(told(["--caches"], capsys)) - orphans == {"free", "old"}
    assert gone(["--caches", "--older-than", "7"], caches, capsys) == {"old"}
    assert gone(["--caches"], caches, capsys) - orphans == {"free", "unknown"}
    assert gone(["--paid-replies"], caches, capsys) == {"paid"}
    assert (caches.place.cache / "made/used/file").exists()


def test_a_plugin_that_fails_or_names_another_place_keeps_its_caches(
    caches: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    warnings = told(["--caches", "--yes"], capsys)["warnings"]
    assert "halo-made: halo_caches gave CacheEntry(kind='outside'" in warnings[0]
    assert "expected a CacheEntry with a path below the cache. It is kept" in warnings[0]
    assert "halo_caches gave 'nothing'" in warnings[1]
    assert warnings[2] == "halo-broken: it is broken; its caches are kept"
    assert (caches.root / "runs/toy-a1" / RUN.name).exists()


def test_a_stage_in_work_stays_and_is_named(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    orphan = runs.root / f"stages/train-{runs.key('orphan')}"
    with turn(orphan, first=lambda: None, check=lambda: None):
        answer = told(["--yes"], capsys, code=2)
    assert answer["error"]["message"].startswith(f"{orphan.name}: a process is computing this")
    (item,) = [item for item in answer["items"] if item["path"] == str(orphan)]
    assert (item["chosen"], item["why_kept"]) == (False, "a process works there")
    assert orphan.is_dir()


def test_rows_stay_while_a_run_is_running(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with owned(runs.root / "runs/toy-a1"):
        assert gone([], runs, capsys) == {f"train-{runs.key('orphan')}"}
    assert gone([], runs, capsys) == {runs.key("orphan"), runs.key("alone")}


def test_rows_that_an_unfinished_run_has_not_used_yet_stay(
    runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows are written before the stages that need them begin."""
    waiting = [{"use": "toy", "size": 3, "split": "train", "part": "held 0.1"}]
    folder = runs.rows("waiting").parent
    record = DATA.read(folder)
    DATA.write(folder, {**record, "source": {"use": "toy", "size": 3}})
    stage = runs.stage("begun", done=False)
    later = {**stage, "id": "later", "folder": "stages/train-ffffffffffffffff"}
    runs.run("toy-b2", [stage, later], options={"stages.later.data": waiting}, status=None)
    assert "waiting" not in {
        bytes.fromhex(n).decode() for n in gone([], runs, capsys) if len(n) == 16
    }
    assert folder.is_dir()
    result = runs.root / "stages/train-ffffffffffffffff"
    for path in (runs.root / stage["folder"], result):
        path.mkdir(exist_ok=True)
        DONE.write(path, {"metrics": {}, "headline": ""})
    # The stages are done, and none of their records names the rows.
    assert gone([], runs, capsys) == {folder.name}


def test_links_stay_and_are_not_followed(
    runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    (runs.root / "stages" / f"train-{runs.key('link')}").symlink_to(outside)
    (runs.root / "data" / runs.key("link")).symlink_to(outside)
    (runs.root / f"stages/train-{runs.key('orphan')}" / "link").symlink_to(outside)
    told(["--checkpoints", "--caches", "--yes"], capsys)
    assert (outside / "file").read_text() == "x"
    assert (runs.root / "stages" / f"train-{runs.key('link')}").is_symlink()


def _collect(root: str, codes: Any) -> None:
    os.environ["HALO_WORKSPACE"] = root
    codes.put(call(["runs", "gc", "--yes", "--json"]))


def test_two_at_once_remove_everything_once(runs: Any) -> None:
    context = multiprocessing.get_context("fork")
    codes = context.Queue()
    both = [context.Process(target=_collect, args=(str(runs.root), codes)) for _ in range(2)]
    for process in both:
        process.start()
    ended = sorted(codes.get(timeout=200) for _ in both)
    for process in both:
        process.join()
    assert ended in ([0, 0], [0, 2])
    assert not (runs.root / f"stages/train-{runs.key('orphan')}").exists()
    assert (runs.root / f"stages/train-{runs.key('base')}" / DONE.name).exists()


def test_a_damaged_record_stops_it(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (runs.root / "runs/toy-a1" / RUN.name).write_text("[]")
    before = runs.files()
    message = told(["--yes"], capsys, code=2)["error"]["message"]
    assert "it is not known which stages toy-a1 needs, so nothing is removed" in message
    assert runs.files() - {"trash"} == before


def test_an_empty_workspace_has_nothing_to_remove(
    made: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ([], ["--yes"]):
        assert call(["runs", "gc", *arguments]) == 0
        assert "there is nothing to remove" in capsys.readouterr().out


def test_a_dry_run_shows_where_the_space_is(
    runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs.root / "mlartifacts").mkdir()
    (runs.root / "mlartifacts" / "file").write_bytes(b"x" * 10**6)
    (runs.root / "elsewhere").symlink_to(tmp_path)
    places = told([], capsys)["places"]
    assert next(iter(places)) == "mlartifacts"
    assert places["mlartifacts"] == 10**6
    assert places["elsewhere"] == 0
    assert places["stages"] == size_of(runs.root / "stages")
    assert call(["runs", "gc"]) == 0
    assert "the workspace has 1.0 MB: mlartifacts 1.0 MB, stages " in capsys.readouterr().out
