"""A judge that raises pays for nothing twice: earlier replies come from the store."""

import itertools
import json
import re
import sqlite3
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import Field

from halo_core.errors import PathError, UnscoredError
from halo_core.judge import Judge
from halo_core.scoring_judge import ScoringJudge
from halo_judge.judge_stage.options import JudgeStage
from halo_judge.judges.chat.options import GPT4
from halo_judge.judges.http.options import HttpJudge
from halo_judge.label_stage.options import Label
from halo_judge.testing import ChatServer

PROMPTS = 12


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def samples(make_sample):
    return [make_sample(i, f"good {i}", f"bad {i}") for i in range(PROMPTS)]


class Nervous(Judge):
    """Returns the verdicts of another judge, and raises if a function of the id returns true."""

    judge: Any = Field(description="The other one.")
    raises: Any = Field(description="Id of a verdict, and how many came, to an answer.")

    @contextmanager
    def open(self, context):
        came = itertools.count(1)

        def compare(comparisons):
            for verdict in session.compare(comparisons):
                if self.raises(verdict.id, next(came)):
                    raise ZeroDivisionError("nervous")
                yield verdict

        with self.judge.open(context) as session:
            yield SimpleNamespace(compare=compare)


def prefers_good(body):
    time.sleep(0.02)
    first = re.search(r"answer A\n(.*)\n", body["messages"][1]["content"])
    return json.dumps({"comparison": "?", "verdict": "A" if "good" in first.group(1) else "B"})


def results(context):
    lines = (context.folder / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["result"] for line in lines]


@pytest.mark.parametrize("kind", ["once", "some", "all"])
def test_each_request_is_paid_for_once_however_the_judge_raises(judge_context, samples, kind):
    raises = {
        "once": lambda id_, count: count == 3,
        "some": lambda id_, count: id_[0] in "1f",
        "all": lambda id_, count: True,
    }[kind]
    lost = {"once": 0, "some": sum(s["prompt_id"][0] in "1f" for s in samples)}
    with ChatServer(prefers_good) as server:
        inner = GPT4(base_url=server.base_url, api_key_env=None, concurrency=4)
        context = judge_context(samples)
        nothing = pytest.raises(UnscoredError) if kind == "all" else nullcontext()
        with nothing:
            JudgeStage(judge=Nervous(judge=inner, raises=raises), of="answers").run(context)
        assert results(context).count("unscored") == lost.get(kind, PROMPTS)
        assert set(server.paid.values()) == {1}
        JudgeStage(judge=inner, of="answers").run(context)
        assert set(results(context)) == {"win"}
    assert set(server.paid.values()) == {1}
    assert len(server.paid) == 2 * PROMPTS
    assert 0 < lost["some"] < PROMPTS


class NervousScores(ScoringJudge):
    """Returns the scores of another judge, and raises at the first score of a session."""

    judge: Any = Field(description="The other one.")

    @contextmanager
    def open_scoring(self, context):
        calm = threading.Event()

        def score(answers):
            for given in session.score(answers):
                if not calm.is_set():
                    calm.set()
                    raise ZeroDivisionError("nervous")
                yield given

        with self.judge.open_scoring(context) as session:
            yield SimpleNamespace(score=score)


def test_an_endpoint_that_scores_is_asked_once_when_the_judge_raises(judge_context, samples, serve):
    server = serve(lambda body: time.sleep(0.02) or {"score": float(len(body["completion"]))})
    judge = NervousScores(judge=HttpJudge(url=server.url, concurrency=4))
    stage = Label(judge=judge, of="answers", feedback="binary", threshold=0.0)
    result = stage.run(judge_context(samples))
    assert (result.metrics["n"], result.metrics["unscored"]) == (PROMPTS, 0)
    assert len(server.bodies) == PROMPTS


def test_a_reply_that_cannot_be_kept_stops_the_stage_before_it_is_paid_for_again(
    judge_context, samples
):
    context = judge_context(samples)
    file = context.cache / "judge" / "replies.sqlite"
    with ChatServer(prefers_good) as server:
        judge = GPT4(base_url=server.base_url, api_key_env=None, concurrency=1)
        JudgeStage(judge=judge, of="answers").run(judge_context(samples[:1]))
        db = sqlite3.connect(file)
        db.execute(
            "CREATE TRIGGER full BEFORE INSERT ON replies "
            "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
        db.close()
        with pytest.raises(PathError) as error:
            JudgeStage(judge=judge, of="answers").run(judge_context(samples))
    assert str(error.value) == (
        f"{file}: cannot be used: the disk is full. It contains the paid replies, so nothing "
        "more is asked. Free space, give yourself the right to write, or move the file away"
    )
    assert set(server.paid.values()) == {1}
    assert len(server.paid) <= 2 + 2


def test_a_damaged_store_is_told_of_and_what_it_still_holds_is_not_paid_for_again(
    judge_context, samples
):
    context = judge_context(samples)
    file = context.cache / "judge" / "replies.sqlite"
    with ChatServer(prefers_good) as server:
        judge = GPT4(base_url=server.base_url, api_key_env=None)
        JudgeStage(judge=judge, of="answers").run(judge_context(samples[:3]))
        (context.folder / "verdicts.jsonl").unlink()
        file.write_bytes(file.read_bytes().replace(b"good 0", b"good 8", 1))
        context = judge_context(samples)
        warnings: list[str] = []
        JudgeStage(judge=judge, of="answers").run(replace(context, warn=warnings.append))
    assert sorted(server.paid.values()) == [1] * (2 * PROMPTS - 1) + [2]
    (warning,) = warnings
    assert warning.startswith(f"{file} is damaged (rows that are not as they were written: 1). 5 ")
