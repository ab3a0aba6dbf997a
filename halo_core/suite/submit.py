"""Submits the cells of a suite as jobs through submitit, to Slurm or to this machine as a trial.

Each job is `halo run SUITE --cell ID`. If a cell has a stage that needs several machines, its job
has as many nodes: the first runs this command, and each other one `halo join RUN`. Slurm starts a
cell when the cells that compute its shared stages have ended, with or without an error.
Locks on the stages do the rest. A job that is preempted or out of time keeps its state and is
queued again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from halo_core.errors import UserError, WorkerError
from halo_core.guarded.stage_calls import machines_of
from halo_core.process_end import how_ended
from halo_core.run.machines.addresses import ADDRESS
from halo_core.suite.commands import absolute_command
from halo_core.suite.plan import SuitePlan
from halo_core.suite.state import SuiteFolder
from halo_core.workspace.files import write_json

if TYPE_CHECKING:
    from submitit import AutoExecutor
    from submitit.helpers import DelayedSubmission

Cluster = Literal["slurm", "local"]
COMMON = ("timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node")
"""Options that mean the same everywhere. All others are options of sbatch."""
# Without a limit, submitit ends local jobs after minutes, and it queues a job again at most 3
# times. Both are too little for a suite.
LOCAL_TIMEOUT_MIN = 7 * 24 * 60
MOST_REQUEUES = 100


class CellJob:
    """A job: runs a command, and stops it on request so that its state is kept.

    Args:
        command: The command and its arguments.
        cwd: The folder in which it starts.
        join: The command on each further machine of the job, if it has several.
        environment: Further environment variables.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: str,
        *,
        join: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command, self.cwd = list(command), cwd
        self.join, self.environment = list(join), dict(environment or {})
        self._pid: int | None = None

    def __call__(self) -> None:
        """Runs the command.

        Raises:
            WorkerError: When it fails, so that the job counts as failed too.
        """
        process = subprocess.Popen(
            self._command_here(),
            cwd=self.cwd,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
        )
        self._pid = process.pid
        code = process.wait()
        if code:
            raise WorkerError(f"the cell {how_ended(code)}; its own message is above")

    def _command_here(self) -> list[str]:
        """Returns the command of this task of the job. Submitit calls the job in each task."""
        if not self.join:
            return self.command
        from submitit import JobEnvironment

        return self.command if JobEnvironment().global_rank == 0 else self.join

    def checkpoint(self) -> DelayedSubmission:
        """Stops the command and returns the job for the queue. Submitit calls this."""
        from submitit.helpers import DelayedSubmission

        if self._pid is not None:
            # Another waiting process may notice the end of the command, and reap it, before us.
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._pid, signal.SIGTERM)
                os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(
            CellJob(self.command, self.cwd, join=self.join, environment=self.environment)
        )


def submit(
    plan: SuitePlan, cluster: Cluster, options: Mapping[str, Any], warn: Callable[[str], None]
) -> dict[str, str]:
    """Submits the cells that are not done, and returns the job id of each cell.

    The ids are kept in the suite's `jobs.json`, and the jobs' output in its `jobs/`.

    Args:
        plan: The suite's plan.
        cluster: ``slurm``, or ``local`` for processes on this machine.
        options: Options of each job: those of `COMMON`, and for Slurm also those of `sbatch`.
        warn: Shows a warning.

    Raises:
        UserError: When submitit or Slurm is missing, or an option is unknown.
    """
    executor = _executor(plan.folder / "jobs", cluster)
    common, others = _parameters(cluster, options)
    folder = SuiteFolder(plan)
    folder.prepare(warn)
    done = {c["id"] for c in folder.read()["cells"] if c["status"] in ("computed", "cached")}
    needs = plan.needs()
    jobs: dict[str, str] = {}
    for id_, made in plan.plans.items():
        if id_ in done and all(stage.state == "done" for stage in made.stages):
            continue
        before = [jobs[other] for other in needs[id_] if other in jobs]
        machines = max(machines_of(stage.spec.component) for stage in made.stages)
        tasks = _tasks(cluster, common, machines)
        parameters = {**common, **tasks, "name": f"halo-{id_.replace('/', '-')}"}
        if cluster == "slurm":
            after = {"dependency": f"afterany:{':'.join(before)}"} if before else {}
            parameters["slurm_additional_parameters"] = {**others, **after}
        executor.update_parameters(**parameters)
        jobs[id_] = str(executor.submit(_job(plan, id_, cluster, machines)).job_id)
    write_json(plan.folder / "jobs.json", {"schema": 1, "cluster": cluster, "jobs": jobs})
    return jobs


def _job(plan: SuitePlan, id_: str, cluster: Cluster, machines: int) -> CellJob:
    halo = [sys.executable, "-m", "halo_core.cli"]
    command = [*halo, *absolute_command(plan, id_)[1:]]
    if machines == 1:
        return CellJob(command, str(Path.cwd()))
    join = [*halo, "join", str(plan.plans[id_].run_folder)]
    # As a trial, all of them are on this machine.
    environment = {ADDRESS: "127.0.0.1"} if cluster == "local" else {}
    return CellJob(command, str(Path.cwd()), join=join, environment=environment)


def _tasks(cluster: Cluster, options: Mapping[str, Any], machines: int) -> dict[str, int]:
    """Returns the options for one task on each of the machines of a cell.

    Raises:
        UserError: When the user's options ask for other numbers.
    """
    if machines == 1:
        return {}
    tasks = {"nodes": machines, "tasks_per_node": 1}
    for name, number in tasks.items():
        if options.get(name, number) != number:
            raise UserError(
                f"got {options[name]}; a stage needs {machines} machines, so expected {number}. "
                "Leave it out: halo sets it",
                location=f"--submit-option {name}",
            )
    return {"nodes": 1, "tasks_per_node": machines} if cluster == "local" else tasks


def _executor(folder: Path, cluster: Cluster) -> AutoExecutor:
    try:
        from submitit import AutoExecutor
    except ModuleNotFoundError:
        raise UserError(
            "submitit is not installed: pip install 'halo-core[cluster]'", location="--submit"
        ) from None
    try:
        arguments: dict[str, Any] = {f"{cluster}_max_num_timeout": MOST_REQUEUES}
        return AutoExecutor(folder, cluster=cluster, **arguments)
    except RuntimeError as error:
        raise UserError(f"{error}", location=f"--submit {cluster}") from None


def _parameters(
    cluster: Cluster, options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the options that all engines know, and those that are Slurm's."""
    common = {name: value for name, value in options.items() if name in COMMON}
    others = {name: value for name, value in options.items() if name not in COMMON}
    if cluster == "slurm":
        if "timeout_min" not in common and "time" not in others:
            raise UserError(
                "a job needs a time limit, as in --submit-option timeout_min=240",
                location="--submit slurm",
            )
        return common, others
    if others:
        raise UserError(
            f"got {', '.join(others)}; for jobs on this machine expected {', '.join(COMMON)}",
            location="--submit-option",
        )
    return {"timeout_min": LOCAL_TIMEOUT_MIN, **common}, {}
