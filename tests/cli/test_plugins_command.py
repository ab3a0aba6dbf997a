"""`halo plugins`: the list, the broken, `show`, `--available`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.cli import call
from halo_core.plugins.discovery import discover

Halo = Callable[..., Any]
Registers = Callable[..., str]
Captured = pytest.CaptureFixture[str]

COMPONENT = '''
from typing import ClassVar

from pydantic import Field

from halo_core.hooks import hookimpl
from halo_core.judge import Judge


class Fair(Judge):
    """Flips a coin.

    Nothing more.
    """

    citation: ClassVar[str] = "Laplace (1812)"
    odds: float = Field(default=0.5, gt=0, lt=1, description="Of the first text.")
    names: list[str] = Field(min_length=1, description="Of the coin's sides.")

    def open(self, context):
        raise NotImplementedError


@hookimpl
def halo_register(registry):
    registry.judge("fair", "halo_acme_plugin:Fair")
    registry.loss("fair", "halo_acme_plugin:Fair")
    registry.loss("odd", "halo_acme_plugin:Field")
'''


def test_every_reserved_name_that_is_installed_is_listed(capsys: Captured) -> None:
    assert call(["plugins", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1
    rows = {(row["kind"], row["name"]): row for row in found["plugins"]}
    assert len(rows) == len(discover().registrations)
    assert rows["loss", "kto"]["distribution"] == "halo-methods"
    assert set(rows["loss", "kto"]) == {
        "kind",
        "name",
        "distribution",
        "version",
        "origin",
        "status",
        "error",
    }
    assert Path(rows["loss", "kto"]["origin"]).name == "plugin.py"
    assert {row["status"] for row in found["plugins"]} == {"ok"}
    assert found["broken"] == []


def test_the_table_fits_80_columns_but_for_paths(capsys: Captured) -> None:
    assert call(["plugins"]) == 0
    table, _, _ = capsys.readouterr().out.partition("From:")
    assert max(map(len, table.splitlines())) <= 80
    assert "reference_point   mismatched-kl" in table
    assert "reference_update  copy" in table


def test_broken_and_left_out_plugins_are_rows(site: Any, registers: Registers, halo: Halo) -> None:
    module = site.add("halo-acme", "1 / 0\n")
    site.add("halo-other", registers("loss('a', 'm:A')"), version="2.0")
    env = {**site.env, "HALO_PLUGINS": "halo-acme,halo-methods"}
    done = halo("plugins", env=env)
    assert done.code == 0
    assert (
        "\nBroken: halo-acme 1.0\n"
        "  ZeroDivisionError: division by zero\n"
        f"  at {site.folder / module}.py:1\n"
        "  Report it to the authors of halo-acme, or: pip uninstall halo-acme\n"
    ) in done.out
    lines = [line.split() for line in done.out.splitlines()]
    assert ["-", "-", "halo-acme", "1.0", "broken"] in lines
    assert ["-", "-", "halo-other", "2.0", "left", "out"] in lines
    found = halo("plugins", "--json", env=env).json
    assert found["broken"] == [
        {
            "distribution": "halo-acme",
            "version": "1.0",
            "error": "ZeroDivisionError: division by zero",
            "location": f"{site.folder / module}.py:1",
            "hint": "Report it to the authors of halo-acme, or: pip uninstall halo-acme",
            "advice": "",
        }
    ]
    assert {"distribution": "halo-other", "version": "2.0"} in found["left_out"]
    assert {row["distribution"] for row in found["plugins"]} == {"halo-methods"}


def test_without_plugins_the_list_says_where_to_find_some(halo: Halo) -> None:
    done = halo("plugins", env={"HALO_PLUGINS": "none-of-them"})
    assert "left out" in done.out


def test_show_tells_options_needs_and_source(capsys: Captured) -> None:
    assert call(["plugins", "show", "kto", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["facts"]["feedback"] == "binary"
    assert found["facts"]["needs"] == ["policy_logps", "reference_logps", "reference_point"]
    assert len(found["source_hash"]) == 16
    beta = next(option for option in found["options"] if option["name"] == "beta")
    assert (beta["type"], beta["constraint"], beta["required"]) == ("number", "> 0", False)
    assert call(["plugins", "show", "kto"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("loss kto\n")
    assert f"beta: number, > 0, default {beta['default']}\n    " in text


def test_show_tells_the_options_and_the_source_of_a_reference_update(capsys: Captured) -> None:
    assert call(["plugins", "show", "ema", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["distribution"]) == ("reference_update", "halo-methods")
    assert "arXiv 2404.09656" in found["facts"]["citation"]
    (decay,) = found["options"]
    assert (decay["name"], decay["constraint"], decay["required"]) == ("decay", "> 0, < 1", True)


def test_show_a_stranger_s_component(site: Any, halo: Halo) -> None:
    site.add("halo-acme", COMPONENT)
    ambiguous = halo("plugins", "show", "acme/fair", env=site.env)
    assert ambiguous.code == 2
    assert ambiguous.err == ("'acme/fair' is the name of a loss and of a judge; add --kind loss\n")
    done = halo("plugins", "show", "acme/fair", "--kind", "judge", env=site.env)
    assert done.code == 0, done.err
    assert done.out.startswith("judge acme/fair\nFlips a coin.\n\n")
    assert "Laplace (1812)" in done.out
    assert "odds: number, > 0, < 1, default 0.5\n    Of the first text.\n" in done.out
    assert "names: list of string, at least 1 items, required\n" in done.out


def test_show_what_is_no_component_is_the_plugin_s_fault(site: Any, halo: Halo) -> None:
    site.add("halo-acme", COMPONENT)
    done = halo("plugins", "show", "acme/odd", env=site.env)
    assert done.code == 3
    assert "expected a class of components" in done.err


def test_show_a_component_of_a_broken_plugin_says_what_broke(site: Any, halo: Halo) -> None:
    site.add("halo-acme", "raise ValueError('boom')\n")
    done = halo("plugins", "show", "acme/odd", env=site.env)
    assert done.code == 3
    assert "halo_acme_plugin.py:1: 'acme/odd' is in halo-acme 1.0, which is broken" in done.err


def test_show_a_misspelt_name_gets_the_nearest_one(capsys: Captured) -> None:
    assert call(["plugins", "show", "kt0"]) == 2
    assert capsys.readouterr().err == (
        "no component named 'kt0'. Did you mean 'kto'? All names: halo plugins\n"
    )


def test_show_an_absent_built_in_says_what_to_install(halo: Halo) -> None:
    done = halo("plugins", "show", "kto", env={"HALO_PLUGINS": "halo-data"})
    assert done.code == 2
    assert "the loss 'kto' is in halo-methods" in done.err


@pytest.fixture
def own_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The catalogue without entries of other people, whose plugins are not installed here."""
    root = Path(__file__).parents[2]
    ours = sorted(folder.name for folder in root.glob("plugins/halo-*"))
    index = json.loads((root / "registry" / "index.json").read_text())
    index["distributions"] = [e for e in index["distributions"] if e["distribution"] in ours]
    file = tmp_path / "index.json"
    file.write_text(json.dumps(index))
    monkeypatch.setenv("HALO_CATALOGUE", str(file))
    return ours


