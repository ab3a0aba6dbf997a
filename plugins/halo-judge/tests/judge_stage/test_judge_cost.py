import json

import pytest

from halo_core.errors import DataError, PathError
from halo_core.judge import Verdict
from halo_core.stage import Known
from halo_judge.judge_stage.options import JudgeStage
from halo_judge.judges.chat.options import GPT4
from halo_judge.judges.longest import Longest
from halo_judge.label_stage.options import Label
from halo_judge.testing import ChatServer


def reply(body):
    return json.dumps({"comparison": "", "verdict": "A"})


def ahead_of(stage, context, inputs=None, **more):
    known = Known(inputs=context.inputs if inputs is None else inputs, cache=context.cache, **more)
    return stage.forecast(known).ahead


@pytest.fixture
def samples(make_sample):
    return [make_sample(1, "good", "bad"), make_sample(2, "good", "bad"), make_sample(3, "x", "x")]


def test_the_outlook_counts_requests_tokens_and_dollars_without_asking(judge_context, samples):
    context = judge_context(samples)
    stage = JudgeStage(judge=GPT4(max_tokens=100), of="answers")
    ahead = ahead_of(stage, context)
    assert ahead["requests"] == "4 to gpt-4-0613; 0 verdicts exist already"
    tokens = int(ahead["tokens"].split()[1])
    assert 4 * 300 < tokens < 4 * 700
    assert ahead["tokens"] == f"about {tokens} in, at most 400 out"
    assert ahead["cost"] == (
        f"at most about {(tokens * 30 + 400 * 60) / 1e6:.2f} dollars (prices shipped with "
        "halo-judge, of 2025-06: check them, or give your own with prices)"
    )
    assert not context.cache.exists()


def test_the_outlook_names_the_user_s_own_prices_and_their_date(judge_context, samples, tmp_path):
    file = tmp_path / "mine.json"
    table = {"as_of": "2026-11", "models": {"own": {"input": 1000.0, "output": 0.0}}}
    context = judge_context(samples)
    for as_of, said in (
        ("2026-11", "prices of mine.json, of 2026-11"),
        ("", "prices of mine.json"),
    ):
        file.write_text(json.dumps({**table, "as_of": as_of}), encoding="utf-8")
        judge = GPT4(model="own", prices=str(file))
        ahead = ahead_of(JudgeStage(judge=judge, of="answers"), context)
        assert ahead["cost"].endswith(f" dollars ({said})")


def test_counterbalanced_orders_take_half_the_requests(judge_context, samples):
    context = judge_context(samples)
    stage = JudgeStage(judge=GPT4(), of="answers", orders="counterbalanced")
    assert ahead_of(stage, context)["requests"].startswith("2 to gpt-4-0613")


