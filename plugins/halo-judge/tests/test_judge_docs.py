import re
from pathlib import Path

from halo_core.judge import Comparison, JudgeContext
from halo_core.spec.local_file import import_file
from halo_core.testing.judge import check_judge

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "judges.md"


def test_the_judge_in_the_documentation_works(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "polite.py"
    file.write_text(code, encoding="utf-8")
    judge = import_file(file).Polite(word="fool")
    with judge.open(JudgeContext(tmp_path, tmp_path)) as session:
        (verdict,) = session.compare([Comparison("1", [], "You fool.", "Dear friend.")])
    assert verdict.winner == "B"
    check_judge(judge, tmp_path)