def test_available_lists_only_what_is_not_installed(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, own_catalogue: list[str]
) -> None:
    from halo_core.plugins.registry import Registry

    assert call(["plugins", "--available"]) == 0
    assert capsys.readouterr().out.startswith(
        "Everything in the catalogue is installed. List it: halo plugins\nCatalogue of "
    )
    of_methods = [r for r in discover().registrations if r.distribution == "halo-methods"]
    monkeypatch.setattr("halo_core.cli.plugins.discover", lambda: Registry(of_methods))
    assert call(["plugins", "--available"]) == 0
    text = capsys.readouterr().out
    assert "halo plugins install halo-data\n" in text
    assert "halo-methods" not in text
    assert call(["plugins", "--available", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["available"]
    absent = [name for name in own_catalogue if name != "halo-methods"]
    assert [entry["distribution"] for entry in found] == absent
    assert found[0]["install"] == f"halo plugins install {absent[0]}"


def test_a_class_in_a_file_is_shown(tmp_path: Path, halo_in: Any) -> None:
    (tmp_path / "mine.py").write_text(
        "from halo_core import Loss\n\n\n"
        "class Mine(Loss):\n"
        "    'My own loss.'\n\n"
        "    feedback = 'binary'\n"
        "    needs = ('policy_logps',)\n\n"
        "    def __call__(self, batch): ...\n"
    )
    done = halo_in(tmp_path, "plugins", "show", "file:./mine.py:Mine", "--json")
    assert done.code == 0, done.err
    assert done.json["kind"] == "loss"
    assert done.json["summary"] == "My own loss."
    assert len(done.json["source_hash"]) == 16
    missing = halo_in(tmp_path, "plugins", "show", "file:./other.py:Mine")
    assert missing.code == 2
    assert "no such file" in missing.err


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("loss('soft', 'acme_kinds:Sofd')", "has no attribute 'Sofd'. Did you mean 'Soft'?"),
        ("loss('soft', 'acme_kind:Soft')", "No module named 'acme_kind'"),
        ("judge('soft', 'acme_kinds:Soft')", "is a loss, and it is registered as a judge"),
        ("command('soft', 'acme_kinds:Soft', help='')", "expected a click.Command"),
        ("loss('soft', 'acme_kinds:made')", "is the function made; expected a class"),
        ("loss('soft', 'acme_kinds:Soft')", ""),
        ("loss('soft', 'acme_kinds:Around')", ""),
        ("loss('soft', 'acme_kinds:Mine')", ""),
        ("loss('soft', 'acme_kinds:late')", ""),  # It only looks as if it did not exist.
    ],
)
def test_a_wrong_target_is_a_row_with_its_line_and_reason(
    call: str, error: str, site: Any, registers: Registers, halo: Halo
) -> None:
    module = site.add("halo-acme", registers(call))
    (site.folder / "acme_kinds.py").write_text(
        "from halo_core import Loss, LossWrapper\nclass Soft(Loss):\n"
        "    feedback, needs = 'paired', ('policy_logps',)\n"
        "    def __call__(self, batch): ...\nclass Around(LossWrapper): ...\n"
        "class Mine(Soft): ...\ndef made(): ...\nglobals()['la' + 'te'] = Soft\n"
    )
    done = halo("plugins", "--json", env=site.env | {"HALO_PLUGINS": "halo-acme"})
    assert done.code == 0
    (row,) = done.json["plugins"]
    assert row["status"] == ("broken" if error else "ok")
    if error:
        assert error in row["error"]
        line = registers(call).splitlines().index(f"    registry.{call}") + 1
        assert row["error"].startswith(f"{site.folder / module}.py:{line}: ")


