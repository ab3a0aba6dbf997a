import re
from pathlib import Path

import pytest

from halo_core.judge import Comparison, JudgeContext
from halo_core.plugins.local_file import import_file
from halo_core.testing import check_judge, check_scoring_judge

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "write-a-judge.md"


@pytest.mark.parametrize(
    ("place", "name", "options", "better", "check"),
    [
        (0, "Polite", {"word": "fool"}, "Dear friend, how are you?", check_judge),
        (1, "Brief", {}, "Moo.", check_scoring_judge),
    ],
)
def test_the_judges_in_the_documentation_work(tmp_path, place, name, options, better, check):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / f"{name}.py"
    file.write_text(blocks[place], encoding="utf-8")
    judge = getattr(import_file(file), name)(**options)
    with judge.open(JudgeContext(tmp_path, tmp_path)) as session:
        (verdict,) = session.compare([Comparison("1", [], "You fool.", better)])
    assert verdict.winner == "B"
    check(judge, tmp_path)
