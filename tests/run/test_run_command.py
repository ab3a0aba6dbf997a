"""`halo run` on light components: the store, resuming, failures, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.spec.document import parse_value
from halo_core.worker import work
from halo_core.workspace.records import ERROR

Halo = Callable[..., Any]

MADE = Path(__file__).parents[1] / "made_components.py"


def calls(result_json: dict) -> int:  # type: ignore[type-arg]
    folder = Path(result_json["stages"][0]["folder"])
    return len((folder / "calls.txt").read_text().splitlines())


def statuses(result_json: dict) -> list[str]:  # type: ignore[type-arg]
    return [stage["status"] for stage in result_json["stages"]]


def events(result_json: dict) -> list[dict]:  # type: ignore[type-arg]
    lines = (Path(result_json["folder"]) / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_run_writes_everything_under_the_workspace(halo_process: Halo, spec_file: Path) -> None:
    done = halo_process("run", str(spec_file), "--json")
    assert done.code == 0, done.err
    assert done.json["schema"] == 1
    assert statuses(done.json) == ["computed", "computed", "computed"]
    assert done.json["stages"][0]["metrics"] == {"loss": 0.5, "rows": 4}
    assert done.json["trackers"] == {}
    assert sorted(p.name for p in spec_file.parent.iterdir()) == ["spec.yaml", "workspace"]
    folder = Path(done.json["folder"])
    assert folder.parent == spec_file.parent / "workspace" / "runs"
    assert {"spec.yaml", "spec.resolved.yaml", "run.json"} <= {p.name for p in folder.iterdir()}
    record = json.loads((folder / "run.json").read_text())
    assert {c["kind"] for c in record["components"]} == {"stage", "loss", "data"}
    assert all(c["origin"] and c["source"] for c in record["components"])


def test_events_tell_the_run_in_order(halo: Halo, spec_file: Path) -> None:
    found = events(halo("run", str(spec_file), "--json").json)
    assert [e["type"] for e in found[:6]] == [
        "run-started",
        "stage-started",
        "metrics",
        "metrics",
        "stage-ended",
        "stage-started",
    ]
    assert found[-1]["type"] == "run-ended"
    assert found[-1]["status"] == "done"


def test_a_repeated_run_computes_nothing_and_still_reports(halo: Halo, spec_file: Path) -> None:
    first = halo("run", str(spec_file), "--json").json
    second = halo("run", str(spec_file), "--json").json
    assert statuses(second) == ["cached", "cached", "cached"]
    assert second["stages"][0]["metrics"] == first["stages"][0]["metrics"]
    assert calls(second) == 1
    metrics = [e for e in events(second) if e["type"] == "metrics"]
    assert len(metrics) == 2


UNNAMED = """
from halo_core import DataInfo, DataSource, Loaded


class Unnamed(DataSource):
    def inspect(self) -> DataInfo:
        return DataInfo("paired", ("train",), None)

    def load(self, split: str) -> Loaded:
        prompt = [{"role": "user", "content": "q"}]
        return Loaded([{"prompt": prompt, "chosen": "yes", "rejected": "no"}])
