import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import Field

from halo_core.errors import (
    DataError,
    Interrupted,
    PathError,
    PluginError,
    UnscoredError,
    UserError,
)
from halo_core.events import read_events
from halo_core.judge import Judge, Verdict
from halo_core.stage import StopFlag
from halo_judge.judge_stage.options import JudgeStage
from halo_judge.judges.longest import Longest
from halo_statistics.intervals import proportion


def by_text(comparison):
    """Prefers 'good' at any position."""
    if (comparison.a == "good") == (comparison.b == "good"):
        return "tie"
    return "A" if comparison.a == "good" else "B"


def stage(judge, **options):
    return JudgeStage(judge=judge, of="answers", **options)


def records(context):
    text = (context.folder / "verdicts.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def mixed(make_sample):
    """Two wins, one loss, one tie by the judge, one by identical texts."""
    return [
        make_sample(1, "good", "bad", tokens=2),
        make_sample(2, "good", "bad", tokens=4),
        make_sample(3, "bad", "good", tokens=6),
        make_sample(4, "bad", "worse", tokens=8),
        make_sample(5, "good", "good", tokens=10),
    ]


def test_metrics_are_those_counted_by_hand(judge_context, scripted, mixed):
    result = stage(scripted(by_text)).run(judge_context(mixed))
    share = proportion(3, 5)
    assert result.metrics == {
        "win": 0.6,
        "win_lo": share.low,
        "win_hi": share.high,
        "win_failures_lost": 0.6,
        "n": 5,
        "wins": 2,
        "losses": 1,
        "ties": 2,
        "unscored": 0,
        "unscored_share": 0.0,
        "flip": 0.0,
        "agreement": 1.0,
        "first_shown": 0.5,
        "len": 6.0,
        "baseline_len": 7.0,
        "unpaired": 0,
    }


def test_headline_names_the_rate_the_rival_the_count_and_the_judge(judge_context, mixed):
    result = stage(Longest()).run(judge_context(mixed))
    assert result.headline == (
        "win rate 0.500 [0.128, 0.872] against the SFT target, n=5, 0 % unscored "
        "(exact 90 % interval; Longest)"
    )


def test_the_headline_says_what_share_is_unscored(judge_context, scripted, mixed):
    says = scripted(lambda c: None if "q2" in str(c.prompt) else by_text(c))
    assert "n=4, 20 % unscored (exact" in stage(says).run(judge_context(mixed)).headline


def test_verdicts_have_the_documented_fields(judge_context, scripted, mixed):
    context = judge_context(mixed)
    stage(scripted(by_text)).run(context)
    assert records(context)[0] == {
        "v": 1,
        "prompt_id": mixed[0]["prompt_id"],
        "prompt": mixed[0]["prompt"],
        "completion": "good",
        "baseline": "bad",
        "result": "win",
        "flip": False,
        "orders": [
            {"order": "AB", "winner": "A", "reason": "why"},
            {"order": "BA", "winner": "B", "reason": "why"},
        ],
        "tokens": 2,
        "baseline_tokens": 3,
    }


def test_verdicts_are_announced_as_an_event(judge_context, scripted, mixed):
    context = judge_context(mixed)
    stage(scripted(by_text)).run(context)
    (event,) = (event for event, _ in read_events(context.folder / "events.jsonl"))
    assert (event["type"], event["path"], event["count"]) == ("verdicts", "verdicts.jsonl", 5)


def test_a_judge_that_always_prefers_the_first_place_yields_flips_and_ties(
    judge_context, scripted, mixed
):
    context = judge_context(mixed)
    result = stage(scripted(lambda comparison: "A")).run(context)
    assert result.metrics["flip"] == 1.0
    assert result.metrics["win"] == 0.5
    assert [record["flip"] for record in records(context)] == [True] * 4 + [False]


def test_counterbalanced_asks_once_per_prompt_and_reports_no_flips(judge_context, scripted, mixed):
    judge = scripted(lambda comparison: "A")
    result = stage(judge, orders="counterbalanced").run(judge_context(mixed))
    assert len(judge.asked) == 4
    assert (result.metrics["wins"], result.metrics["losses"]) == (2, 2)
    assert "flip" not in result.metrics


def test_identical_texts_tie_without_asking(judge_context, scripted, make_sample):
    judge = scripted(lambda comparison: "A")
    result = stage(judge).run(judge_context([make_sample(1, "same", "same")]))
    assert judge.asked == []
    assert result.metrics["ties"] == 1
    assert "flip" not in result.metrics


def test_a_judge_that_raises_leaves_comparisons_unscored_with_the_reason(
    judge_context, scripted, mixed
):
    warnings = []
    context = judge_context(mixed, warn=warnings.append)
    outage = scripted(lambda c: by_text(c) if c.prompt[0]["content"] == "q1" else OSError("down"))
    result = stage(outage).run(context)
    assert [record["result"] for record in records(context)] == [
        "win",
        "unscored",
        "unscored",
        "unscored",
        "tie",
    ]
    assert records(context)[1]["orders"][0]["reason"] == "Scripted raised OSError: down"
    assert result.metrics["win"] == 0.75
    assert result.metrics["win_failures_lost"] == 0.3
    assert warnings == [
        "3 of 5 comparisons are unscored; the first: Scripted raised OSError: down. "
        "To ask again: --again win"
    ]


def test_an_outage_from_the_start_is_no_result(judge_context, scripted, mixed):
    context = judge_context(mixed[:4])
    with pytest.raises(UnscoredError) as error:
        stage(scripted(lambda c: OSError("down"))).run(context)
    assert str(error.value) == (
        "Scripted scored none of 4 comparisons; the first: Scripted raised OSError: down. So there "
        "is no result. The same command asks again"
    )
    assert error.value.exit_code == 1
    assert [record["result"] for record in records(context)] == ["unscored"] * 4


def test_same_texts_alone_are_a_result_that_no_judge_gave(judge_context, scripted, make_sample):
    same = [make_sample(i, "same", "same") for i in range(2)]
    assert stage(scripted(lambda c: OSError("down"))).run(judge_context(same)).metrics["ties"] == 2


def test_same_texts_do_not_hide_that_the_judge_scored_nothing(judge_context, scripted, make_sample):
    samples = [make_sample(1, "same", "same"), make_sample(2, "good", "bad")]
    with pytest.raises(UnscoredError, match="Scripted scored none of 1 comparisons"):
        stage(scripted(lambda c: OSError("down"))).run(judge_context(samples))


def test_a_comparison_without_a_verdict_is_unscored(judge_context, scripted, mixed):
    silent = scripted(lambda c: "nothing" if c.id.endswith("BA") and "q1" in str(c.prompt) else "A")
    context = judge_context(mixed[:2])
    stage(silent).run(context)
    (record,) = [record for record in records(context) if record["result"] == "unscored"]
    assert record["orders"][1] == {
        "order": "BA",
        "winner": None,
        "reason": "Scripted gave no verdict",
    }


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (Verdict("nobody", "A"), "a Verdict of 'nobody', which waits for none"),
        (Verdict("q", "C"), "the winner 'C'"),
        (Verdict("q", "A", preference=float("nan")), "the preference nan"),
        (Verdict("q", "A", preference=1.01), "the preference 1.01"),
        (Verdict("q", "A", preference=True), "the preference True"),
        (Verdict("q", "A", calls=-1), "the calls -1"),
        (Verdict("q", "A", calls=1.0), "the calls 1.0"),
        (Verdict("q", "A", cost=-0.01), "the cost -0.01"),
        (Verdict("q", "A", cost=float("inf")), "the cost inf"),
        (Verdict("q", "A", reason=None), "the reason None"),
        (Verdict(7, "A"), "the id 7"),
    ],
)
def test_a_judge_that_breaks_its_interface_is_named(judge_context, scripted, mixed, said, message):
    with pytest.raises(PluginError) as caught:
        stage(scripted(lambda c: said)).run(judge_context(mixed))
    assert caught.value.message == (
        f"Scripted.compare() gave {message}; expected one Verdict per comparison, with its id, a "
        "winner 'A', 'B', 'tie' or None, a preference in [0, 1] or None, and calls and a cost of "
        "at least 0"
    )
    file = Path(__file__).parents[1] / "conftest.py"
    before, _, _ = file.read_text().partition("def compare(")
    assert caught.value.location == f"{file}:{len(before.splitlines())}"


