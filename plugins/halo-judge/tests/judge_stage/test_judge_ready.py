"""A judge without its key is found before anything of the run is computed."""

import pytest

from halo_core.errors import UserError
from halo_judge.judge_stage.options import JudgeStage
from halo_judge.judges.chat.options import GPT4
from halo_judge.judges.http.options import HttpJudge
from halo_judge.judges.longest import Longest
from halo_judge.label_stage.options import Label

LABEL = {"of": "answers", "feedback": "binary", "threshold": 0.5}


def test_a_run_whose_judge_has_no_key_computes_nothing(judged, halo_in, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    project = judged()
    project.write("http://127.0.0.1:9/v1", 2)
    done = halo_in(project.folder, "run", "spec.yaml", "--json")
    told = done.json
    assert done.code == 2
    assert [stage["status"] for stage in told["stages"]] == ["pending", "pending"]
    (error,) = told["errors"]
    assert error["location"].endswith(": stages.win: the judge gpt-4")
    assert error["message"].startswith(
        "no key: the environment variable OPENAI_API_KEY is not set. Set it"
    )


@pytest.mark.parametrize("judge", [GPT4(), HttpJudge(url="http://x/s", api_key_env="NO_SUCH_KEY")])
def test_both_stages_look_for_the_key(judge, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for stage in (JudgeStage(judge=judge, of="answers"), Label(judge=judge, **LABEL)):
        with pytest.raises(UserError, match="no key: the environment variable"):
            stage.preflight({})


@pytest.mark.parametrize("judge", [GPT4(api_key_env=None), HttpJudge(url="http://x/s"), Longest()])
def test_a_judge_that_needs_no_key_is_ready(judge, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    JudgeStage(judge=judge, of="answers").preflight({})
    Label(judge=judge, **LABEL).preflight({})


def test_a_key_that_is_there_is_enough(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-0123456789")
    JudgeStage(judge=GPT4(), of="answers").preflight({})