def test_strict_imports_all_and_has_an_exit_code(
    site: Any, registers: Registers, halo: Halo
) -> None:
    env = site.env | {"HALO_PLUGINS": "halo-acme"}
    site.add("halo-acme", registers("loss('soft', 'acme_losses:Soft')", "judge('path', 'os:path')"))
    (site.folder / "acme_losses.py").write_text("")
    assert halo("plugins", env=env).code == 0
    done = halo("plugins", "--strict", "--json", env=env)
    assert done.code == 3
    assert {row["status"] for row in done.json["plugins"]} == {"broken"}
    said = halo("plugins", "--strict", env=env).out
    assert "has no attribute 'Soft'" in said
    assert "expected a class of components" in said


def test_a_misspelt_group_is_named_and_is_strictly_a_mistake(
    site: Any, registers: Registers, halo: Halo
) -> None:
    site.add("halo-acme", registers("loss('soft', 'acme:Soft')"))
    file = site.folder / "halo_acme-1.0.dist-info" / "entry_points.txt"
    file.write_text(file.read_text().replace("[halo]", "[halo.plugins]"))
    env = site.env | {"HALO_PLUGINS": "halo-acme"}
    said = halo("plugins", env=env)
    assert said.code == 0
    assert f"Not found as a plugin: {file.parent}\n" in said.out
    assert "are in the group 'halo.plugins'; expected 'halo'" in said.out
    strict = halo("plugins", "--strict", env=env)
    assert strict.code == 3
    assert "1 not found by their groups" in strict.err


@pytest.mark.parametrize("command", [["plugins", "--json"], ["schema"]])
def test_what_a_plugin_prints_does_not_reach_the_output(
    command: list[str], site: Any, registers: Registers, halo_process: Halo
) -> None:
    loud = "import os\nprint('PRINTED', flush=True)\nos.write(1, b'WRITTEN')\n"
    loud += "import atexit\natexit.register(print, 'AT THE END')\n"
    site.add("halo-acme", loud + registers("judge('fair', 'acme_judge:Fair')"))
    source = "from halo_core import Judge\nclass Fair(Judge):\n    def open(self, context): ...\n"
    (site.folder / "acme_judge.py").write_text("print('IMPORTED')\n" + source)
    path = os.pathsep.join([str(site.folder), os.environ.get("PYTHONPATH", "")])
    done = halo_process(*command, env={"PYTHONPATH": path, "HALO_PLUGINS": "halo-acme"})
    assert done.code == 0, done.err
    json.loads(done.out)
    assert "PRINTED" in done.err
    assert "WRITTEN" in done.err
    assert "AT THE END" in done.err
    assert ("IMPORTED" in done.err) == (command == ["schema"])


def test_what_pip_left_behind_is_named(site: Any, registers: Registers, halo: Halo) -> None:
    site.add("halo-acme", registers("loss('soft', 'acme:Soft')"))
    (site.folder / "~alo_acme-1.0.dist-info").mkdir()
    said = halo("plugins", env=site.env).out
    assert "the rest of an interrupted pip" in said
    assert "~alo_acme-1.0.dist-info" in said
