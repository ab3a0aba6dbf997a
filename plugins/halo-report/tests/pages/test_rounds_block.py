"""The rounds of a run on its page and on that of a comparison: one figure, one table."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from halo_report.figures.plot import svg_element
from halo_report.figures.round_curves import broken_curve
from halo_report.pages.rounds_block import compared_rounds_block, rounds_block
from halo_report.pages.run_page import render_page
from halo_report.read.judged_stages import judged_stages
from halo_report.read.rounds import judged_rounds, trained_rounds
from halo_report.read.run_data import StageData, read_run

STEPS = 4


def verdicts(wins, losses):
    results = ["win"] * wins + ["loss"] * losses
    return [{"prompt_id": f"p{i}", "result": result} for i, result in enumerate(results)]


def train(id_, start, number=0, repeats=""):
    curves = {
        "train/loss": {step: 1.0 / step + number for step in range(1, STEPS + 1)},
        "policy/kl": {step: 10.0 * number + step for step in (2, STEPS)},
    }
    return StageData(id_, "train", "computed", "model", "kto", curves=curves, start=start,
                     round=number, repeats=repeats)  # fmt: skip


def judged(model, wins, losses, number=0, name="win", **options):
    """Returns the stage that samples a model and the one that judges the samples."""
    suffix = f"-{number}" if number else "-0"
    samples = StageData(f"of-{name}{suffix}", "sample", "computed", "samples", start=model,
                        round=number, repeats=f"of-{name}" if number else "")  # fmt: skip
    judge = StageData(f"{name}{suffix}", "judge", "computed", "verdicts", judged=samples.id,
                      rival="target", verdicts=verdicts(wins, losses),
                      metrics={"len": 7.0 + number},
                      options={"judge": {"use": "oracle"}, "of": samples.id, **options},
                      round=number, repeats=name if number else "")  # fmt: skip
    return [samples, judge]


def stages_of_a_run(n=2):
    found = [train("sft", "model"), *judged("sft", 4, 6)]
    before = "sft"
    for number in range(1, n + 1):
        found += [train(f"kto-{number}", before, number, "kto")]
        before = f"kto-{number}"
        found += judged(before, 4 + 2 * number, 6 - 2 * number, number)
    return found


def test_the_win_rates_of_one_judge_are_by_round_and_begin_with_the_start() -> None:
    stages = stages_of_a_run()
    (rates,) = judged_rounds(stages, judged_stages(stages))
    assert rates.name == "win"
    assert {n: one.rate.main.rate for n, one in rates.judged.items()} == {0: 0.4, 1: 0.6, 2: 0.8}


def test_another_judge_has_its_own_line() -> None:
    stages = [*stages_of_a_run(1), *judged("kto-1", 1, 9, 1, "other", judge={"use": "longest"})]
    rates = judged_rounds(stages, judged_stages(stages))
    assert [(one.name, list(one.judged)) for one in rates] == [("win", [0, 1]), ("other", [1])]


def test_a_model_counts_for_its_round_if_it_is_judged_outside_of_the_rounds() -> None:
    inside = stages_of_a_run()
    stages = [replace(s, round=0, repeats="") if s.use != "train" else s for s in inside]
    (rates,) = judged_rounds(stages, judged_stages(stages))
    assert (rates.name, list(rates.judged)) == ("win-2", [0, 1, 2])


def test_a_judged_model_that_no_round_made_has_no_place_in_the_rounds() -> None:
    stages = [train("base", "model"), *stages_of_a_run(1), *judged("base", 5, 5, name="early")]
    (rates,) = judged_rounds(stages, judged_stages(stages))
    assert list(rates.judged) == [0, 1]
    assert rates.judged[0].name == "sft"


def test_the_steps_of_all_rounds_are_counted_on() -> None:
    (training,) = trained_rounds(stages_of_a_run(3))
    assert training.begins == {1: 0, 2: STEPS, 3: 2 * STEPS}
    assert training.curves["policy/kl"] == {2: 12, 4: 14, 6: 22, 8: 24, 10: 32, 12: 34}


def test_a_curve_is_broken_where_a_round_begins() -> None:
    curve = broken_curve({1: 5.0, 4: 4.0, 5: 9.0}, {1: 0, 2: 4})
    assert list(curve) == [1, 4, 4.5, 5]
    assert [value for value in curve.values() if value == value] == [5.0, 4.0, 9.0]


def test_the_block_has_one_figure_and_a_row_for_each_round() -> None:
    stages = stages_of_a_run()
    block = rounds_block(stages, judged_stages(stages))
    assert block is not None
    (plot,), (table,) = block.plots, block.tables
    assert plot.caption == (
        "Win rates after each round with exact 90 % intervals. "
        "kto: the steps of all rounds; a dotted line begins a round"
    )
    picture = svg_element(plot)
    for label in ("round (0: before the first)", "optimiser step of all rounds", "loss"):
        assert f">{label}<" in picture
    assert table.header == [
        *("round", "win rate (win)", "answers' median length", "KL at the end", "loss at the end"),
    ]
    assert [row[0] for row in table.rows] == ["0", "1", "2"]
    assert table.rows[0][3:] == ["-", "-"]
    assert table.rows[2][1].startswith("0.800 [")
    assert table.rows[2][2:] == ["9", "24", "2.25"]


def test_rounds_that_are_not_judged_have_their_curves() -> None:
    block = rounds_block([train("kto-1", "model", 1, "kto")], [])
    assert block is not None
    assert block.plots[0].caption == "kto: the steps of all rounds; a dotted line begins a round"
    assert "win rate" not in svg_element(block.plots[0])


def test_a_run_without_rounds_has_no_such_block(write_run) -> None:
    stages = [train("sft", "model"), *judged("sft", 4, 6)]
    assert rounds_block(stages, judged_stages(stages)) is None
    assert ">Rounds<" not in render_page(read_run(write_run()))


@pytest.fixture
def run_with_rounds(write_run) -> Path:
    """A run whose record says that `kto` is a stage of the first round."""
    run = write_run()
    record = json.loads((run / "run.json").read_text())
    for stage in record["stages"]:
        if stage["id"] in ("kto", "after", "win-kto"):
            stage |= {"round": 1, "repeats": stage["id"]}
    (run / "run.json").write_text(json.dumps(record))
    return run


def test_the_page_of_a_run_has_its_rounds(run_with_rounds) -> None:
    run = read_run(run_with_rounds)
    assert [s.round for s in run.stages] == [0, 1, 0, 1, 0, 1]
    page = render_page(run)
    assert "Rounds</h" in page
    assert "Win rates after each round" in page
    assert "KL at the end" in page


def test_a_comparison_draws_the_rounds_of_each_run_once(run_with_rounds) -> None:
    run = read_run(run_with_rounds)
    other = replace(run, folder=run.folder / "other", name="other", title="another")
    block = compared_rounds_block([run, run, other])
    assert block is not None
    picture = svg_element(block.plots[0])
    assert picture.count(">another<") == 1
    assert block.plots[0].caption == (
        "Win rates after each round with their intervals; KL to the reference of each round"
    )
    without = [replace(s, round=0, repeats="") for s in run.stages]
    assert compared_rounds_block([replace(run, stages=without)]) is None
