"""Starts Python programs as forks of one process that has imported torch and transformers.

To import them takes five seconds of CPU time in each process of a training: in the run, and in each
rank. The slow tests start dozens of them. A fork has its own arguments, environment, folder,
streams and session, and it is a child of the process that starts it, as a new process would be. It
ends as an interpreter ends. The server has imported modules that a program may forget to import. So
some tests of trainings start new processes. A fork does not wait until its files would survive a
power cut.

This file is the program of the server, and a module of the tests that use it.
"""

from __future__ import annotations

import functools
import gc
import glob
import importlib
import inspect
import io
import itertools
import json
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from halo_core.parent_death import die_with

TORCH = (
    "accelerate",
    "halo_core.run.execute",
    "halo_methods.components",
    "halo_models.load_shards",
    "halo_trainer.train.training",
    "torch.distributed.elastic.multiprocessing.api",
    "torch.distributed.fsdp",
    "torch.distributed.launcher.api",
    "torch.nn.parallel.distributed",
    "transformers.models.llama.modeling_llama",
)
"""Modules that trainings and local models need."""
JUDGE = (
    "halo_core.cli.run",
    "halo_core.run.controller",
    "halo_core.run.live_reports",
    "halo_judge.judge_stage.judge_samples",
    "halo_judge.judges.chat.chat_session",
    "halo_report.pages.html",
    "openai",
)
"""Modules that a run needs that asks an endpoint."""
MLFLOW = (
    "halo_core.cli.run",
    "halo_core.run.controller",
    "halo_mlflow.plugin",
    "mlflow.store.tracking.sqlalchemy_store",
)
"""Modules that a run needs that is tracked by MLflow."""
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "TRANSFORMERS_VERBOSITY": "error",
}
"""Variables that libraries read when they are imported. halo sets the same for MLflow."""
PROGRAMS = (
    "halo_core.cli",
    "halo_core.run.report_writer",
    "halo_core.tracking.host",
    "halo_core.worker",
    "halo_judge.judges.reward_model.score_host",
    "halo_trainer.launch",
)
"""Modules that a fork itself starts as forks. Others get an interpreter of their own."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36

_execute_child: Any = subprocess.Popen._execute_child  # type: ignore[attr-defined]
_names = inspect.signature(_execute_child)


class WarmServer:
    """The process that is forked, as a test sees it. It starts with the first request."""

    TORCH, JUDGE, MLFLOW = TORCH, JUDGE, MLFLOW

    def __init__(self) -> None:
        self._environment = os.environ | SETTINGS
        self._requests: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        command: Sequence[str],
        ready: Sequence[int] = (),
        imports: Sequence[str] = TORCH,
        **options: Any,
    ) -> subprocess.Popen[Any]:
        """Starts a command as `subprocess.Popen` does.

        Args:
            command: The interpreter, a module, a file or code, and its arguments.
            ready: Number of `PROGRAMS` that the new process will start as forks, then the number
                that each of these will start, and so on. `(1, 2)` suits a run with a launcher of
                two ranks. Further ones get an interpreter of their own.
            imports: The modules that the server imports before, if it has not: `TORCH`, `JUDGE` or
                `MLFLOW`.
            options: The options of `subprocess.Popen`.
        """
        if sys.platform != "linux":
            return subprocess.Popen(command, **options)
        return _WarmPopen(self, {"ready": ready, "imports": imports}, command, **options)

    def run(
        self, command: Sequence[str], *, timeout: float, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end, and returns its exit code and what it printed.

        Args:
            command: The interpreter, a module, a file or code, and its arguments.
            timeout: Seconds after which the command is killed, and an error is raised.
            options: Further arguments of `start`.
        """
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with self.start(command, **pipes, **options) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def instead_of_subprocess(self, ready: Sequence[int] = ()) -> Any:
        """Returns a module for code that starts processes; its `Popen` starts forks."""
        start = functools.partial(self.start, ready=ready)
        return SimpleNamespace(**vars(subprocess) | {"Popen": start})

    def ask(self, order: Mapping[str, Any], streams: Sequence[int]) -> int:
        """Starts a process and returns its id. It is a child of this process."""
        if self._requests is None:
            self._requests, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, __file__, str(os.getpid()), str(theirs.fileno())],
                    env=self._environment,
                    pass_fds=[theirs.fileno()],
                )
        # The server starts it by way of a process that ends. The system gives it to this one.
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        try:
            _send(self._requests, order, streams)
            return int.from_bytes(_read(self._requests, 4))
        finally:
            _prctl(_PR_SET_CHILD_SUBREAPER, 0)

    def close(self) -> None:
        """Ends the server."""
        if self._requests is not None and self._process is not None:
            self._requests.close()
            self._process.wait()