"""


def test_a_stored_result_from_data_without_a_digest_is_said(halo: Halo, spec_file: Path) -> None:
    (spec_file.parent / "unnamed.py").write_text(UNNAMED)
    text = spec_file.read_text()
    own = text.replace(
        f'{{use: "file:{MADE}:Pairs", prefix: a}}', '{use: "file:unnamed.py:Unnamed"}'
    )
    spec_file.write_text(own)
    said = "learn: the data set 'train' (Unnamed) tells no digest of its content"
    first = halo("run", str(spec_file))
    assert (first.code, said in first.err + first.out) == (0, False)
    for command in ("plan", "run"):
        again = halo(command, str(spec_file))
        assert (again.code, (again.err + again.out).count(said)) == (0, 1), command


def test_another_spec_takes_what_it_shares_from_the_store(halo: Halo, spec_file: Path) -> None:
    halo("run", str(spec_file), "--json")
    change = ["--set", "data.test.prefix=c", "--set", "name=other"]
    second = halo("run", str(spec_file), *change, "--json").json
    assert statuses(second) == ["cached", "computed", "computed"]
    assert [e["step"] for e in events(second) if e["type"] == "metrics"] == [1, 2]


def test_options_that_only_change_how_are_not_part_of_the_identity(
    halo: Halo, spec_file: Path
) -> None:
    halo("run", str(spec_file))
    change = ["--set", "stages.learn.workers=2"]
    assert statuses(halo("run", str(spec_file), *change, "--json").json) == ["cached"] * 3
    change = ["--set", "stages.learn.rate=2.0"]
    assert statuses(halo("run", str(spec_file), *change, "--json").json)[0] == "computed"


def test_plan_says_what_changed(halo: Halo, spec_file: Path) -> None:
    made = halo("run", str(spec_file), "--json").json["stages"][0]["folder"]
    newer = Path(made.rpartition("-")[0] + "-0")
    newer.mkdir()
    (newer / "stage.json").write_text(
        '{"schema": 2}'
    )  # from a newer halo, so nothing can be compared
    (newer / "done.json").touch()
    plan = halo("plan", str(spec_file), "--set", "stages.learn.loss.beta=0.2", "--json").json
    assert [stage["state"] for stage in plan["stages"]] == ["new", "new", "new"]
    assert plan["stages"][0]["changed"] == ["stage.options.loss.options.beta: 0.1 -> 0.2"]
    assert plan["stages"][0]["data"]["data"]["sources"][0]["rows"] == 4


def test_plan_warns_of_a_disk_that_is_too_small(
    halo: Halo, spec_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough = halo("plan", str(spec_file), "--json").json["disk"]
    assert enough == {"needed": 0, "fits": True}
    monkeypatch.setattr("halo_core.run.forecast.disk_needed", lambda *_: 10**18)
    plan = halo("plan", str(spec_file))
    assert plan.code == 0
    assert f"warning: {spec_file.parent / 'workspace'}: the stages need about 1000000000.0 GB" in (
        plan.err
    )


def test_again_computes_a_stage_and_what_follows(halo: Halo, spec_file: Path) -> None:
    halo("run", str(spec_file))
    again = halo("run", str(spec_file), "--again", "answers", "--json").json
    assert statuses(again) == ["cached", "computed", "computed"]
    wrong = halo("run", str(spec_file), "--again", "answer")
    assert wrong.code == 2
    assert "no such stage; expected one of: learn, answers, win" in wrong.err


def test_an_interrupted_stage_goes_on_and_ends_with_130(halo: Halo, spec_file: Path) -> None:
    stopped = halo("run", str(spec_file), "--set", "stages.learn.fail=interrupt", "--json")
    assert stopped.code == 130
    assert statuses(stopped.json) == ["interrupted", "pending", "pending"]
    assert stopped.json["error"]["type"] == "Interrupted"
    assert "one step is kept" in stopped.json["error"]["message"]
    assert events(stopped.json)[-1]["status"] == "interrupted"
    gone_on = halo("run", str(spec_file), "--json").json
    assert statuses(gone_on)[0] == "computed"
    assert calls(gone_on) == 2


def test_a_users_mistake_in_a_stage_ends_with_2(halo: Halo, spec_file: Path) -> None:
    failed = halo("run", str(spec_file), "--set", "stages.learn.fail=user", "--json")
    assert failed.code == 2
    assert statuses(failed.json) == ["failed", "pending", "pending"]
    assert failed.json["error"] == {
        "type": "UserError",
        "message": "the model is too small",
        "location": "model/config.json",
    }


def test_a_bug_in_a_strangers_component_ends_with_3_and_its_line(
    halo: Halo, spec_file: Path
) -> None:
    failed = halo("run", str(spec_file), "--set", "stages.learn.fail=bug")
    assert failed.code == 3
    assert "raised ZeroDivisionError: a bug of a stranger" in failed.err
    assert "made_components.py:" in failed.err
    assert "Traceback" not in failed.err


def test_a_users_mistake_without_a_place_is_told_at_its_stage(halo: Halo, spec_file: Path) -> None:
    failed = halo("run", str(spec_file), "--set", "stages.learn.fail=user without place")
    assert failed.code == 2
    assert failed.err.strip().endswith("stages.learn: there is no key")


def test_a_stage_that_ends_python_fails_with_3(halo: Halo, spec_file: Path) -> None:
    failed = halo("run", str(spec_file), "--set", "stages.learn.fail=exit", "--json")
    assert failed.code == 3
    assert statuses(failed.json) == ["failed", "pending", "pending"]
    assert "raised SystemExit: 0" in failed.json["error"]["message"]


def test_a_stage_in_whose_name_python_is_ended_fails_with_3(
    spec_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(spec_file.parent)
    # As if a library of a built-in stage raises: no third party's file is in the traceback.
    monkeypatch.setattr("halo_core.run.execute._third_party", lambda error, resolved: None)
    assert call(["run", str(spec_file), "--set", "stages.learn.fail=exit", "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "PluginError"
    assert error["message"].endswith(":Learn.run() raised SystemExit: 0")


def test_a_worker_that_ends_before_its_stage_runs_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaves(*_: object, **__: object) -> None:
        raise SystemExit(0)

    monkeypatch.setattr("halo_core.worker.execute", leaves)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert work(tmp_path) == 1
    record = ERROR.read(tmp_path)
    assert record is not None
    assert (record["type"], record["message"]) == ("SystemExit", "0")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_error_of_a_plugins_own_class_is_told_as_what_it_is(
    halo: Halo, spec_file: Path, workers: str
) -> None:
    arguments = ["--set", "stages.learn.fail=own", "--set", f"stages.learn.workers={workers}"]
    failed = halo("run", str(spec_file), *arguments)
    assert failed.code == 2
    assert failed.err.strip().endswith("stages.learn: no such model: x")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("/no/such/program", "which cannot be started: [Errno 2] No such file or directory"),
        ("/bin/true", "which ended with 0 without done.json in "),
    ],
)
def test_a_command_that_runs_no_stage_is_its_stages_fault(
    halo: Halo, spec_file: Path, command: str, message: str
) -> None:
    failed = halo("run", str(spec_file), "--set", f"stages.learn.program={command}")
    assert failed.code == 3
    assert f"made_components.py:Learn.command() gave ['{command}'], {message}" in failed.err


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise ValueError('no page')", "write() raised ValueError: no page"),
        ("sys.exit(0)", "write() raised SystemExit: 0"),
        ("return None", "write() returned None; expected the Path of a file that it wrote into "),
        ("return Path('page.html')", "write() returned PosixPath('page.html'); expected the Path"),
        ("return run / 'page.html'", "write() returned PosixPath('"),
    ],
)
def test_a_report_that_fails_is_a_warning_with_its_line(
    halo: Halo, spec_file: Path, body: str, told: str
) -> None:
    page = spec_file.with_name("page.py")
    page.write_text(
        "import sys\nfrom pathlib import Path\nfrom halo_core import Report\n\n\n"
        f"class Page(Report):\n    def write(self, run):\n        {body}\n"
    )
    spec_file.write_text(
        spec_file.read_text().replace("reports: []", f"reports: ['file:{page}:Page']")
    )
    done = halo("run", str(spec_file))
    assert done.code == 0
    assert "internal error" not in done.err
    (warning,) = [line for line in done.err.splitlines() if line.startswith("warning: the report")]
    assert told in warning
    assert f"{page}:7: " in warning or f"{page}:8: " in warning


@pytest.mark.slow
def test_errors_of_workers_arrive_as_they_were(halo: Halo, spec_file: Path) -> None:
    workers = ["--set", "stages.learn.workers=2"]
    assert halo("run", str(spec_file), *workers).code == 0
    changed = [*workers, "--set", "stages.learn.rate=3.0"]
    failed = halo("run", str(spec_file), *changed, "--set", "stages.learn.fail=user", "--json")
    assert failed.code == 2
    assert failed.json["error"]["message"] == "the model is too small"
    broken = halo("run", str(spec_file), *changed, "--set", "stages.learn.fail=bug")
    assert broken.code == 3
    assert "made_components.py:" in broken.err


def test_an_interrupted_worker_says_what_it_kept_and_ends_with_130(
    halo: Halo, spec_file: Path
) -> None:
    workers = ["--set", "stages.learn.workers=2", "--set", "stages.learn.fail=interrupt"]
    stopped = halo("run", str(spec_file), *workers)
    assert stopped.code == 130
    assert "stopped; one step is kept" in stopped.err


def test_a_second_signal_stops_at_once_and_says_how_to_go_on(
    halo_process: Halo, spec_file: Path
) -> None:
    stopped = halo_process(
        "run", str(spec_file), "--set", "stages.learn.fail=two signals", "--json"
    )
    assert stopped.code == 143
    assert statuses(stopped.json) == ["interrupted", "pending", "pending"]
    assert stopped.json["error"]["message"] == (
        "stopped; run the same command again to continue from what was saved"
    )
    assert "SIGTERM: saving the state; a second one stops at once" in stopped.err


def test_a_killed_worker_is_reported_and_the_state_kept(halo: Halo, spec_file: Path) -> None:
    workers = ["--set", "stages.learn.workers=2", "--set", "stages.learn.fail=killed"]
    killed = halo("run", str(spec_file), *workers)
    assert killed.code == 1
    assert (
        "a worker was ended by SIGKILL, signal 9; it was killed, possibly because memory"
        in killed.err
    )
    assert "Run the same command again to continue from the last checkpoint" in killed.err
    assert "Traceback" not in killed.err


def test_a_plugin_that_cannot_be_imported_ends_a_run_that_uses_it_with_3(
    halo: Halo, site: Any, spec_file: Path
) -> None:
    site.add("halo-acme", "raise ValueError('boom')\n")
    assert halo("validate", str(spec_file), env=site.env).code == 0
    loss = ["--set", "stages.learn.loss=acme/soft"]
    failed = halo("run", str(spec_file), *loss, env=site.env)
    assert failed.code == 3
    assert "halo-acme 1.0, which is broken: ValueError: boom" in failed.err
    mixed = halo("run", str(spec_file), *loss, "--set", "seed=one", env=site.env)
    assert mixed.code == 2


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_workspace_that_cannot_be_made_ends_with_2(
    command: str, halo: Halo, spec_file: Path
) -> None:
    failed = halo(command, str(spec_file), "--workspace", str(spec_file))
    assert failed.code == 2
    assert failed.err.startswith(f"{spec_file}: this cannot be the workspace: File exists; ")
    assert "Name another with --workspace or HALO_WORKSPACE" in failed.err


def test_the_same_content_in_train_and_test_is_an_error(halo: Halo, spec_file: Path) -> None:
    same = ["--set", "data.test.prefix=a", "--set", "data.test.split=train"]
    failed = halo("run", str(spec_file), *same)
    assert failed.code == 2
    assert "data set 'test': 4 of its 4 rows are also in 'train'" in failed.err


def test_overlap_warn_allows_the_same_content_and_changes_no_result(
    halo: Halo, spec_file: Path
) -> None:
    same = ["--set", "data.test.prefix=a", "--set", "data.test.split=train"]
    done = halo("run", str(spec_file), *same, "--set", "overlap=warn", "--json")
    assert done.code == 0, done.err
    assert done.err.count("4 of 4 rows of 'test' are also in 'train'") == 1
    resolved = (Path(done.json["folder"]) / "spec.resolved.yaml").read_text()
    assert "\noverlap: warn\n" in resolved
    new = ["--set", "data.test.prefix=a", "--set", "data.test.split=test"]
    first = halo("run", str(spec_file), *new, "--json").json
    again = halo("run", str(spec_file), *new, "--set", "overlap=warn", "--json").json
    assert {stage["status"] for stage in again["stages"]} == {"cached"}
    assert again["run"] == first["run"]


def test_a_model_in_the_store_is_not_tested_on_what_it_learned(halo: Halo, spec_file: Path) -> None:
    assert halo("run", str(spec_file)).code == 0
    same = ["--set", "data.test.prefix=a", "--set", "data.test.split=train"]
    failed = halo("run", str(spec_file), *same)
    assert failed.code == 2
    assert "data set 'test': 4 of its 4 rows are also in 'train'" in failed.err


def test_a_missing_spec_and_a_wrong_set_end_with_2(halo: Halo, spec_file: Path) -> None:
    assert halo("run", "nowhere.yaml").code == 2
    wrong = halo("run", str(spec_file), "--set", "seed", "--json")
    assert wrong.code == 2
    assert wrong.json["error"]["location"] == "--set seed"


def test_data_previews_a_source_and_the_sets_of_a_spec(halo: Halo, spec_file: Path) -> None:
    one = halo("data", f"file:{MADE}:Pairs", "--set", "count=3", "--json")
    assert one.code == 0, one.err
    assert (one.json["feedback"], one.json["rows"]) == ("paired", 3)
    assert one.json["dropped"] == {"too odd": 2}
    sets = halo("data", str(spec_file), "--json").json
    assert set(sets["sets"]) == {"train", "test"}
    assert sets["rows"] == 8
    text = halo("data", f"{spec_file}:test", "--show", "1").out
    assert "test: 4 rows of paired feedback, 4 prompts" in text
    assert text.count("user ") == 1


def test_validate_prints_one_line(halo: Halo, spec_file: Path) -> None:
    done = halo("validate", str(spec_file))
    assert done.code == 0
    expected = f"{spec_file} is valid: 3 stages. Next: halo plan {spec_file}"
    assert done.out == f"{expected}\n"
    page = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
    assert expected.replace(str(spec_file), "spec.yaml") in page.read_text(encoding="utf-8")


def test_validate_prints_the_resolved_spec_if_asked(halo: Halo, spec_file: Path) -> None:
    done = halo("validate", str(spec_file), "--resolved")
    assert done.code == 0
    first, _, rest = done.out.partition("\n")
    assert first == f"# {spec_file} is valid: 3 stages. Next: halo plan {spec_file}"
    assert parse_value(rest) == halo("validate", str(spec_file), "--json").json["resolved"]
    assert "rate: 1.0" in rest
    assert halo("validate", str(spec_file), "--json").json["resolved"]["seed"] == 1
