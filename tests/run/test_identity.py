"""The values that are part of a stage's identity, and those that are not."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from halo_core import __version__
from halo_core.plugins.registrar import Registration
from halo_core.run.identity import folder_digest, source_hash
from halo_core.run.plan import Plan, make_plan
from halo_core.spec.spec import load_spec
from halo_core.workspace.layout import Workspace


def keys(spec_file: Path, **changes: str) -> list[str]:
    overrides = {path.replace("__", "."): text for path, text in changes.items()}
    plan: Plan = make_plan(load_spec(spec_file, overrides), Workspace(spec_file.parent / "w"))
    return [stage.key for stage in plan.stages]


def test_keys_repeat(spec_file: Path) -> None:
    assert keys(spec_file) == keys(spec_file)
    assert len(set(keys(spec_file))) == 3


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "other"),
        ("stages.learn.workers", "2"),
        ("data.train.path", "/elsewhere"),
        ("stages.learn.from", "model"),
    ],
)
def test_what_does_not_change_the_output_does_not_change_the_key(
    spec_file: Path, path: str, value: str
) -> None:
    assert keys(spec_file, **{path.replace(".", "__"): value}) == keys(spec_file)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", "2"),
        ("model.revision", "v2"),
        ("stages.learn.loss.beta", "0.2"),
        ("data.train.prefix", "z"),
        ("data.train.split", "test"),
    ],
)
def test_what_changes_the_output_changes_the_keys_of_all_that_follow(
    spec_file: Path, path: str, value: str
) -> None:
    before, after = keys(spec_file), keys(spec_file, **{path.replace(".", "__"): value})
    assert all(a != b for a, b in zip(before, after, strict=True))


def test_a_change_behind_a_stage_leaves_its_key(spec_file: Path) -> None:
    before, after = keys(spec_file), keys(spec_file, data__test__prefix="z")
    assert before[0] == after[0]
    assert before[1] != after[1]
    assert before[2] != after[2]


def test_a_change_in_a_local_file_changes_the_key(spec_file: Path, tmp_path: Path) -> None:
    source = (Path(__file__).parents[1] / "made_components.py").read_text()
    (tmp_path / "mine.py").write_text(source)
    changes = {"stages__learn__loss": f"'file:{tmp_path}/mine.py:PairLoss'"}
    first = keys(spec_file, **changes)
    from halo_core.run.identity import version

    version.cache_clear()
    (tmp_path / "mine.py").write_text(source + "\n# changed\n")
    assert keys(spec_file, **changes)[0] != first[0]


def test_two_classes_of_one_local_file_have_two_keys(spec_file: Path, tmp_path: Path) -> None:
    source = (Path(__file__).parents[1] / "made_components.py").read_text()
    (tmp_path / "mine.py").write_text(source + "\n\nclass Other(PairLoss):\n    pass\n")
    pair, other = (
        keys(spec_file, stages__learn__loss=f"'file:{tmp_path}/mine.py:{name}'")
        for name in ("PairLoss", "Other")
    )
    assert pair[0] != other[0]


def distribution(site: Path, name: str, *requires: str, editable: bool = True) -> Registration:
    """Writes the metadata of a distribution whose component is in the module `component_of`."""
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    url = {"url": "file:///home/ann", "dir_info": {"editable": editable}}
    (info / "direct_url.json").write_text(json.dumps(url))
    return Registration("loss", "x", "component_of:X", name, "1.0", "")


def test_the_source_of_a_component_is_that_of_the_editable_packages_it_requires_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in ("component_of", "lib_a", "lib_b", "lib_c"):
        (tmp_path / f"{module}.py").write_text(f"# {module}\n")
    distribution(tmp_path, "lib-a", "Lib_B>=1")
    distribution(tmp_path, "lib-b", "lib-a")
    distribution(tmp_path, "lib-c", editable=False)
    core = "halo-core==0.1.0"
    wanted = {
        "alone": [core],
        "with-c": [core, "lib-c"],
        "with-absent": [core, "lib-absent; extra == 'more'"],
        "with-b": [core, "lib-b; extra == 'more'"],
        "with-a": [core, "lib-a[more] (>=1)"],
    }
    found = {name: source_hash(distribution(tmp_path, name, *r)) for name, r in wanted.items()}
    assert found["alone"] == found["with-c"] == found["with-absent"]
    assert found["with-a"] == found["with-b"] != found["alone"]


def test_the_content_of_a_required_editable_package_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process caches hashes, so each content needs a separate package.
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "component_of.py").touch()
    found = []
    for letter, content in (("x", "one = 1"), ("y", "one = 1"), ("z", "one = 2")):
        (tmp_path / f"lib_{letter}").mkdir()
        (tmp_path / f"lib_{letter}" / "__init__.py").write_text(content)
        distribution(tmp_path, f"lib-{letter}")
        found.append(source_hash(distribution(tmp_path, f"with-{letter}", f"lib-{letter}==1")))
    assert found[0] == found[1] != found[2]


def test_the_stages_of_halo_depend_on_the_libraries_that_they_compute_with() -> None:
    for plugin, library in (
        ("halo-trainer", "halo-models"),
        ("halo-judge", "halo-models"),
        ("halo-judge", "halo-statistics"),
    ):
        file = Path(__file__).parents[2] / "plugins" / plugin / "pyproject.toml"
        project = tomllib.loads(file.read_text())["project"]
        extras = project.get("optional-dependencies", {}).values()
        required = [*project["dependencies"], *(name for extra in extras for name in extra)]
        assert f"{library}=={__version__}" in required


def test_a_model_folder_is_named_by_its_content(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    assert folder_digest(tmp_path / "a") == folder_digest(tmp_path / "b")
    (tmp_path / "b" / "config.json").write_text("{} ")
    assert folder_digest(tmp_path / "a") != folder_digest(tmp_path / "b")