class Odd(Judge):
    """Returns the value that it was made with."""

    opens: Any = Field(description="Value that open() returns.")

    def open(self, context):
        return self.opens


def session(verdicts):
    return nullcontext(SimpleNamespace(compare=lambda comparisons: verdicts))


@pytest.mark.parametrize(
    ("opened", "message"),
    [
        (None, "open() returned None; expected a context manager that gives a session"),
        (nullcontext(3), "open() gave 3; expected a session that has compare()"),
        (session(None), "compare() gave None; expected one Verdict per comparison"),
        (session(["A"]), "compare() gave 'A'; expected one Verdict per comparison"),
    ],
)
def test_a_judge_of_the_wrong_shape_is_named(judge_context, mixed, opened, message):
    with pytest.raises(PluginError) as caught:
        stage(Odd(opens=opened)).run(judge_context(mixed))
    assert caught.value.message.startswith(f"Odd.{message}")
    assert caught.value.location.startswith(f"{__file__}:")


class Failing:
    """A context manager that raises on entering or on leaving."""

    def __init__(self, on):
        self.on = on

    def __enter__(self):
        if self.on == "enter":
            raise OSError("no room")
        return SimpleNamespace(compare=lambda asked: [Verdict(each.id, "A") for each in asked])

    def __exit__(self, *error):
        if self.on == "exit":
            raise OSError("no room")