class _WarmPopen(subprocess.Popen[Any]):
    """A process that is a fork of the server."""

    def __init__(
        self, server: WarmServer, more: Mapping[str, Any], command: Sequence[str], **options: Any
    ) -> None:
        self._server, self._more = server, more
        super().__init__(command, **options)

    def _execute_child(self, *given: Any) -> None:
        asked = _names.bind(self, *given).arguments
        assert asked["args"][0] == sys.executable
        assert not any(asked[name] for name in ("shell", "pass_fds", "preexec_fn"))
        self.pid = self._server.ask(_order(asked) | self._more, _streams(asked))
        _end_start(self, asked)


def serve(parent: int, requests: socket.socket) -> tuple[Mapping[str, Any], Sequence[int]]:
    """Forks a process for each request. Returns in the forked one, with what it shall become."""
    die_with(parent)
    while True:
        asked = _receive(requests)
        if asked is None:
            os._exit(0)
        _import(asked[0]["imports"])
        answers, answer = os.pipe()
        between = os.fork()
        if between == 0:
            child = os.fork()
            if child:
                os.write(answer, child.to_bytes(4))
                os._exit(0)
            for file in (answers, answer):
                os.close(file)
            requests.close()
            while os.getppid() != parent:
                if not os.path.exists(f"/proc/{parent}"):
                    os._exit(1)
                time.sleep(0.0005)
            return asked
        os.waitpid(between, 0)
        requests.sendall(os.read(answers, 4))
        for file in (answers, answer, *asked[1]):
            os.close(file)


def _import(names: Sequence[str]) -> None:
    """Imports modules. They must start no thread, which a fork would lack."""
    new = [name for name in names if name not in sys.modules]
    before = _open_files()
    for name in new:
        importlib.import_module(name)
    if new:
        tasks = glob.glob("/proc/self/task/*/comm")
        threads = [Path(task).read_text().strip() for task in tasks]
        # That of pyarrow's jemalloc ends with a fork, which jemalloc expects.
        others = [name for name in threads if name != "jemalloc_bg_thd"]
        assert len(others) == 1, f"one of {new} has started a thread: {others}"
        gc.collect()
        gc.freeze()
        _files_of_libraries.update(_open_files() - before)


def become(order: Mapping[str, Any], streams: Sequence[int]) -> None:
    """Gives this process what the program that was asked for would start with."""
    _prctl(_PR_SET_PDEATHSIG, 0)
    if order["session"]:
        os.setsid()
    elif order["group"] != -1:
        os.setpgid(0, order["group"])
    for number, file in enumerate(streams):
        os.dup2(file, number)
        os.close(file)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.enable()
    random.seed()
    at_once = "-u" in order["flags"] or bool(order["environment"].get("PYTHONUNBUFFERED"))
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout, sys.stderr = _writer(1, at_once), _writer(2, True)
    place = {"-m": order["folder"], "-c": "", "file": os.path.dirname(order["program"])}
    # With -P, Python looks nowhere else first. The first entry is then one that comes twice.
    first = sys.path[1] if "-P" in order["flags"] else place[order["kind"]]
    _look_in(first, order["environment"].get("PYTHONPATH", ""))


def run(kind: str, program: str, arguments: Sequence[str]) -> None:
    """Runs a module, a file or code as the interpreter does."""
    sys.argv = [program if kind == "file" else kind, *arguments]
    if kind == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    elif kind == "file":
        runpy.run_path(program, run_name="__main__")
    else:
        exec(program, {"__name__": "__main__", "__builtins__": __builtins__})


def get_ready(counts: Sequence[int]) -> None:
    """Forks the processes that this one will start, and lets `subprocess` use them."""
    waiting: list[tuple[int, socket.socket]] = []
    starter = os.getpid()
    for _ in range(counts[0] if counts else 0):
        mine, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            mine.close()
            for _, other in waiting:
                other.close()
            die_with(starter)
            _close_but(theirs.fileno())
            signal.set_wakeup_fd(-1)
            asked = _receive(theirs)
            if asked is None:
                os._exit(0)
            raise _Asked(*asked, theirs)
        theirs.close()
        waiting.append((child, mine))

    lock = threading.Lock()

    def execute(self: Any, *given: Any) -> None:
        asked = _names.bind(self, *given).arguments
        with lock:  # A run starts processes in threads, too.
            # They are children of this process. A fork of it could not wait for them: `subprocess`
            # would give 0 as their exit code.
            own = os.getpid() == starter and _is_program(asked)
            found = waiting.pop(0) if waiting and own else None
        if found is None:
            _execute_child(self, *given)
            return
        self.pid, requests = found
        with requests:
            _send(requests, _order(asked) | {"ready": counts[1:]}, _streams(asked))
            _read(requests, 1)
        _end_start(self, asked)

    subprocess.Popen._execute_child = execute  # type: ignore[attr-defined]


