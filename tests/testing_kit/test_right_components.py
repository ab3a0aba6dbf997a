"""The test kit does not blame what right components do: temporary files, late imports, caches."""

import atexit
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy
import pytest
import torch
from pydantic import Field

from halo_core import DataError, DataInfo, DataSource, Loaded, ReferenceUpdate
from halo_core.testing.circumstances.repeatable import check_repeatable
from halo_core.testing.data.data_identity import check_digest
from halo_core.testing.data.given_rows import GivenRows
from halo_core.testing.data.rules import check_rows
from halo_core.testing.made_runs import make_run
from halo_core.testing.processes.effects import caches, effects
from halo_core.testing.processes.kept_state import changed_places, kept_by
from halo_core.testing.reports.rules import check_pages
from halo_core.testing.stateless import keeps_nothing
from halo_core.testing.trackers.rules import check_session
from halo_core.tracker import Report, Tracker, TrackerSession
from halo_core.workspace.layout import Workspace

SIZES: list[int] = []


class Many(DataSource):
    """Makes as many rows as it is asked for, and counts them eagerly."""

    rows: int = Field(default=3, ge=1, le=10**9, description="Number of rows.")

    def inspect(self) -> DataInfo:
        return DataInfo("binary", ("train",), f"many {self.rows}")

    def load(self, split: str) -> Loaded:
        if split != "train":
            raise DataError(f"no split {split!r}; expected train")
        SIZES.append(self.rows)
        prompt = [{"role": "user", "content": "hi"}]
        return Loaded(
            {"prompt": prompt, "completion": f"row {n}", "desirable": n % 2 == 0}
            for n in range(min(self.rows, 5))
        )


class ImportsLate(Many):
    """Imports a library only when rows are read, as the rule for imports asks."""

    module: str = Field(default="a_library", description="The library.")

    def load(self, split: str) -> Loaded:
        __import__(self.module)
        return super().load(split)


class Joined(DataSource):
    """The rows of several sources."""

    sources: list[DataSource] = Field(description="The sources.")

    def inspect(self) -> DataInfo:
        atexit.register(print, "This is printed after all else.")
        digests = [str(each.inspect().digest) for each in self.sources]
        return DataInfo("binary", ("train",), "+".join(digests))

    def load(self, split: str) -> Loaded:
        def rows() -> Iterator[Any]:
            for each in self.sources:
                yield from each.load(split).rows

        return Loaded(rows())


class Never(ReferenceUpdate):
    """Leaves the reference as it is."""

    def mix(self, step: int) -> float:
        return 0.0


class Page(Report):
    """A page with one line."""

    def write(self, run: Path) -> Path:
        __import__("a_library")
        page = run / "page.txt"
        page.write_text("a page")
        return page


class WritesALog(Tracker):
    """Lets its library write a log, as some do."""

    endings: ClassVar[str] = ".log"

    def open(self, run: Path, workspace: Path) -> TrackerSession:
        return _Session(workspace / f"library{self.endings}")


class _Session(TrackerSession):
    def __init__(self, file: Path) -> None:
        self._file = file

    def handle(self, events: Sequence[Any]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"got {len(events)} events\n")

    def close(self) -> None:
        pass


class WritesTwice(WritesALog):
    """Writes the same events again into a table."""

    endings: ClassVar[str] = ".csv"


def test_temporary_files_are_no_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)  # As in a process that has made none yet.
    with effects() as found:
        with tempfile.TemporaryFile() as file, tempfile.NamedTemporaryFile() as named:
            file.write(b"rows")
            named.write(b"rows")
        with tempfile.SpooledTemporaryFile(max_size=1) as spooled:
            spooled.write(b"rows")
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "rows.txt").write_text("rows")
    assert list(found.done) == []


def test_a_watch_leaves_numpy_and_torch_as_they_were() -> None:
    state = repr(numpy.random.get_state())
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with effects() as found:
            numpy.random.seed(1)
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert list(found.done) == ["changes the random state of numpy"]
    assert repr(numpy.random.get_state()) == state


def test_another_file_is_an_effect(tmp_path: Path) -> None:
    with effects() as found:
        (tmp_path / "rows.txt").write_text("rows")
    assert list(found.done) == [f"writes or removes {(tmp_path / 'rows.txt').resolve()}"]


def test_compiled_modules_are_no_effects_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "compiled_elsewhere.py").write_text("X = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "compiled"))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    with effects() as found:
        __import__("compiled_elsewhere")
    assert list((tmp_path / "compiled").rglob("*.pyc"))
    assert list(found.done) == []


def test_the_folders_of_caches_are_those_that_variables_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", "")  # It names nothing, and not the current folder.
    assert tmp_path in caches()
    assert Path() not in caches()


def test_a_source_may_import_a_library_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_library.py").write_text("import warnings\nwarnings.simplefilter('ignore')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with warnings.catch_warnings():
        check_rows(ImportsLate())
    assert "a_library" in sys.modules
    del sys.modules["a_library"]


def test_a_report_may_import_a_library_when_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_library.py").write_text("import warnings\nwarnings.simplefilter('ignore')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with warnings.catch_warnings():
        check_pages(Page(), tmp_path / "workspace")
    del sys.modules["a_library"]


def test_setuptools_may_add_its_own_folder_which_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    with effects() as found:
        sys.path += ["/x/setuptools/_vendor", "/x/another"]
    assert list(found.done) == ["changes sys.path"]
    assert sys.path[-1] == "/x/setuptools/_vendor"
    with effects() as found:
        sys.path.append("/y/setuptools/_vendor")
    assert list(found.done) == []


def test_modules_with_one_file_name_and_odd_tensors_are_watched() -> None:
    package = __name__.partition(".")[0]
    modules = [ModuleType(f"{package}.{name}") for name in ("one", "two")]
    for module in modules:
        module.__file__ = f"/x/{module.__name__}/__init__.py"
        module.__dict__["TABLE"] = [torch.empty(2, device="meta"), torch.eye(2).to_sparse()]
    before = kept_by(Never(), modules)
    assert changed_places(before, kept_by(Never(), modules)) == []
    modules[0].__dict__["TABLE"].append(1)
    assert changed_places(before, kept_by(Never(), modules)) == [f"'TABLE' of {package}.one"]


def test_numbers_far_from_the_given_one_are_not_tried() -> None:
    SIZES.clear()
    check_digest(Many())
    assert {2, 4, 1} < set(SIZES)
    assert max(SIZES) == 4
    SIZES.clear()
    check_digest(Many(rows=1000))
    assert {999, 1001} < set(SIZES)


@pytest.mark.slow
def test_a_source_around_a_list_of_sources_is_repeatable() -> None:
    check_repeatable(Joined(sources=[Many(), GivenRows(feedback="binary")]))
    atexit.unregister(print)


def test_a_module_that_a_call_imports_is_not_kept_state() -> None:
    update, package = Never(), __name__.partition(".")[0]
    later = ModuleType(f"{package}.later")
    later.__dict__["TABLE"] = {1: 2}
    try:
        with keeps_nothing(update, "a call"):
            sys.modules[later.__name__] = later
        with (
            pytest.raises(AssertionError, match="a call changes 'TABLE' of"),
            keeps_nothing(update, "a call"),
        ):
            later.__dict__["TABLE"][3] = 4
    finally:
        del sys.modules[later.__name__]


def test_a_log_may_have_the_same_events_twice_and_a_table_may_not(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    run = make_run(workspace, "a")
    check_session(WritesALog(), run, tmp_path)
    with pytest.raises(AssertionError, match=r"the same events again changes library\.csv"):
        check_session(WritesTwice(), run, tmp_path)