@pytest.mark.parametrize("on", ["enter", "exit"])
def test_what_a_session_raises_when_it_is_entered_or_left_is_its_authors_fault(
    judge_context, mixed, on
):
    context = judge_context(mixed)
    with pytest.raises(PluginError) as caught:
        stage(Odd(opens=Failing(on))).run(context)
    assert caught.value.message == "Odd.open() raised OSError: no room"
    lines = Path(__file__).read_text().split("\n")
    assert 'raise OSError("no room")' in lines[int(caught.value.location.rpartition(":")[2]) - 1]
    kept = len(records(context)) if on == "exit" else 0
    assert kept == (5 if on == "exit" else 0)


def test_verdicts_in_other_orders_do_not_hold(judge_context, scripted, mixed):
    stage(scripted(by_text), orders="counterbalanced").run(judge_context(mixed))
    judge = scripted(by_text)
    stage(judge).run(judge_context(mixed))
    assert len(judge.asked) == 8


def test_flips_are_counted_among_what_was_scored(judge_context, scripted, make_sample):
    samples = [make_sample(number, "good", "bad") for number in range(4)]
    flaky = scripted(lambda c: "nothing" if "q3" in str(c.prompt) else _biased(c))
    result = stage(flaky).run(judge_context(samples))
    assert result.metrics["flip"] == pytest.approx(1 / 3)


def _biased(comparison):
    return "A" if "q0" in str(comparison.prompt) else by_text(comparison)


def test_credentials_in_what_a_judge_raises_are_not_kept_in_verdicts(
    judge_context, scripted, mixed
):
    context = judge_context(mixed)
    broken = OSError("no answer from http://ann:sesame@host")
    with pytest.raises(UnscoredError, match=r"no answer from http://\*\*\*@host"):
        stage(scripted(lambda c: broken)).run(context)
    reason = records(context)[1]["orders"][0]["reason"]
    assert reason == "Scripted raised OSError: no answer from http://***@host"


def test_an_error_raised_on_purpose_stops_the_stage(judge_context, scripted, mixed):
    with pytest.raises(UserError, match="no key"):
        stage(scripted(lambda c: UserError("no key"))).run(judge_context(mixed))