class _Asked(BaseException):
    """Takes a process that was ready out of everything that its starter was doing."""

    def __init__(
        self, order: Mapping[str, Any], streams: Sequence[int], requests: socket.socket
    ) -> None:
        super().__init__()
        self.order, self.streams, self.requests = order, streams, requests


def _get_ready_when_watched(counts: Sequence[int]) -> None:
    """Does it in the process that does the work of `halo`; the one before only watches it."""
    from halo_core.cli import watcher

    watch = watcher.watch

    def watch_and_get_ready(arguments: Sequence[str]) -> None:
        watch(arguments)
        get_ready(counts)

    watcher.watch = watch_and_get_ready


def _look_in(folder: str, path: str) -> None:
    """Sets where modules are found: first in the folder, then in those of the environment."""
    sys.path[0] = folder
    more = [entry for entry in path.split(os.pathsep) if entry and entry not in sys.path]
    sys.path[1:1] = more
    importlib.invalidate_caches()


def _writer(number: int, at_once: bool) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        open(number, "wb", closefd=False),
        encoding="utf-8",
        errors="backslashreplace" if number == 2 else "strict",
        line_buffering=at_once or os.isatty(number),
    )


def _close_but(file: int) -> None:
    """Closes the files that a new process would not have."""
    for number in _open_files() - _files_of_libraries - {0, 1, 2, file}:
        os.close(number)


def _open_files() -> set[int]:
    listed = map(int, os.listdir("/proc/self/fd"))
    return {number for number in listed if os.path.exists(f"/proc/self/fd/{number}")}


_files_of_libraries: set[int] = set()
"""Files that imports have left open."""


def _parts(command: Sequence[str]) -> tuple[list[str], str, str, list[str]]:
    """Returns Python's flags, the kind of the program, the program, and its arguments."""
    rest = [os.fspath(each) for each in command[1:]]
    flags = list(itertools.takewhile(lambda each: each in ("-u", "-P"), rest))
    del rest[: len(flags)]
    if rest[0] in ("-m", "-c"):
        return flags, rest[0], rest[1], rest[2:]
    return flags, "file", rest[0], rest[1:]


def _is_program(asked: Mapping[str, Any]) -> bool:
    """Returns whether one of `PROGRAMS` is asked for, in a way that a fork can have."""
    command = asked["args"]
    if isinstance(command, str) or command[0] != sys.executable or len(command) < 3:
        return False
    return _parts(command)[2] in PROGRAMS and not (asked["pass_fds"] or asked["preexec_fn"])


def _order(asked: Mapping[str, Any]) -> dict[str, Any]:
    flags, kind, program, arguments = _parts(asked["args"])
    return {
        "kind": kind,
        "program": program,
        "arguments": arguments,
        "flags": flags,
        "folder": os.path.abspath(asked["cwd"] or os.curdir),
        "environment": dict(os.environ if asked["env"] is None else asked["env"]),
        "session": asked["start_new_session"],
        "group": asked["process_group"],
    }


def _streams(asked: Mapping[str, Any]) -> list[int]:
    """Returns the files of the child's streams. It inherits those that are not given."""
    given = (asked[name] for name in ("p2cread", "c2pwrite", "errwrite"))
    return [own if file == -1 else file for own, file in enumerate(given)]


def _end_start(process: Any, asked: Mapping[str, Any]) -> None:
    """Does what `subprocess` does when a child has started."""
    process._child_created = True
    names = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
    process._close_pipe_fds(*(asked[name] for name in names))


def _send(to: socket.socket, order: Mapping[str, Any], streams: Sequence[int]) -> None:
    content = json.dumps(order).encode()
    socket.send_fds(to, [len(content).to_bytes(8)], list(streams))
    to.sendall(content)


def _receive(source: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Returns what was sent, or None if the other side is gone."""
    size, streams, _, _ = socket.recv_fds(source, 8, 3)
    if not size:
        return None
    order: dict[str, Any] = json.loads(_read(source, int.from_bytes(size)))
    return order, streams


def _read(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = source.recv(size - len(found))
        if not part:
            raise EOFError("the warm process has ended; see what it printed")
        found += part
    return found


def _prctl(option: int, value: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _checked(file: Any) -> None:
    """Takes the place of `os.fsync`: it waits for no disk, and raises an error for no open file."""
    os.fstat(file if isinstance(file, int) else file.fileno())


def main() -> None:
    os.fsync = _checked
    order, streams = serve(int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
    starter: socket.socket | None = None
    while True:
        try:
            become(order, streams)
            if starter is not None:
                starter.sendall(b"1")
                starter.close()
            if order["program"] == "halo_core.cli":
                _get_ready_when_watched(order["ready"])
            else:
                get_ready(order["ready"])
            # What it raises, such as SystemExit, ends the process as it ends an interpreter.
            run(order["kind"], order["program"], order["arguments"])
            return
        except _Asked as asked:
            order, streams, starter = asked.order, asked.streams, asked.requests


if __name__ == "__main__":
    main()
