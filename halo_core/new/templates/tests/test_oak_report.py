import json
from pathlib import Path

from halo_core.testing import check_report

from halo_acorn.oak_report import OakReport


def test_the_report_keeps_the_rules(tmp_path: Path) -> None:
    check_report(OakReport(), tmp_path)


def test_the_report_has_a_line_for_each_stage(tmp_path: Path) -> None:
    said = (("sft", "learned"), ("kto", "learned more"), ("sft", "learned again"))
    events = [{"type": "stage-ended", "stage": stage, "headline": text} for stage, text in said]
    lines = "".join(f"{json.dumps(event)}\n" for event in [{"type": "run-started"}, *events])
    (tmp_path / "events.jsonl").write_text(lines + '{"type": "run-en')
    written = OakReport().write(tmp_path)
    assert written.parent == tmp_path
    assert written.read_text() == "sft: learned again\nkto: learned more\n"
