import json

import pytest

from halo_core.errors import DataError
from halo_core.workspace.check_values import check_value
from halo_report.read.run_data import read_curves, read_run, stage_options


def metrics(step, **values):
    return {"type": "metrics", "stage": "kto", "step": step, "metrics": values}


def test_the_last_of_repeated_steps_holds_and_steps_are_in_order():
    events = [metrics(2, loss=9.0), metrics(1, loss=3.0), metrics(2, loss=2.0, lr=0.1)]
    assert read_curves(events) == {"loss": {1: 3.0, 2: 2.0}, "lr": {2: 0.1}}
    assert list(read_curves(events)["loss"]) == [1, 2]


def test_a_whole_run_is_read(write_run):
    run = read_run(write_run(prompts=6, steps=20))
    assert [stage.id for stage in run.stages] == [
        "sft",
        "kto",
        "before",
        "after",
        "win-sft",
        "win-kto",
    ]
    stages = {stage.id: stage for stage in run.stages}
    assert run.status == "done"
    assert run.headline == "win-kto is done"
    assert (stages["kto"].use, stages["kto"].loss, stages["sft"].status) == (
        "train",
        "kto",
        "computed",
    )
    assert stages["kto"].curves["rewards/desirable"][20] == 0.25
    assert len(stages["before"].samples) == len(stages["win-kto"].verdicts) == 6
    assert run.resolved == "name: toy\nseed: 0\n"
    assert run.warnings == [("after", "2 of 26 prompts have no target")]
    assert run.components[0]["name"] == "kto"


def test_an_empty_folder_is_a_run_that_has_not_begun(tmp_path):
    folder = tmp_path / "runs" / "empty"
    folder.mkdir(parents=True)
    run = read_run(folder)
    assert (run.name, run.status, list(run.stages), run.started) == ("empty", "running", [], None)


def test_a_run_that_failed_says_in_which_stage_and_why(write_run, event_log):
    run = write_run()
    log = event_log(run)
    log.append("run-started", name="toy", run=run.name)
    log.append("stage-started", stage="kto", use="train", folder="stages/gone", resumed=True)
    log.append("run-ended", status="failed", headline="", error="ValueError: no memory")
    data = read_run(run)
    assert (data.status, data.error) == ("failed", "ValueError: no memory")
    assert {stage.id: stage.status for stage in data.stages}["kto"] == "failed"


def test_a_stage_that_was_not_reached_is_pending(write_run):
    run = write_run()
    events = run / "events.jsonl"
    lines = events.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines[1:] if '"after"' not in line or '"warning"' in line]
    kept = [lines[0], *(line for line in kept if '"win-' not in line)]
    events.write_text("".join(kept), encoding="utf-8")
    data = read_run(run)
    assert {stage.id: stage.status for stage in data.stages}["after"] == "pending"
    assert data.status == "running"


def test_an_earlier_end_does_not_hold_after_a_new_start(write_run, event_log):
    run = write_run()
    log = event_log(run)
    log.append("run-ended", status="interrupted", headline="", error="stopped")
    log.append("run-started", name="toy", run=run.name)
    assert (read_run(run).status, read_run(run).error) == ("done", "")


def test_a_run_without_its_record_is_read_from_its_events(write_run):
    run = write_run()
    (run / "run.json").unlink()
    data = read_run(run)
    assert data.name == "toy-1234"
    assert [stage.use for stage in data.stages] == [
        "train",
        "train",
        "sample",
        "sample",
        "judge",
        "judge",
    ]


def cut(path, *, lines, letters=0):
    """Keeps a number of lines of a file, and the first letters of the next line."""
    held = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(held[:lines]) + held[lines][:letters], encoding="utf-8")


def test_a_verdict_that_was_cut_off_while_its_stage_runs_is_left_out(write_run, event_log):
    run = write_run(prompts=6)
    path = run.parent.parent / "stages" / "judge-win-kto" / "verdicts.jsonl"
    before = read_run(run).stages[-1].verdicts
    cut(path, lines=5, letters=20)
    where = {"use": "judge", "folder": "stages/judge-win-kto"}
    event_log(run).append("stage-started", stage="win-kto", **where, resumed=True)
    assert read_run(run).stages[-1].verdicts == before[:5]


def test_a_verdict_that_was_cut_off_while_another_run_computes_it_is_left_out(write_run):
    run = write_run(prompts=6)
    folder = run.parent.parent / "stages" / "judge-win-kto"
    (folder / "done.json").unlink()
    cut(folder / "verdicts.jsonl", lines=5, letters=20)
    assert len(read_run(run).stages[-1].verdicts) == 5


def test_a_verdict_of_a_finished_stage_that_was_cut_off_is_told(write_run):
    run = write_run(prompts=6)
    path = run.parent.parent / "stages" / "judge-win-kto" / "verdicts.jsonl"
    cut(path, lines=5, letters=20)
    with pytest.raises(DataError, match=rf"^{path}:6: got .*; expected a JSON object with"):
        read_run(run)


