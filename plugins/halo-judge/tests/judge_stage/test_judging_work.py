"""A judge stage's work is its number of samples, once they are made."""

from __future__ import annotations

from pathlib import Path

from halo_core.stage import Known
from halo_judge.judge_stage.options import JudgeStage
from halo_judge.judges.longest import Longest


def test_the_work_is_known_when_the_samples_are_there(tmp_path: Path) -> None:
    stage = JudgeStage(judge=Longest(), of="answers", against="target")
    assert stage.work(Known(cache=tmp_path)) is None
    (tmp_path / "samples.jsonl").write_text("{}\n{}\n{}\n")
    work = stage.work(Known(inputs={"of": tmp_path}, cache=tmp_path))
    assert work is not None
    assert work.amount in (3, 6)
