from typing import get_args

import pytest

from halo_judge.judge_stage.options import JudgeStage
from halo_judge.judge_stage.verdict_metrics import ENOUGH, length_metrics
from halo_judge.judge_stage.verdict_numbers import VerdictNumbers
from halo_judge.judges.longest import Longest
from halo_statistics import (
    INTERVALS,
    bootstrap_rate,
    length_bias,
    length_controlled_rate,
    proportion,
)


def stage(judge, **options):
    return JudgeStage(judge=judge, of="answers", **options)


def first(comparison):
    return "A"


def record(result="win", winners="AB", completion="good", baseline="bad"):
    """A line of verdicts.jsonl; `winners` are the positions that won in AB and BA; t is a tie."""
    named = {"A": "A", "B": "B", "t": "tie", "?": None}
    said = [
        {"order": order, "winner": named[winner], "reason": ""}
        for order, winner in zip(("AB", "BA"), winners, strict=False)
    ]
    texts = {"completion": completion, "baseline": baseline}
    flip = winners in ("AA", "BB")
    return {"result": result, "orders": said, "flip": flip, **texts, **LENGTHS}


LENGTHS = {"tokens": 1, "baseline_tokens": 1}


def of_lengths(records, *, confidence=0.9):
    return length_metrics(*VerdictNumbers(records).points_and_lengths(), confidence=confidence)


def test_a_judge_of_places_gives_all_points_to_the_first_and_never_agrees(
    judge_context, scripted, make_sample
):
    samples = [make_sample(k, "good", "bad") for k in range(4)]
    metrics = stage(scripted(first)).run(judge_context(samples)).metrics
    assert (metrics["first_shown"], metrics["agreement"], metrics["flip"]) == (1.0, 0.0, 1.0)


def test_asked_once_the_share_of_the_first_is_known_and_agreement_is_not(
    judge_context, scripted, make_sample
):
    samples = [make_sample(k, "good", "bad") for k in range(4)]
    judged = stage(scripted(first), orders="counterbalanced").run(judge_context(samples))
    assert judged.metrics["first_shown"] == 1.0
    assert judged.metrics["win"] == 0.5
    assert "agreement" not in judged.metrics


def test_points_of_places_are_those_counted_by_hand():
    records = [
        record("win", "AB"),  # 1 + 0
        record("loss", "BA"),  # 0 + 1
        record("tie", "AA"),  # 1 + 1
        record("tie", "At"),  # 1 + 1/2
        record("tie", "tt"),  # 1/2 + 1/2
        record("unscored", "A?"),
        record("tie", ""),  # the same texts
    ]
    assert VerdictNumbers(records).places() == {"first_shown": 6.5 / 10, "agreement": 3 / 5}


def test_a_half_tie_is_no_agreement_though_it_is_no_flip():
    metrics = VerdictNumbers([record("tie", "At")]).places()
    assert metrics == {"first_shown": 0.75, "agreement": 0.0}


def test_without_verdicts_nothing_is_said_of_places():
    assert VerdictNumbers([record("unscored", "??"), record("tie", "")]).places() == {}


def lines(count):
    """Records of growing completions, of which the longer ones win more."""
    results = ["loss", "tie", "win"]
    return [
        record(results[min(2, (k + k % 3) // (count // 3))], completion="x" * (5 + k))
        for k in range(count)
    ]


def test_lengths_are_characters_and_numbers_those_of_the_statistics():
    records = lines(60)
    points = [{"win": 1.0, "tie": 0.5, "loss": 0.0}[r["result"]] for r in records]
    ours, theirs = range(5, 65), [3] * 60
    expected = length_controlled_rate(points, ours, theirs, confidence=0.8)
    assert of_lengths(records, confidence=0.8) == {
        "win_lc": expected.rate,
        "win_lc_lo": expected.low,
        "win_lc_hi": expected.high,
        "length_bias": length_bias(points, ours, theirs).correlation,
    }


def test_unscored_verdicts_have_no_part_in_length_control():
    records = lines(60)
    failed = [record("unscored", "??", completion="x" * 900)] * 5
    assert of_lengths(records + failed) == of_lengths(records)


def test_few_verdicts_and_lengths_that_never_vary_have_no_length_metrics():
    assert of_lengths(lines(ENOUGH)[1:]) == {}
    assert of_lengths(lines(ENOUGH)) != {}
    assert of_lengths([record("win"), record("loss")] * 20) == {}
    shifted = [record("win", completion="x" * (k + 2), baseline="x" * k) for k in range(40)]
    assert of_lengths(shifted) == {}
    unscored = [record("unscored", "??", completion="x" * k) for k in range(40)]
    assert of_lengths(unscored) == {}


def test_the_judge_longest_is_found_out(judge_context, make_sample):
    samples = [make_sample(k, "x" * (k + 1), "y" * 15) for k in range(60)]
    metrics = stage(Longest()).run(judge_context(samples)).metrics
    assert metrics["length_bias"] > 0.7
    assert metrics["win"] > 0.7
    assert metrics["win_lc"] < 0.6
    assert metrics["win_lc_lo"] < metrics["win_lc"] < metrics["win_lc_hi"]


@pytest.mark.parametrize(("interval", "name"), [("wilson", "Wilson"), ("bootstrap", "bootstrap")])
def test_the_interval_is_the_one_asked_for_in_metrics_and_sentence(
    judge_context, make_sample, interval, name
):
    samples = [make_sample(k, "x" * (1 + k % 3), "yy") for k in range(9)]  # 3 wins, ties, losses
    judged = stage(Longest(), interval=interval, confidence=0.8).run(judge_context(samples))
    if interval == "wilson":
        share = proportion(4.5, 9, confidence=0.8, method="wilson")
    else:
        share = bootstrap_rate([1.0] * 3 + [0.5] * 3 + [0.0] * 3, confidence=0.8)
    assert (judged.metrics["win_lo"], judged.metrics["win_hi"]) == (share.low, share.high)
    assert judged.headline == (
        f"win rate 0.500 [{share.low:.3f}, {share.high:.3f}] against the SFT target, n=9, "
        f"0 % unscored ({name} 80 % interval; Longest)"
    )


def test_an_interval_that_does_not_exist_is_a_mistake():
    with pytest.raises(ValueError, match="'exact', 'wilson' or 'bootstrap'"):
        stage(Longest(), interval="wald")


def test_the_intervals_of_the_stage_are_those_of_the_statistics():
    assert get_args(JudgeStage.model_fields["interval"].annotation) == INTERVALS
