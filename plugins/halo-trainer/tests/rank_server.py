"""Forks the ranks of tests from one process that has imported torch and transformers.

A rank takes several seconds of CPU time to import them, and the tests start more than twenty ranks.
The tests of the launcher itself start whole processes; see `test_train_launch.py`.

Each line of stdin is a job: the script, its arguments, the number of ranks, and a file for what
they print. The answer is one line with the exit code: 0, or that of the first rank that failed,
as the launcher returns it. This process has a single thread, and so the forked ones are whole.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from halo_core.parent_death import die_with

IMPORTS = (
    "accelerate",
    "halo_core.testing",
    "halo_methods.components",
    "halo_models.load_shards",
    "halo_trainer.train.training",
    "peft",
    "torch.distributed.fsdp",
    "torch.nn.parallel.distributed",
    "transformers.models.llama.modeling_llama",
)
"""Modules that the ranks need."""


def serve() -> None:
    """Does one job after the other, until stdin ends."""
    die_with(int(sys.argv[1]))
    for name in IMPORTS:
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for line in sys.stdin:
        answers.write(f"{run(**json.loads(line))}\n")
        answers.flush()


def run(command: Sequence[str], ranks: int, said: str) -> int:
    """Runs a script in several processes, and returns the first exit code that is not 0.

    The job has a process of its own, whose store tells the ranks each other's addresses. The store
    has threads, and it ends with the job.
    """
    server = os.getpid()
    job = os.fork()
    if job == 0:
        die_with(server)
        end(run_ranks, command, ranks, said)
    return os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])


def run_ranks(command: Sequence[str], ranks: int, said: str) -> int:
    """Forks the ranks, gives them a store, and ends the others if one fails."""
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(output, number)
    # The store has threads. So the ranks are forked before it exists, and wait for its port.
    begins, begun = os.pipe()
    job, children = os.getpid(), set()
    for rank in range(ranks):
        child = os.fork()
        if child == 0:
            die_with(job)
            os.close(begun)
            end(become_rank, command, rank, ranks, begins)
        children.add(child)
    os.close(begins)
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    os.write(begun, store.port.to_bytes(2) * ranks)
    code = 0
    while children:
        child, status = os.wait()
        children.remove(child)
        ended = os.waitstatus_to_exitcode(status)
        if ended and not code:
            code = ended if ended > 0 else 128 - ended
            for other in children:
                os.kill(other, signal.SIGKILL)
    return code


def become_rank(command: Sequence[str], rank: int, ranks: int, begins: int) -> None:
    """Runs the script as one rank, with the environment that torch's launcher sets."""
    port = int.from_bytes(os.read(begins, 2))
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    sys.argv = list(command)
    runpy.run_path(command[0], run_name="__main__")


def end(function: Any, *arguments: Any) -> None:
    """Ends this forked process with what a function returns, or with 1 after an error."""
    code = 1
    try:
        code = function(*arguments) or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
