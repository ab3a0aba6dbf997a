"""The page of metrics has every name that the built-in stages, losses and points write."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAINER = ROOT / "plugins/halo-trainer/src/halo_trainer"
JUDGE = ROOT / "plugins/halo-judge/src/halo_judge"
METHODS = ROOT / "plugins/halo-methods/src/halo_methods"
CURVE = re.compile(
    r"(train|rewards|policy|counts|groups|scores|perf|reference|router|critic)/[a-z_]+"
)
PAGE = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
FINAL = [  # section of the page, module, functions that make its final numbers
    ("Final numbers of `train`", TRAINER / "train/export.py", ["training_result"]),
    ("`sample`", TRAINER / "sample/sample_file.py", ["sampling_result"]),
    ("`scratch` and `gguf`", TRAINER / "scratch/make.py", ["make_folder"]),
    (
        "`judge`",
        JUDGE / "judge_stage/verdict_metrics.py",
        ["summary_metrics", "length_metrics"],
    ),
    (
        "`judge`",
        JUDGE / "judge_stage/verdict_numbers.py",
        ["numbers", "flips", "places", "lengths", "weighted"],
    ),
    ("`judge`", JUDGE / "judge_stage/judge_samples.py", ["judge_samples"]),
    ("`label`", JUDGE / "label_stage/label_samples.py", ["_labelled", "_result"]),
    ("`label`", JUDGE / "judge_stage/verdict_numbers.py", ["numbers"]),
]
NO_METRICS = {"feedback", "judge", "rows"}
"""Keys of other mappings in these functions."""


def constants_in(folder: Path) -> Iterator[str]:
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def keys_in(file: Path, names: list[str]) -> set[str]:
    """Returns the keys of mappings that some functions of a file make or change."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    nodes = [node for name in names for node in ast.walk(functions[name])]
    made = [key for node in nodes if isinstance(node, ast.Dict) for key in node.keys]
    made += [
        target.slice
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Subscript)
    ]
    return {k.value for k in made if isinstance(k, ast.Constant) and isinstance(k.value, str)}


def names_under(heading: str) -> set[str]:
    """Returns the names in the first column of the table under a heading of the page."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, heading
    columns = re.findall(r"^\| (`.*?) \|", found[1], re.MULTILINE)
    return {name for column in columns for name in re.findall(r"`([^`]+)`", column)}


def curves_of_the_code() -> set[str]:
    found = {c for folder in (TRAINER, METHODS) for c in constants_in(folder) if CURVE.fullmatch(c)}
    sides = ("desirable", "undesirable", "chosen", "rejected")
    return found | {f"rewards/{side}" for side in sides}


def test_the_page_has_every_curve_and_no_other() -> None:
    written = names_under("Curves of `train`")
    assert {name for name in written if not name.startswith("loss-")} == curves_of_the_code()


@pytest.mark.parametrize("heading", sorted({heading for heading, *_ in FINAL}))
def test_the_page_has_every_final_number_and_no_other(heading: str) -> None:
    parts = [keys_in(file, functions) for head, file, functions in FINAL if head == heading]
    assert all(parts)
    assert names_under(heading) == set().union(*parts) - NO_METRICS
