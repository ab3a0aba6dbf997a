"""The promise to plugins: public names stay, deprecated ones warn, and old plugins work."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import halo_core

Halo = Callable[..., Any]
ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
PROMISED = sorted(FIXTURES.glob("public-names-*.json"))
SOURCES = FIXTURES / "plugin-0.2" / "src" / "halo_kept"
SPEC = """\
name: kept
model: {hub: someone/small, revision: main}
data:
  train: {use: kept/words, count: 3}
stages:
  copy: {use: kept/copy, source: {use: kept/best, source: {use: kept/words, count: 3}}}
tracking: [kept/count]
reports: [kept/list]
"""


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "registry"))
    return importlib.import_module("public_names")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Returns a folder in which the plugin for halo 0.2 is installed, as pip does it."""
    site = tmp_path / "site"
    shutil.copytree(SOURCES, site / "halo_kept")
    info = site / "halo_kept-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: halo-kept\nVersion: 1.0.0\n")
    (info / "entry_points.txt").write_text("[halo]\nhalo_kept = halo_kept.plugin\n")
    return site


@pytest.mark.parametrize("file", PROMISED, ids=lambda file: file.stem)
def test_every_promised_name_is_there_or_deprecated(file: Path, names: ModuleType) -> None:
    promised = json.loads(file.read_text())
    broken = list(names.broken_promises(promised, names.public_names(), halo_core._DEPRECATED))
    assert broken == []
    assert {"halo_core.Loss", "halo_core.testing.check_loss"} <= {*promised}


def test_each_kind_of_broken_promise_is_found(names: ModuleType) -> None:
    before = {
        "halo_core.A": {"members": {"run": {"self": True, "step": True}, "size": None}},
        "halo_core.B": {"members": {}},
        "halo_core.C": {"parameters": {"x": True}},
        "halo_core.D": {},
    }
    after = {
        "halo_core.A": {"members": {"run": {"self": True, "now": True}}, "abstract": ["run"]},
        "halo_core.C": {"parameters": {"x": True, "y": True, "z": False}},
    }
    assert list(names.broken_promises(before, after, {"D": ("E", "0.3", "0.5")})) == [
        "halo_core.A.run() no longer takes step",
        "halo_core.A.run() now needs now",
        "halo_core.A.size is gone",
        "halo_core.A.run must now be written by each plugin",
        "halo_core.B is gone, and is not deprecated",
        "halo_core.C() now needs y",
    ]
    assert list(names.broken_promises(before, before, {})) == []


def test_deprecated_names_have_a_successor_and_work_for_two_minor_versions() -> None:
    for name, (successor, since, until) in halo_core._DEPRECATED.items():
        assert name not in halo_core.__all__
        assert successor in halo_core.__all__
        (major, first), (other, last) = (map(int, v.split(".")) for v in (since, until))
        assert other > major or last - first >= 2, name


def test_a_plugin_for_the_previous_interface_is_loaded_and_run(
    halo_in: Halo, installed: Path, tmp_path: Path
) -> None:
    env = {"PYTHONPATH": str(installed), "HALO_PLUGINS": "halo-kept"}
    listed = halo_in(tmp_path, "plugins", "--strict", "--json", env=env)
    assert listed.code == 0, listed.err
    rows = listed.json["plugins"]
    assert {row["kind"] for row in rows} == {
        *("loss", "reference_point", "reference_update", "data", "judge"),
        *("stage", "tracker", "report", "command"),
    }
    assert len(rows) == 12
    (tmp_path / "spec.yaml").write_text(SPEC)
    done = halo_in(tmp_path, "run", "spec.yaml", "--json", env=env)
    assert done.code == 0, done.err
    run = Path(done.json["folder"])
    assert done.json["stages"][-1]["headline"] == "copied 3 rows"
    assert (run / "list.txt").is_file()
    (counts,) = (tmp_path / "workspace").glob("count-*.json")
    assert json.loads(counts.read_text())["stage-ended"] == 1
    assert "hello from a plugin" in halo_in(tmp_path, "kept/hello", env=env).out


CHECKS = """\
from pathlib import Path

from halo_core import testing
from halo_kept.judging import First, Shortest
from halo_kept.losses import Halved, Hinge
from halo_kept.points import Mean, Powers
from halo_kept.rows import Best, Words

testing.check_loss(Hinge(beta=0.2))
testing.check_loss_wrapper(lambda loss: Halved(loss=loss))
testing.check_reference_point(Mean())
testing.check_reference_update(Powers())
testing.check_data_source(Words(count=2))
testing.check_conversion(lambda source: Best(source=source), feedback="scored")
testing.check_judge(First(), Path("judge"))
testing.check_scoring_judge(Shortest(), Path("scoring"))
"""


