"""The proof: 30 % of replies fail in every way, the process is killed, and nothing is lost."""

import json
import re
from pathlib import Path

import pytest

from halo_core.errors import Interrupted
from halo_core.stage import StopFlag
from halo_judge.judge_stage.options import JudgeStage
from halo_judge.judges.chat.options import GPT4
from halo_judge.testing import FAULTS, ChatServer, planned_faults

KEY = "sk-planted-0123456789"
PROMPTS = 60
SHARE = 0.3


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def length_of(body, place: str) -> int:
    asked = body["messages"][1]["content"]
    return len(re.search(rf"answer {place}\n(.*)\n", asked).group(1))


def longer(body) -> str:
    a, b = length_of(body, "A"), length_of(body, "B")
    return json.dumps({"comparison": f"{a}, {b}", "verdict": "A" if a > b else "B"})


@pytest.fixture
def samples(make_sample):
    return [make_sample(i, "x" * (3 + i % 5), "y" * (2 + i % 7)) for i in range(PROMPTS)]


def stage(server, **options) -> JudgeStage:
    judge = GPT4(base_url=server.base_url, timeout_s=2.0, retries=8, **options)
    return JudgeStage(judge=judge, of="answers")


def results(context) -> list:
    lines = (context.folder / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return [(r["prompt_id"], r["result"], [o["winner"] for o in r["orders"]]) for r in found]


class StopAfter(StopFlag):
    """Asks to stop once a number of verdicts were looked at."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = count

    def is_set(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.mark.slow
def test_with_faults_and_stops_all_verdicts_come_none_is_paid_twice_and_none_differs(
    judge_context, samples, tmp_path
):
    with ChatServer(longer) as server:
        context = judge_context(samples)
        calm = stage(server).run(context)
        expected = results(context)
    (context.folder / "verdicts.jsonl").unlink()
    stops = 0
    with ChatServer(longer, faults=planned_faults(SHARE, seed=3), key=KEY) as server:
        for _ in range(10):
            with pytest.raises(Interrupted):
                stage(server, concurrency=8).run(judge_context(samples, stop=StopAfter(4)))
            stops += 1
        context = judge_context(samples)
        result = stage(server, concurrency=8).run(context)
        assert set(server.paid.values()) == {1}
        assert set(server.faults_met) == set(FAULTS)
        assert sum(server.faults_met.values()) / len(server.requests) == pytest.approx(
            SHARE, abs=0.1
        )
        # A conversation is the first question or the re-ask; both orders of what differs.
        asked = sum(len(said) for _, _, said in expected)
        first = [body for body in server.requests if len(body["messages"]) == 2]
        assert len({json.dumps(body, sort_keys=True) for body in first}) == asked
    assert stops == 10
    assert results(context) == expected
    same = set(calm.metrics) - {"calls", "cost"}
    assert {name: result.metrics[name] for name in same} == {n: calm.metrics[n] for n in same}
    assert result.metrics["unscored"] == 0
    assert result.metrics["calls"] == sum(server.paid.values())
    assert not holders(tmp_path, KEY)


def holders(folder: Path, secret: str) -> list[Path]:
    """Returns the files that hold a secret."""
    return [p for p in folder.rglob("*") if p.is_file() and secret.encode() in p.read_bytes()]


def echoing(body) -> str:
    return json.dumps({"comparison": f"the key is {KEY}", "verdict": "A"})


def test_a_key_that_the_endpoint_repeats_is_in_nothing_that_is_written(
    judge_context, samples, tmp_path, caplog
):
    caplog.set_level("DEBUG")
    warnings = []
    with ChatServer(echoing, faults=planned_faults(SHARE, seed=1)) as server:
        context = judge_context(samples[:6], warn=warnings.append)
        stage(server).run(context)
    assert "the key is ***" in (context.folder / "verdicts.jsonl").read_text(encoding="utf-8")
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) >= 3
    assert not holders(tmp_path, KEY)
    assert KEY not in caplog.text
    assert KEY not in "".join(warnings)
