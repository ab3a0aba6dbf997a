"""The commands, options, imports and YAML in the guides are valid."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from importlib import import_module, util
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from halo_core.cli.group import halo
from halo_core.plugins.local_file import import_file
from halo_core.spec.suite import load_suite
from halo_core.testing import (
    check_conversion,
    check_judge,
    check_loss,
    check_reference_point,
    check_reference_update,
    check_report,
    check_scoring_judge,
    check_stage,
    data_set,
    stage_context,
)
from halo_trainer.sample.select_prompts import select_prompts

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("*/*/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks_of(page: Path, *languages: str) -> list[str]:
    """Returns the blocks of a page that are in one of the languages."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for language, text in found if language in languages]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands_in(text: str) -> Iterator[list[str]]:
    """Yields the words of each command of halo, without comments."""
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        match = re.match(r"(?:\$ )?halo (.*)", line)
        if match and not match[1].startswith("--"):
            yield shlex.split(match[1], comments=True)


def wrong_options(words: list[str]) -> list[str]:
    """Returns the words of a command line that the command does not know."""
    if words[0].startswith("file:"):  # A command in a file that the reader writes.
        return []
    command = halo.get_command(click.Context(halo), words[0])
    if command is None:
        return [words[0]]
    commands = [command]
    if isinstance(command, click.Group):
        commands += [command.commands[word] for word in words[1:] if word in command.commands]
    known = {o for c in commands for p in c.params for o in (*p.opts, *p.secondary_opts)}
    return [w for w in words if re.match(r"--\w", w) and w.partition("=")[0] not in known]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_their_options_exist(page: Path) -> None:
    for block in blocks_of(page, "", "console", "bash", "sh"):
        for words in commands_in(block):
            assert wrong_options(words) == [], " ".join(words)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_can_be_read_and_what_it_imports_of_halo_is_there(page: Path) -> None:
    for block in blocks_of(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("halo_"):
                continue
            module = node.module or ""
            # The guides' own plugins are not installed here.
            if util.find_spec(module.partition(".")[0]) is not None:
                imported = import_module(module)
                missing = [name.name for name in node.names if not hasattr(imported, name.name)]
                assert missing == [], module


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_yaml_can_be_read(page: Path) -> None:
    for block in blocks_of(page, "yaml"):
        YAML(typ="safe", pure=True).load(block)


def test_wrong_commands_options_and_comments_are_told_apart() -> None:
    text = "$ halo run a.yaml \\\n    --set x=1 --jbos 2\nhalo plan b.yaml   # --not an option\n"
    (run, plan) = commands_in(text)
    assert wrong_options(run) == ["--jbos"]
    assert wrong_options(plan) == []
    assert wrong_options(["rnu"]) == ["rnu"]


GUIDE = ROOT / "docs" / "how-to" / "write-a-plugin.md"


def shown(page: Path, name: str, folder: Path) -> Any:
    """Returns a class that a page defines in one of its blocks, from a file in a folder."""
    (code,) = [b for b in blocks_of(page, "python") if re.search(rf"^class {name}\(", b, re.M)]
    file = folder / f"{name.lower()}.py"
    file.write_text(code, encoding="utf-8")
    return getattr(import_file(file), name)


def test_the_suite_of_the_guide_has_the_cells_that_the_guide_names(tmp_path: Path) -> None:
    guide = GUIDE.with_name("compare-methods.md")
    spec, axis = blocks_of(guide, "yaml")
    file = tmp_path / "suite.yaml"
    file.write_text(spec, encoding="utf-8")
    assert [cell.cell.id for cell in load_suite(file).specs if cell.cell] == [
        f"{size}/{method}" for size in ("small", "large") for method in ("sft", "dpo", "kto")
    ]
    file.write_text(spec + axis.removeprefix("matrix:\n"), encoding="utf-8")
    ids = [cell.cell.id for cell in load_suite(file).specs if cell.cell]
    assert ids[:2] == re.findall(r"`(small/sft/[\d.]+)`", guide.read_text(encoding="utf-8"))


def test_the_loss_of_the_readme_keeps_the_rules_of_every_loss(tmp_path: Path) -> None:
    check_loss(shown(ROOT / "README.md", "Hinge", tmp_path)())


def test_the_formula_tests_of_the_guide_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    guide = ROOT / "docs" / "how-to" / "test-a-plugin.md"
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "strangers" / "stranger" / "src"))
    (code,) = [b for b in blocks_of(guide, "python") if "import Hinge" in b]
    names: dict[str, Any] = {}
    exec(code, names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def test_the_conversion_of_the_guide_keeps_the_rules_of_every_conversion(tmp_path: Path) -> None:
    short = shown(GUIDE, "Short", tmp_path)
    check_conversion(lambda source: short(source=source), feedback="demonstration")


def test_the_moving_mean_of_the_guide_keeps_the_rules_of_every_reference_point(
    tmp_path: Path,
) -> None:
    check_reference_point(shown(GUIDE, "MovingMean", tmp_path)())


def test_the_update_of_the_guide_keeps_the_rules_of_every_update(tmp_path: Path) -> None:
    check_reference_update(shown(GUIDE, "Mix", tmp_path)())


@pytest.mark.parametrize("name", ["Numbers", "Stages"])
def test_the_reports_of_the_guide_keep_the_rules_of_every_report(name: str, tmp_path: Path) -> None:
    check_report(shown(GUIDE, name, tmp_path)(), tmp_path / "runs")


def test_the_judges_of_the_guide_keep_the_rules_of_every_judge(tmp_path: Path) -> None:
    guide = GUIDE.with_name("write-a-judge.md")
    check_judge(shown(guide, "Polite", tmp_path)(word="fool"), tmp_path / "compared")
    check_scoring_judge(shown(guide, "Brief", tmp_path)(), tmp_path / "scored")


@pytest.mark.parametrize(
    ("feedback", "rows", "target"),
    [
        ("paired", [{"chosen": "Moo.", "rejected": "Woof."}], "Moo."),
        ("scored", [{"completions": ["Woof.", "Moo."], "scores": [0.0, 1.0]}], "Moo."),
        ("demonstration", [{"completion": " "}, {"completion": "Moo."}], "Moo."),
        ("binary", [{"completion": "Woof.", "desirable": False}], None),
        ("binary", [{"completion": "Moo.", "desirable": True}], "Moo."),
        ("prompts", [{}], None),
    ],
)
def test_the_sampling_stage_of_the_guide_writes_the_targets_of_the_built_in_one(
    feedback: Any, rows: list[dict[str, Any]], target: str | None, tmp_path: Path
) -> None:
    prompt = [{"role": "user", "content": "What does a cow say?"}]
    data = data_set(tmp_path, feedback, [{"prompt": prompt, **row} for row in rows])
    stage = shown(GUIDE.with_name("write-a-stage.md"), "Shout", tmp_path)(prompts="test")
    context = stage_context(tmp_path / "stage", data={"prompts": data})
    if feedback == "paired":
        check_stage(stage, context)
    else:
        stage.run(context)
    (line,) = map(json.loads, (context.folder / "samples.jsonl").read_text("utf-8").splitlines())
    assert line["completion"] == "WHAT DOES A COW SAY?"
    assert line["target"] == target
    (selected,) = select_prompts(data, None, 0)
    assert line["target"] == (selected.target and selected.target.text)
