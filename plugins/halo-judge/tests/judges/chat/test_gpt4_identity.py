import subprocess
import sys

import pytest

from halo_core.run.plan import make_plan
from halo_core.spec.spec import load_spec
from halo_core.workspace.layout import Workspace
from halo_judge.judges.chat.template import FOLDER

SPEC = """
name: judged
seed: 1
model: {hub: some/model, revision: main}
data:
  test: {use: hub, id: some/data, split: test}
stages:
  answers: {use: sample, prompts: test, n: 4}
  win: {use: judge, judge: JUDGE, of: answers, against: target}
"""


def key_of(folder, judge: str) -> str:
    file = folder / "spec.yaml"
    file.write_text(SPEC.replace("JUDGE", judge), encoding="utf-8")
    return make_plan(load_spec(file, []), Workspace(folder)).stage("win").key


def test_an_edited_template_is_another_stage(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_bytes((FOLDER / "pairwise-1.toml").read_bytes())
    before = key_of(tmp_path, "{use: gpt-4, template_file: mine.toml}")
    assert key_of(tmp_path, "{use: gpt-4, template_file: mine.toml}") == before
    mine.write_bytes(mine.read_bytes() + b"\n# edited\n")
    assert key_of(tmp_path, "{use: gpt-4, template_file: mine.toml}") != before


def test_money_pace_and_the_key_s_name_are_in_no_identity(tmp_path):
    plain = key_of(tmp_path, "gpt-4")
    free = "{use: gpt-4, max_cost: 3.0, concurrency: 2, retries: 1, timeout_s: 9.0, api_key_env: K}"
    assert key_of(tmp_path, free) == plain
    assert key_of(tmp_path, "{use: gpt-4, template: report-2024}") != plain
    assert key_of(tmp_path, "{use: gpt-4, model: gpt-4}") != plain


@pytest.mark.slow
def test_a_spec_with_the_judge_is_valid_without_openai_and_torch(tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text(SPEC.replace("JUDGE", "gpt-4"), encoding="utf-8")
    code = (
        "import sys\n"
        "for name in ('openai', 'torch', 'scipy'): sys.modules[name] = None\n"
        "import halo_core.cli\n"
        f"sys.exit(halo_core.cli.call(['validate', {str(file)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
