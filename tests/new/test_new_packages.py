"""`halo new` writes packages whose components keep the rules and whose files are clean."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from ruamel.yaml import YAML

from halo_core import __version__
from halo_core.check import kind_rules
from halo_core.check.component_rules import check_class
from halo_core.new import write
from halo_core.new.kinds import KINDS, Kind
from halo_core.new.licences import LICENCES
from halo_core.new.names import LONGEST, Part
from halo_core.new.package import WORKFLOW, Plan, package_files
from halo_core.new.write import write_package
from halo_core.plugins.core_range import core_requirement
from halo_core.plugins.registrar import Registrar
from halo_core.testing.component import HEAVY

Halo = Callable[..., Any]
ROOT = Path(__file__).parents[2]
PUBLIC = ("halo_core", "halo_core.testing")
OTHERS = {"conversion": "best"}


def plan_of(name: str, *kinds: Kind, licence: str = "mit", author: str = "Ana Diaz") -> Plan:
    parts = [Part(kind, OTHERS.get(kind.option, name)) for kind in kinds]
    return Plan(name, parts, licence, author, 2026)


def written(folder: Path, plan: Plan) -> Path:
    """Returns the folder of a package, after writing metadata as an installation would."""
    project = folder / plan.distribution
    write_package(project, package_files(plan))
    found = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    metadata = project / "src" / f"{plan.package}-{found['version']}.dist-info"
    metadata.mkdir()
    required = "".join(f"Requires-Dist: {each}\n" for each in found["dependencies"])
    head = f"Name: {found['name']}\nVersion: {found['version']}\n{required}"
    (metadata / "METADATA").write_text(head)
    points = "".join(f"{k} = {v}\n" for k, v in found["entry-points"]["halo"].items())
    (metadata / "entry_points.txt").write_text(f"[halo]\n{points}")
    return project


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a package with all kinds."""
    return written(tmp_path_factory.mktemp("new"), plan_of("everything", *KINDS.values()))


@pytest.fixture
def registered(everything: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registrar]:
    """Returns the registrations of the package, whose modules can be imported."""
    monkeypatch.syspath_prepend(str(everything / "src"))
    # A training takes seconds, and imports are checked below, all in one process.
    monkeypatch.setattr(kind_rules, "check_training", lambda *_: None)
    monkeypatch.setattr("halo_core.testing.component.check_import_budget", lambda _: None)
    registrar = Registrar("halo-everything", "0.1.0", "plugin.py")
    importlib.import_module("halo_everything.plugin").halo_register(registrar)
    yield registrar
    for name in [each for each in sys.modules if each.startswith("halo_everything")]:
        del sys.modules[name]


@pytest.mark.slow
@pytest.mark.parametrize("option", KINDS)
def test_a_component_keeps_every_rule(option: str, registered: Registrar) -> None:
    place = [*KINDS].index(option)
    registration = registered.registrations[place]
    assert registration.kind == KINDS[option].registers
    module, _, attribute = registration.target.partition(":")
    cls = getattr(importlib.import_module(module), attribute)
    found = list(check_class(registration, cls, {}))
    # Here torch is imported already, which a process of `halo check` does not do for a stage.
    others = [each for each in found if (each.rule, each.state) != ("elsewhere", "skip")]
    assert [each for each in others if each.state != "pass"] == []
    assert len(others) >= 2


