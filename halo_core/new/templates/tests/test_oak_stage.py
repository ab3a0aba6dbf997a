import json
from pathlib import Path

from halo_core import StageContext
from halo_core.testing import check_stage, data_set, stage_context

from halo_acorn.oak_stage import OakStage

PROMPT = [{"role": "user", "content": "Which animal is that?"}]
ROWS = [
    {"prompt": PROMPT, "completion": "An owl."},
    {"prompt": PROMPT, "completion": "It is an owl, if I see it right."},
]


def context(folder: Path) -> StageContext:
    rows = data_set(folder, "demonstration", ROWS)
    return stage_context(folder / "stage", data={"rows": rows})


def test_the_stage_keeps_the_rules(tmp_path: Path) -> None:
    check_stage(OakStage(rows="train"), context(tmp_path))


def test_long_completions_are_left_out_and_counted(tmp_path: Path) -> None:
    inside = context(tmp_path)
    result = OakStage(rows="train", max_words=2).run(inside)
    assert result.metrics == {"kept": 1, "left_out": 1}
    (line,) = (inside.folder / "feedback.jsonl").read_text().splitlines()
    assert json.loads(line)["completion"] == "An owl."