@pytest.mark.parametrize(
    ("id_", "name"),
    [("after", "sample-after/samples.jsonl"), ("win-kto", "judge-win-kto/verdicts.jsonl")],
)
@pytest.mark.parametrize(("lines", "holds"), [(4, "4 lines"), (1, "1 line"), (0, "0 lines")])
def test_lines_that_a_finished_stage_lacks_are_told(write_run, id_, name, lines, holds):
    run = write_run(prompts=6)
    path = run.parent.parent / "stages" / name
    cut(path, lines=lines)
    with pytest.raises(DataError) as caught:
        read_run(run)
    assert str(caught.value) == (
        f"{path}: holds {holds}; expected 6, as its stage wrote. "
        "Compute its stage again: halo run SPEC --again STAGE"
    )


def test_a_stage_that_says_no_number_of_lines_is_read_as_it_is(write_run):
    run = write_run(prompts=6)
    events = run / "events.jsonl"
    lines = events.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if '"type": "verdicts"' not in line]
    assert len(kept) == len(lines) - 2
    events.write_text("".join(kept), encoding="utf-8")
    cut(run.parent.parent / "stages" / "judge-win-kto" / "verdicts.jsonl", lines=5)
    assert len(read_run(run).stages[-1].verdicts) == 5


def test_a_damaged_verdict_is_named_by_file_and_line(write_run):
    run = write_run()
    path = run.parent.parent / "stages" / "judge-win-kto" / "verdicts.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"flip"', '"flop"', 1), "utf-8")
    with pytest.raises(DataError, match=rf"^{path}:1: got .* without flip; expected a JSON object"):
        read_run(run)


@pytest.mark.parametrize(
    ("id_", "name"),
    [("after", "sample-after/samples.jsonl"), ("win-kto", "judge-win-kto/verdicts.jsonl")],
)
def test_missing_lines_are_no_lines(write_run, id_, name):
    run = write_run()
    (run.parent.parent / "stages" / name).unlink()
    (stage,) = [stage for stage in read_run(run).stages if stage.id == id_]
    assert (list(stage.samples), list(stage.verdicts)) == ([], [])


def test_stages_have_the_options_of_the_resolved_spec(write_run):
    run = write_run()
    (run / "spec.resolved.yaml").write_text(
        "stages: {kto: {use: train, batch_size: 8}}\n", encoding="utf-8"
    )
    stages = {stage.id: stage for stage in read_run(run).stages}
    assert stages["kto"].options == {"use": "train", "batch_size": 8}
    assert stages["sft"].options == {}


@pytest.mark.parametrize("text", ["", "- 1\n", "stages: [1]\n", "stages: {a: 1}\n", "a: [\n"])
def test_a_spec_without_stages_or_damaged_has_no_options(text):
    assert stage_options(text) == {}


@pytest.mark.parametrize("content", [b"", bytes(900)])
def test_events_that_are_lost_are_an_error_and_not_a_run_that_begins(write_run, content):
    run = write_run()
    events = run / "events.jsonl"
    events.write_bytes(content)
    with pytest.raises(DataError, match="does not contain the start of the run") as error:
        read_run(run)
    assert error.value.location == str(events)
    assert "run the same command again" in error.value.message
    events.unlink()
    with pytest.raises(DataError, match="does not contain the start of the run"):
        read_run(run)


def record_files(folder, record, *names):
    """Writes check values of files into a record of their folder."""
    tree = json.loads((folder / record).read_text())
    tree.pop("crc", None)
    tree["files"] = {name: check_value(folder / name) for name in names}
    (folder / record).write_text(json.dumps(tree))


def test_a_letter_of_the_samples_that_changed_is_an_error(write_run):
    run = write_run()
    (stage,) = [
        s for s in json.loads((run / "run.json").read_text())["stages"] if s["id"] == "after"
    ]
    folder = run.parent.parent / stage["folder"]
    record_files(folder, "done.json", "samples.jsonl")
    read_run(run)
    samples = folder / "samples.jsonl"
    line = json.loads(samples.read_text().splitlines()[0])
    changed = line["completion"][::-1].upper()
    samples.write_text(samples.read_text().replace(line["completion"], changed))
    with pytest.raises(DataError, match="holds other bytes than were written") as error:
        read_run(run)
    assert error.value.location == str(samples)
    assert "halo run computes the stage again" in error.value.message


@pytest.mark.parametrize("name", ["spec.yaml", "spec.resolved.yaml"])
def test_a_spec_that_changed_or_is_gone_is_an_error(write_run, name):
    run = write_run()
    (run / "spec.yaml").write_text("name: toy\n")
    record_files(run, "run.json", "spec.yaml", "spec.resolved.yaml")
    read_run(run)
    (run / name).write_bytes(b"name: \xe2oy")
    with pytest.raises(DataError, match="holds other bytes than were written") as error:
        read_run(run)
    assert error.value.location == str(run / name)
    (run / name).unlink()
    with pytest.raises(DataError, match="is gone; expected the file as halo wrote it"):
        read_run(run)


def test_a_record_that_is_gone_is_a_warning_on_the_page(write_run):
    run = write_run()
    (run / "run.json").unlink()
    assert [text for _, text in read_run(run).warnings if text.startswith("run.json is gone")]
