"""The cells of a suite as jobs: exported, and submitted through submitit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import WorkerError
from halo_core.plugins.allowed_files import allowed_folders
from halo_core.suite.submit import CellJob

Halo = Callable[..., Any]

SBATCH = """\
#!/bin/sh
n=$(ls "$SUBMITTED" | wc -l)
cp "$1" "$SUBMITTED/$n.sh"
echo "Submitted batch job $((100 + n))"
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that records the input of a stand-in for sbatch."""
    programs, submitted = tmp_path / "bin", tmp_path / "submitted"
    programs.mkdir()
    submitted.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", "#!/bin/sh\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SUBMITTED", str(submitted))
    return submitted


def test_an_exported_plan_has_a_command_per_cell_and_what_it_waits_for(
    halo: Halo, suite_file: Path, tmp_path: Path
) -> None:
    done = halo("plan", str(suite_file), "--set", "seed=3", "--export", "plan.json")
    assert done.code == 0, done.err
    found = json.loads((tmp_path / "plan.json").read_text())
    assert found["schema"] == 1
    assert [cell["needs"] for cell in found["cells"]] == [
        [],
        ["small/none"],
        ["small/none"],
        [],
        ["large/none"],
        ["large/none"],
    ]
    assert found["cells"][1]["command"] == [
        "halo",
        "run",
        str(suite_file),
        "--set",
        "seed=3",
        "--workspace",
        str(tmp_path / "workspace"),
        "--cell",
        "small/weak",
        *(word for folder in allowed_folders() for word in ("--allow-file", str(folder))),
    ]
    (waits,) = found["cells"][1]["waits_for"]
    assert (waits["stage"], waits["cell"]) == ("base", "small/none")


def test_nothing_is_waited_for_that_is_done(halo: Halo, suite_file: Path, tmp_path: Path) -> None:
    halo("run", str(suite_file), "--cell", "small/none")
    halo("plan", str(suite_file), "--cell", "small/*", "--export", "plan.json")
    found = json.loads((tmp_path / "plan.json").read_text())
    assert [cell["needs"] for cell in found["cells"]] == [[], [], []]
    assert found["cells"][0]["to_do"] == []


@pytest.mark.slow
def test_local_jobs_run_the_cells_and_share_their_stages(
    halo: Halo, suite_file: Path, tmp_path: Path
) -> None:
    done = halo("run", str(suite_file), "--cell", "small/*", "--submit", "local", "--json")
    assert done.code == 0, done.err
    assert list(done.json["jobs"]) == ["small/none", "small/weak", "small/strong"]
    folder = Path(done.json["folder"])
    assert json.loads((folder / "jobs.json").read_text())["jobs"] == done.json["jobs"]
    deadline = time.monotonic() + 200
    while True:
        cells = json.loads((folder / "suite.json").read_text())["cells"][:3]
        if all(cell["status"] == "computed" for cell in cells):
            break
        assert time.monotonic() < deadline, cells
        time.sleep(0.1)
    files = (tmp_path / "workspace" / "stages").glob("Learn-*/calls.txt")
    assert [file.read_text() for file in files] == ["called\n"] * 3
    again = halo("run", str(suite_file), "--cell", "small/*", "--submit", "local")
    assert "Every cell is done." in again.out


def test_slurm_gets_the_options_and_starts_a_cell_after_those_it_shares_stages_with(
    halo: Halo, suite_file: Path, slurm: Path
) -> None:
    options = ["timeout_min=90", "gpus_per_node=2", "partition=gpu", "constraint=a100"]
    given = [word for option in options for word in ("--submit-option", option)]
    some = ["--cell", "small/*", "--submit", "slurm", *given, "--json"]
    done = halo("run", str(suite_file), *some)
    assert done.code == 0, done.err
    assert done.json["jobs"] == {"small/none": "100", "small/weak": "101", "small/strong": "102"}
    first, second, third = [path.read_text() for path in sorted(slurm.iterdir())]
    for line in ("time=90", "gpus-per-node=2", "partition=gpu", "constraint=a100"):
        assert f"#SBATCH --{line}\n" in first
    assert "#SBATCH --job-name=halo-small-none\n" in first
    assert "--dependency" not in first
    assert "#SBATCH --dependency=afterany:100\n" in second
    assert "#SBATCH --dependency=afterany:100\n" in third


def test_slurm_needs_a_time_limit(halo: Halo, suite_file: Path, slurm: Path) -> None:
    refused = halo("run", str(suite_file), "--submit", "slurm")
    assert refused.code == 2
    assert refused.err == (
        "--submit slurm: a job needs a time limit, as in --submit-option timeout_min=240\n"
    )
    assert list(slurm.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["partition=gpu"], "--submit-option: got partition; for jobs on this machine"),
        (["nodes=[1]"], "--submit-option nodes: got '[1]'; expected a text or number"),
    ],
)
def test_a_wrong_option_of_jobs_is_refused(
    halo: Halo, suite_file: Path, options: list[str], message: str
) -> None:
    given = [word for option in options for word in ("--submit-option", option)]
    refused = halo("run", str(suite_file), "--submit", "local", *given)
    assert refused.code == 2
    assert message in refused.err


def test_submitting_without_submitit_says_what_to_install(suite_file: Path) -> None:
    code = (
        "import sys; sys.modules['submitit'] = None\n"
        "import halo_core.cli; sys.exit(halo_core.cli.call(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "run", str(suite_file), "--submit", "local"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=suite_file.parent)
    assert done.returncode == 2
    assert done.stderr == (
        "--submit: submitit is not installed: pip install 'halo-core[cluster]'\n"
    )


def test_submitting_does_not_go_with_other_ways_to_run(halo: Halo, suite_file: Path) -> None:
    for other in (["--jobs", "2"], ["--again", "base"]):
        refused = halo("run", str(suite_file), "--submit", "local", *other)
        assert refused.code == 2
        assert f"--submit: cannot be combined with {other[0]}" in refused.err
    alone = halo("run", str(suite_file), "--submit-option", "nodes=1")
    assert alone.code == 2
    assert "--submit-option: has an effect on jobs only; add --submit" in alone.err


def test_a_job_that_is_out_of_time_stops_its_command_and_is_queued_again(tmp_path: Path) -> None:
    stops = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (open('kept', 'w').close(), sys.exit(143)))\n"
        "open('begun', 'w').close()\n"
        "time.sleep(600)"
    )
    job = CellJob([sys.executable, "-c", stops], str(tmp_path))
    errors: list[BaseException] = []

    def call() -> None:
        try:
            job()
        except WorkerError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while not (tmp_path / "begun").exists():
        time.sleep(0.02)
    again = job.checkpoint()
    thread.join()
    assert (tmp_path / "kept").exists()
    assert again.function.command == job.command
    assert str(errors[0]) == "the cell ended with exit code 143; its own message is above"


def test_a_cell_that_needs_machines_gets_as_many_nodes_with_one_task_each(
    halo: Halo, suite_file: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halo_core.suite.submit.machines_of", lambda stage: 3)
    some = ["--cell", "small/none", "--submit", "slurm", "--submit-option", "timeout_min=90"]
    done = halo("run", str(suite_file), *some, "--json")
    assert done.code == 0, done.err
    (text,) = [path.read_text() for path in slurm.iterdir()]
    assert "#SBATCH --nodes=3\n" in text
    assert "#SBATCH --ntasks-per-node=1\n" in text
    refused = halo("run", str(suite_file), *some, "--submit-option", "nodes=2")
    assert refused.code == 2
    assert refused.err == (
        "--submit-option nodes: got 2; a stage needs 3 machines, so expected 3. Leave it out: halo "
        "sets it\n"
    )


@pytest.mark.parametrize(("task", "said"), [(0, "first"), (1, "other"), (2, "other")])
def test_the_first_task_of_a_job_runs_the_cell_and_the_others_join(
    task: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "local")
    monkeypatch.setenv("SUBMITIT_LOCAL_JOB_ID", "5")
    monkeypatch.setenv("SUBMITIT_LOCAL_GLOBALID", str(task))
    noted = tmp_path / "noted"
    write = f"import os; open({str(noted)!r}, 'w').write(os.environ['PLACE'] + "
    commands = [[sys.executable, "-c", f"{write}{word!r})"] for word in (" first", " other")]
    job = CellJob(commands[0], str(tmp_path), join=commands[1], environment={"PLACE": "here"})
    job()
    assert noted.read_text() == f"here {said}"
    again = job.checkpoint()
    assert again.function.join == commands[1]