def test_no_module_imports_anything_heavy(everything: Path) -> None:
    names = [path.stem for path in (everything / "src" / "halo_everything").glob("*.py")]
    code = (
        f"import importlib, sys; sys.path.insert(0, {str(everything / 'src')!r})\n"
        f"for name in {names!r}: importlib.import_module('halo_everything.' + name)\n"
        f"print([heavy for heavy in {HEAVY!r} if heavy in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_files_are_clean_with_short_and_long_names(tmp_path: Path) -> None:
    for name in ("a", "a" * LONGEST, "a-" * (LONGEST // 2 - 1) + "ab"):
        conversion = Part(KINDS["conversion"], f"b{name[1:]}")
        for kind in KINDS.values():
            part = conversion if kind.option == "conversion" else Part(kind, name)
            plan = Plan(name, [part], "", "", 2026)
            write_package(tmp_path / f"{plan.distribution}-{kind.option}", package_files(plan))
        parts = [Part(kind, name) for kind in KINDS.values() if kind.option != "conversion"]
        plan = Plan(name, [*parts, conversion], "", "", 2026)
        write_package(tmp_path / plan.distribution, package_files(plan))
    ruff = Path(sys.executable).with_name("ruff")
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [ruff, *command, "--no-cache", "."], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout


def test_a_name_in_the_templates_is_replaced_everywhere(everything: Path) -> None:
    for file in everything.rglob("*"):
        if file.is_file() and file.suffix != ".pyc":
            text = f"{file.name}\n{file.read_text()}"
            assert "acorn" not in text.lower(), file
            assert "oak" not in text.lower().replace("soak", ""), file


def test_it_uses_only_what_is_promised_to_plugins(everything: Path) -> None:
    public = {name: importlib.import_module(name).__all__ for name in PUBLIC}
    found = 0
    for file in (*everything.glob("src/*/*.py"), *everything.glob("tests/*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in getattr(node, "names", ()) if hasattr(alias, "name")]
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("halo_core"):
                found += 1
                assert {*names} <= {*public.get(node.module or "", ())}, (file, node.lineno)
            elif isinstance(node, ast.Import):
                assert not [name for name in names if name.startswith("halo_core")], file
    assert found >= 2 * len(KINDS)


def test_its_requirement_is_met_by_this_core(everything: Path) -> None:
    project = tomllib.loads((everything / "pyproject.toml").read_text())["project"]
    core, torch = map(Requirement, project["dependencies"])
    assert str(core) == str(Requirement(core_requirement()))
    assert core.specifier.contains(__version__, prereleases=True)
    assert torch.name == "torch"
    alone = package_files(plan_of("quiet", KINDS["judge"]))["pyproject.toml"]
    assert tomllib.loads(alone)["project"]["dependencies"] == [core_requirement()]


BASE = """\
name: base
model: {hub: owner/name}
data:
  train: {use: toy, feedback: paired, size: 20}
  test: {use: toy, feedback: paired, size: 5, split: test}
stages:
  answers: {use: sample, prompts: test}
tracking: []
reports: []
"""


def readme_blocks(readme: str) -> list[str]:
    return [block.partition("```")[0] for block in readme.split("```yaml\n")[1:]]


def test_what_the_readme_shows_are_valid_specs(
    everything: Path, halo: Halo, tmp_path: Path
) -> None:
    (tmp_path / "ratings.csv").write_text("question,answer,rating\nWhy?,Because.,2\n")
    scored = '{"prompt": "Sky?", "completions": ["Blue.", "Green."], "scores": [1.0, 0.0]}\n'
    (tmp_path / "scored.jsonl").write_text(scored)
    blocks = readme_blocks((everything / "README.md").read_text())
    assert len(blocks) == len([kind for kind in KINDS.values() if kind.registers != "command"])
    for number, block in enumerate(blocks):
        spec: Any = YAML(typ="safe", pure=True).load(BASE)
        for key, value in YAML(typ="safe", pure=True).load(block).items():
            spec[key] = {**spec[key], **value} if isinstance(value, dict) else value
        if "best" in block:
            spec["stages"]["sft"] = {"use": "train", "data": "train", "loss": "sft"}
        file = tmp_path / f"{number}.yaml"
        file.write_text(json.dumps(spec))
        done = halo("validate", str(file), env={"PYTHONPATH": str(everything / "src")})
        assert done.code == 0, f"{block}\n{done.err}"


def test_its_command_and_its_data_work_where_it_is_installed(
    everything: Path, halo: Halo, tmp_path: Path
) -> None:
    env = {"PYTHONPATH": str(everything / "src")}
    rows = halo("data", "everything/everything", "--json", env=env).json
    assert (rows["rows"], sum(rows["dropped"].values())) == (5, 2)
    assert (
        "Print the final numbers of each stage"
        in halo("everything/everything", "--help", env=env).out
    )
    failed = halo("everything/everything", str(tmp_path), env=env)
    assert failed.code == 2
    assert "has no events.jsonl; give the folder of a run" in failed.err


def test_the_workflow_runs_what_the_package_ships(everything: Path) -> None:
    jobs = YAML(typ="safe", pure=True).load((everything / WORKFLOW).read_text())["jobs"]
    said = {name: [step.get("run", "") for step in job["steps"]] for name, job in jobs.items()}
    for runs in said.values():
        assert "pytest" in runs
        assert "halo check halo-everything --strict" in runs
    assert "ruff check . && ruff format --check ." in said["released"]
    assert any("/halo/plugins/halo-*" in run for run in said["main"])
    light = package_files(plan_of("quiet", KINDS["judge"]))[WORKFLOW]
    assert "plugins/halo-*" not in light


@pytest.mark.parametrize(("word", "spdx"), [(w, licence.spdx) for w, licence in LICENCES.items()])
def test_a_licence_is_written_with_its_author(word: str, spdx: str) -> None:
    found = package_files(plan_of("quiet", KINDS["judge"], licence=word, author='Ana "A" Díaz'))
    project = tomllib.loads(found["pyproject.toml"])["project"]
    assert (project["license"], project["license-files"]) == (spdx, ["LICENSE"])
    assert project["authors"] == [{"name": 'Ana "A" Díaz'}]
    if LICENCES[word].names_author:
        assert "2026" in found["LICENSE"]
        assert 'Ana "A" Díaz' in found["LICENSE"]
    assert "<" not in found["LICENSE"].replace("http://www.apache.org/licenses/", "")
    assert f"{spdx}, see `LICENSE`" in found["README.md"]


def test_the_text_of_apache_is_that_of_halo_s_own_licence() -> None:
    found = package_files(plan_of("quiet", KINDS["judge"], licence="apache-2.0"))
    assert found["LICENSE"] == (ROOT / "LICENSE").read_text()


def test_without_a_licence_there_is_none_and_it_is_told(halo: Halo, tmp_path: Path) -> None:
    done = halo("new", "plugin", "quiet", "--kind", "judge", "--author", "Ana")
    assert done.code == 0, done.err
    assert "no licence, so nobody else may use it; see --license" in done.out
    project = tmp_path / "halo-quiet"
    assert not (project / "LICENSE").exists()
    assert "license" not in (project / "pyproject.toml").read_text()
    assert "nobody else may use this code" in (project / "README.md").read_text()


def test_a_licence_that_names_an_author_needs_one(
    halo: Halo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    command = ["new", "plugin", "quiet", "--kind", "judge"]
    done = halo(*command, "--license", "mit")
    assert done.code == 2
    assert "the licence mit names the author, and neither --author nor git (user.name)" in done.err
    assert list(tmp_path.iterdir()) == []
    assert halo(*command, "--license", "apache-2.0").code == 0
    for author, message in ((" ", "the name is empty"), ("A\nB", "cannot be printed")):
        done = halo("new", "plugin", "loud", "--kind", "judge", "--author", author)
        assert done.code == 2
        assert message in done.err


def test_the_name_that_git_has_is_the_author_s(
    halo: Halo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[user]\n\tname = Ana Diaz\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    done = halo("new", "plugin", "quiet", "--kind", "judge", "--license", "mit")
    assert "author Ana Diaz, the name that git has; see --author" in done.out
    assert "Ana Diaz" in (tmp_path / "halo-quiet" / "LICENSE").read_text()


def test_the_next_three_commands_are_told(halo: Halo, tmp_path: Path) -> None:
    (tmp_path / "my plugins").mkdir()
    done = halo(
        *("new", "plugin", "quiet", "--kind", "judge=kind", "--kind", "loss", "--author", "Ana"),
        *("--folder", "my plugins", "--json"),
    )
    assert done.code == 0, done.err
    install, tests, check = done.json["next"]
    assert install.startswith("cd 'my plugins/halo-quiet' && ")
    assert install.endswith("pip install --editable '.[test]'")
    assert (tests.endswith("pytest"), check.endswith("halo check halo-quiet")) == (True, True)
    assert done.json["components"] == [
        {"kind": "judge", "name": "quiet/kind", "file": "src/halo_quiet/kind_judge.py"},
        {"kind": "loss", "name": "quiet/quiet", "file": "src/halo_quiet/quiet_loss.py"},
    ]
    project = tmp_path / "my plugins" / "halo-quiet"
    there = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert there == {*done.json["files"]}


def test_outside_of_a_virtual_environment_one_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from halo_core.cli.new import next_commands

    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    install, tests, _ = next_commands(Path("halo-quiet"), "halo-quiet")
    assert " -m venv .venv && .venv/bin/pip install --editable '.[test]'" in install
    assert tests == ".venv/bin/pytest"


def test_an_existing_folder_or_file_is_refused(halo: Halo, tmp_path: Path) -> None:
    command = ["new", "plugin", "quiet", "--kind", "judge", "--author", "Ana"]
    (tmp_path / "halo-quiet").mkdir()
    done = halo(*command)
    assert done.code == 2
    assert "halo-quiet: this exists already, and halo new overwrites nothing" in done.err
    assert list((tmp_path / "halo-quiet").iterdir()) == []
    done = halo(*command, "--folder", "absent")
    assert done.code == 2
    assert "absent: no such folder; make it first" in done.err


def test_nothing_is_left_if_a_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {"a.txt": "a", "deep/b.txt": "b"}
    old = Path.write_text

    def fails(path: Path, text: str, **more: Any) -> int:
        if path.name == "b.txt":
            raise PermissionError(13, "no", str(path))
        return old(path, text, **more)

    monkeypatch.setattr(Path, "write_text", fails)
    with pytest.raises(write.PathError, match="cannot be written"):
        write_package(tmp_path / "halo-quiet", contents)
    assert list(tmp_path.iterdir()) == []