@pytest.mark.slow
def test_a_plugin_for_the_previous_interface_keeps_its_rules(installed: Path, warm: Any) -> None:
    env = environment([str(installed)])
    done = warm.run([sys.executable, "-c", CHECKS], env=env, cwd=installed, timeout=280)
    assert done.returncode == 0, done.stderr


def environment(path: list[str]) -> dict[str, str]:
    """Returns variables with which Python finds only the plugin `halo-kept`, first in a path."""
    whole = os.pathsep.join([*path, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "HALO_PLUGINS": "halo-kept", "PYTHONPATH": whole}


def python(arguments: list[str], path: list[str]) -> subprocess.CompletedProcess[str]:
    env = environment(path)
    command = [sys.executable, *arguments]
    # Python looks into the folder of the call first, which must not have another core.
    return subprocess.run(
        command, capture_output=True, text=True, env=env, cwd=path[0], check=False
    )


ONLY_THE_PLUGIN = """\
import sys
from halo_core import cli
from halo_core.check import run_checks
run_checks.check_class = lambda *_, **__: ()
sys.exit(cli.call(["check", "halo-kept", "--json"]))
"""
"""`halo check` without the rules of the twelve components, which take 7 s."""


@pytest.fixture
def later_core(tmp_path: Path) -> Path:
    """Returns a copy of the core in which `DataInfo` is renamed to `SourceInfo`."""
    copy = tmp_path / "later" / "halo_core"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "halo_core", copy, ignore=ignored)
    init = copy / "__init__.py"
    text = init.read_text()
    assert '"data": "DataInfo ' in text
    text = text.replace('"data": "DataInfo ', '"data": "SourceInfo ')
    init.write_text(text.replace("DataInfo as DataInfo", "SourceInfo as SourceInfo"))
    with (copy / "data.py").open("a") as file:
        file.write("\n\nSourceInfo = DataInfo\n")
    return copy


@pytest.mark.slow
def test_a_removed_public_name_is_found_and_a_deprecated_one_warns_at_the_plugin_s_line(
    later_core: Path, installed: Path
) -> None:
    path = [str(later_core.parent), str(installed), str(ROOT / "registry")]
    compare = (
        "import json, sys, halo_core, public_names as p\n"
        "promised = json.load(open(sys.argv[1]))\n"
        "print(*p.broken_promises(promised, p.public_names(), halo_core._DEPRECATED), sep='\\n')"
    )
    promised = str(FIXTURES / "public-names-0.2.json")
    # The name is gone: the comparison says so, and so does the plugin's row.
    found = python(["-c", compare, promised], path)
    assert found.stdout == "halo_core.DataInfo is gone, and is not deprecated\n", found.stderr
    listed = python(["-m", "halo_core.cli", "plugins", "--strict"], path)
    assert listed.returncode == 3
    assert "cannot import name 'DataInfo' from 'halo_core'" in listed.stdout
    # The name is deprecated: it works, and warns.
    init = later_core / "__init__.py"
    text = init.read_text()
    empty = "_DEPRECATED: dict[str, tuple[str, str, str]] = {}"
    assert empty in text
    made = empty.replace("{}", '{"DataInfo": ("SourceInfo", "0.3", "0.5")}')
    init.write_text(text.replace(empty, made))
    assert python(["-c", compare, promised], path).stdout == "\n"
    warning = (
        "halo_core.DataInfo is deprecated since 0.3 and will be removed in 0.5: use "
        "halo_core.SourceInfo"
    )
    line = 1 + (installed / "halo_kept" / "rows.py").read_text().splitlines().index(
        "from halo_core import DataError, DataInfo, DataSource, Loaded"
    )
    place = f"{installed / 'halo_kept' / 'rows.py'}:{line}"
    shown = ["-W", "always::DeprecationWarning", "-c", "import halo_kept.rows"]
    said = python(shown, path).stderr
    assert f"{place}: HaloDeprecationWarning: {warning}\n" in said
    quiet = python(["-m", "halo_core.cli", "plugins", "--strict"], path)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    checked = python(["-c", ONLY_THE_PLUGIN], path)
    findings = json.loads(checked.stdout)["findings"]
    (used,) = [each for each in findings if each["rule"] == "deprecated-names"]
    assert (used["state"], used["reason"], used["place"]) == ("warn", warning, place)