def test_a_resumed_stage_asks_only_for_what_it_lacks(judge_context, scripted, mixed):
    stop = StopFlag()
    judge = scripted(lambda c: (stop.set(2) if "q2" in str(c.prompt) else None) or by_text(c))
    with pytest.raises(
        Interrupted, match="3 of 5 verdicts are kept; run the same command again to continue"
    ):
        stage(judge).run(judge_context(mixed, stop=stop))
    judge.asked.clear()
    context = judge_context(mixed)
    result = stage(scripted(by_text)).run(context)
    assert {c.prompt[0]["content"] for c in judge.asked} == {"q3", "q4"}
    assert result.metrics["win"] == 0.6
    assert [r["prompt_id"] for r in records(context)] == [s["prompt_id"] for s in mixed]


def test_a_finished_stage_asks_nothing_and_does_not_open_the_judge(judge_context, scripted, mixed):
    first = stage(scripted(by_text)).run(judge_context(mixed))
    judge = scripted(lambda c: OSError("must not be asked"))
    assert stage(judge).run(judge_context(mixed)) == first
    assert judge.opened == []


def test_unscored_and_cut_off_verdicts_are_asked_for_again(judge_context, scripted, mixed):
    context = judge_context(mixed)
    with pytest.raises(UnscoredError):
        stage(scripted(lambda c: OSError("down"))).run(context)
    path = context.folder / "verdicts.jsonl"
    path.write_text(path.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    result = stage(scripted(by_text)).run(context)
    assert result.metrics["win"] == 0.6


def test_verdicts_on_other_texts_do_not_hold(judge_context, scripted, mixed, make_sample):
    stage(scripted(by_text)).run(judge_context(mixed))
    judge = scripted(by_text)
    changed = [make_sample(1, "worse", "good"), *mixed[1:]]
    result = stage(judge).run(judge_context(changed))
    assert len(judge.asked) == 2
    assert result.metrics["wins"] == 1


def test_later_samples_of_a_prompt_are_counted_and_reported(judge_context, make_sample):
    warnings = []
    samples = [make_sample(1, "good", "bad"), make_sample(1, "worse", "bad")]
    result = stage(Longest()).run(judge_context(samples, warn=warnings.append))
    assert (result.metrics["n"], result.metrics["wins"]) == (1, 1)
    assert warnings == [
        "1 samples of 'answers' are not compared, because only the first sample of each prompt is"
    ]


def test_prompts_without_a_target_are_counted_and_reported(judge_context, make_sample):
    warnings = []
    samples = [make_sample(1, "good", "bad"), make_sample(2, "good", None)]
    result = stage(Longest()).run(judge_context(samples, warn=warnings.append))
    assert result.metrics["unpaired"] == 1
    assert result.metrics["n"] == 1
    assert warnings == ["1 of 2 prompts of 'answers' have no target in the data; they are left out"]


def test_without_the_lengths_of_targets_their_median_is_left_out(judge_context, mixed):
    del mixed[0]["target_tokens"]
    result = stage(Longest()).run(judge_context(mixed))
    assert "baseline_len" not in result.metrics


def test_another_stages_samples_are_joined_by_prompt(judge_context, scripted, make_sample):
    ours = [make_sample(1, "good", None, 5), make_sample(2, "good", None, 7)]
    theirs = [make_sample(3, "bad", None), make_sample(1, "bad", None, 9)]
    context = judge_context(ours, against=theirs)
    result = stage(scripted(by_text), against="base").run(context)
    assert (result.metrics["n"], result.metrics["wins"], result.metrics["unpaired"]) == (1, 1, 1)
    assert (result.metrics["len"], result.metrics["baseline_len"]) == (5.0, 9.0)
    assert "against 'base', n=1" in result.headline


def test_nothing_to_compare_is_an_error_that_says_what_to_do(judge_context, make_sample):
    with pytest.raises(DataError) as caught:
        stage(Longest()).run(judge_context([make_sample(1, "good", None)]))
    assert str(caught.value) == (
        "stages.win.against: 1 of 1 prompts of 'answers' have no target in the data; expected "
        "prompts with two completions to compare. Sample prompts of data that has "
        "demonstrations, or judge against another sampling stage"
    )


def test_a_line_that_is_no_sample_is_named(judge_context, make_sample):
    context = judge_context([make_sample(1, "good", "bad")])
    path = context.inputs["of"] / "samples.jsonl"
    path.write_text('{"prompt_id": "x"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"samples.jsonl:1: got .* without prompt, compl"):
        stage(Longest()).run(context)


def test_missing_samples_are_named(judge_context, make_sample):
    context = judge_context([make_sample(1, "good", "bad")])
    (context.inputs["of"] / "samples.jsonl").unlink()
    with pytest.raises(PathError, match=r"samples.jsonl: no such file"):
        stage(Longest()).run(context)


def test_confidence_is_a_probability(scripted):
    with pytest.raises(ValueError, match="less than 1"):
        stage(Longest(), confidence=90.0)


def test_many_prompts_are_asked_in_batches_and_all_answered(judge_context, scripted, make_sample):
    samples = [make_sample(i, "good", "bad") for i in range(70)]
    result = stage(scripted(by_text)).run(judge_context(samples))
    assert result.metrics["wins"] == 70


def test_a_damaged_line_of_verdicts_is_named_and_not_judged_over(judge_context, scripted, mixed):
    context = judge_context(mixed)
    stage(scripted(by_text)).run(context)
    path = context.folder / "verdicts.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([lines[0], "{damaged\n", *lines[2:]]), encoding="utf-8")
    with pytest.raises(DataError, match=r"verdicts\.jsonl:2: got '\{damaged'; expected a JSON obj"):
        stage(scripted(by_text)).run(context)


def test_verdicts_of_an_older_halo_hold(judge_context, scripted, mixed):
    context = judge_context(mixed)
    stage(scripted(by_text)).run(context)
    path = context.folder / "verdicts.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"v": 1, ', ""), encoding="utf-8")
    judge = scripted(by_text)
    stage(judge).run(context)
    assert judge.asked == []
    assert {record["v"] for record in records(context)} == {1}


TOOLS = [{"type": "function", "function": {"name": "weather"}}]
CALLS = {"tool_calls": [{"function": {"name": "weather", "arguments": {}}}]}


def test_what_stands_beside_the_texts_reaches_the_judge_and_stays_in_the_lines(
    judge_context, scripted, make_sample
):
    samples = [make_sample(1, "good", "good") | {"tools": TOOLS, "target_fields": CALLS}]
    judge = scripted(by_text)
    told: list[str] = []
    context = judge_context(samples, warn=told.append)
    stage(judge).run(context)
    assert [(c.tools, c.a_fields, c.b_fields) for c in judge.asked] == [
        (TOOLS, None, CALLS),
        (TOOLS, CALLS, None),
    ]
    (line,) = records(context)
    assert (line["tools"], line["baseline_fields"]) == (TOOLS, CALLS)
    assert "completion_fields" not in line
    assert told == [
        "1 of 1 prompts offer tools, 1 of 2 completions hold tool_calls, which Scripted does not "
        "read"
    ]
    stage(judge).run(judge_context(samples))
    assert len(judge.asked) == 2
    changed = [samples[0] | {"target_fields": {"thinking": "?"}}]
    stage(judge).run(judge_context(changed))
    assert [c.b_fields for c in judge.asked[2:]] == [{"thinking": "?"}, None]


def test_the_fields_of_another_stages_samples_are_those_of_the_baseline(
    judge_context, scripted, make_sample
):
    judge = scripted(by_text)
    ours = [make_sample(1, "bad", None) | {"completion_fields": CALLS}]
    stage(judge, against="other").run(judge_context(ours, against=[make_sample(1, "good", None)]))
    assert [(c.a_fields, c.b_fields) for c in judge.asked] == [(CALLS, None), (None, CALLS)]