def test_what_was_paid_for_is_not_ahead(judge_context, samples, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-0123456789")
    with ChatServer(reply) as server:
        stage = JudgeStage(judge=GPT4(base_url=server.base_url, model="own"), of="answers")
        context = judge_context(samples)
        stage.run(context)
        ahead = ahead_of(stage, context)
    assert ahead == {
        "requests": "0 to own; 4 verdicts exist already",
        "tokens": "about 0 in, at most 0 out",
        "cost": "unknown: no price in the table, see the option prices",
    }


def test_nothing_is_ahead_of_a_stage_that_is_done(judge_context, samples):
    context = judge_context(samples)
    (context.inputs["of"] / "samples.jsonl").unlink()
    assert ahead_of(JudgeStage(judge=GPT4(), of="answers"), context, done=True) == {}
    label = Label(of="answers", against="target", feedback="paired", judge=GPT4())
    assert ahead_of(label, context, done=True) == {}


def test_the_outlook_waits_for_samples(judge_context):
    context = judge_context([])
    stage = JudgeStage(judge=GPT4(), of="answers", against="base")
    assert ahead_of(stage, context, {}) == {
        "requests": "known when answers and base is done; max_cost caps the cost"
    }


def test_samples_that_are_not_there_are_named(judge_context):
    context = judge_context([])
    (context.inputs["of"] / "samples.jsonl").unlink()
    with pytest.raises(PathError, match=r"samples\.jsonl: no such file"):
        ahead_of(JudgeStage(judge=GPT4(), of="answers"), context)


def test_a_judge_that_costs_nothing_has_no_outlook(judge_context, samples):
    context = judge_context(samples)
    assert ahead_of(JudgeStage(judge=Longest(), of="answers"), context) == {}


def test_calls_cost_and_weighted_wins_are_metrics(judge_context, samples, scripted):
    def says(comparison):
        sure = 0.9 if comparison.id.endswith("AB") else 0.3
        return Verdict(comparison.id, "A", "", sure, 2, 0.125)

    result = JudgeStage(judge=scripted(says), of="answers").run(judge_context(samples))
    assert result.metrics["calls"] == 8
    assert result.metrics["cost"] == 0.5
    assert result.metrics["win_weighted"] == pytest.approx((0.8 + 0.8 + 0.5) / 3)
    assert result.metrics["unscored_share"] == 0


def test_an_unknown_cost_is_no_metric(judge_context, samples, scripted):
    judge = scripted(lambda c: Verdict(c.id, "A", "", None, 1, None))
    metrics = JudgeStage(judge=judge, of="answers").run(judge_context(samples)).metrics
    assert metrics["calls"] == 4
    assert not {"cost", "win_weighted"} & set(metrics)


def test_a_paid_judge_that_had_nothing_to_ask_tells_of_no_calls(
    judge_context, make_sample, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-0123456789")
    context = judge_context([make_sample(1, "x", "x")])
    metrics = JudgeStage(judge=GPT4(), of="answers").run(context).metrics
    assert metrics["calls"] == 0
    assert "cost" not in metrics


def test_a_judge_that_costs_nothing_tells_of_no_calls(judge_context, samples):
    metrics = JudgeStage(judge=Longest(), of="answers").run(judge_context(samples)).metrics
    assert "calls" not in metrics


def test_pairs_to_be_labelled_take_two_requests_each(judge_context, samples):
    context = judge_context(samples)
    options = {"feedback": "paired", "judge": GPT4(max_tokens=100)}
    stage = Label(of="answers", against="target", **options)
    ahead = ahead_of(stage, context)
    assert ahead["requests"] == "4 to gpt-4-0613; 0 verdicts exist already"
    assert ahead_of(stage, context, {}) == {
        "requests": "known when answers is done; max_cost caps the cost"
    }
    assert ahead_of(Label(data="train", **options), context, {}) == {
        "requests": "two for each prompt of the data; max_cost caps the cost"
    }
    free = Label(of="answers", judge=Longest(), feedback="binary", threshold=1.0)
    assert ahead_of(free, context) == {}


def test_calls_and_cost_of_labels_are_metrics(judge_context, samples, scripted):
    def says(comparison):
        first = "A" if comparison.id.endswith("AB") else "B"
        return Verdict(comparison.id, first, "", None, 2, 0.125)

    options = {"of": "answers", "against": "target", "feedback": "paired"}
    paid = Label(judge=scripted(says), **options).run(judge_context(samples)).metrics
    assert (paid["n"], paid["calls"], paid["cost"]) == (2, 8, 0.5)


def test_gpt_4_labels_pairs_and_pays_for_none_twice(judge_context, samples, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-0123456789")
    with ChatServer(lambda body: json.dumps({"comparison": "", "verdict": "tie"})) as server:
        judge = GPT4(base_url=server.base_url, model="own")
        stage = Label(of="answers", against="target", feedback="paired", judge=judge)
        context = judge_context(samples)
        for _ in range(2):
            with pytest.raises(DataError, match=r"no row of feedback is left .*2 tie"):
                stage.run(context)
        assert list(server.paid.values()) == [1] * 4
