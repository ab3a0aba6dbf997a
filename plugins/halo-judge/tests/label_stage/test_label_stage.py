import json
from contextlib import nullcontext
from typing import ClassVar

import pytest
from pydantic import Field

from halo_core.errors import DataError, Interrupted, PluginError, UnscoredError, UserError
from halo_core.feedback import COLUMNS, prompt_id
from halo_core.judge import Verdict
from halo_core.rows import DataSet, arrow_schema
from halo_core.scoring_judge import Score, ScoringJudge
from halo_core.stage import StopFlag
from halo_core.testing.context import stage_context
from halo_judge.judges.longest import Longest
from halo_judge.label_stage.options import Label


class Scores(ScoringJudge):
    """Scores texts with a mapping, and records them."""

    asked: ClassVar[list[str]] = []
    values: dict = Field(description="Text to score, reason or error.")

    def open_scoring(self, context):
        return nullcontext(self)

    def score(self, answers):
        for answer in answers:
            self.asked.append(answer.completion)
            value = self.values[answer.completion]
            if isinstance(value, Exception):
                raise value
            if value == "nothing":
                continue
            given = isinstance(value, float)
            yield Score(answer.id, value if given else None, "" if given else value)


@pytest.fixture
def scores():
    Scores.asked.clear()
    return lambda **values: Scores(values=values)


@pytest.fixture
def label(tmp_path, judge_context, make_sample):
    """Labels samples, given as completions or (completion, target) of one prompt each."""

    def go(judge, *samples, other=None, stop=None, warnings=None, **options):
        lines = [
            make_sample(i, *(s if isinstance(s, tuple) else (s, None)))
            for i, s in enumerate(samples)
        ]
        more = {}
        if other is not None:
            more["against"] = [make_sample(i, s, None) for i, s in enumerate(other)]
            options["against"] = "other"
        warn = None if warnings is None else warnings.append
        context = judge_context(lines, stop=stop, warn=warn, **more)
        stage = Label(judge=judge, of="answers", **options)
        assert stage.mistakes() == []
        return context.folder, stage.run(context)

    return go


def rows(folder, *columns):
    found = [json.loads(line) for line in (folder / "feedback.jsonl").read_text().split("\n")[:-1]]
    return [tuple(row[c] for c in columns) for row in found] if columns else found


def dropped(folder):
    return json.loads((folder / "counts.json").read_text())["dropped"]


def test_scores_at_or_above_the_threshold_are_desirable(label, scores):
    judge = scores(a=1.0, b=0.5, c=0.25)
    folder, result = label(judge, "a", "b", "c", feedback="binary", threshold=0.5)
    assert rows(folder, "completion", "desirable", "score") == [
        ("a", True, 1.0),
        ("b", True, 0.5),
        ("c", False, 0.25),
    ]
    assert result.metrics == {
        "n": 3,
        "dropped": 0,
        "unscored": 0,
        "desirable": 2,
        "undesirable": 1,
        "threshold": 0.5,
    }
    assert result.headline == "3 rows of binary feedback: 2 desirable, 1 undesirable (Scores)"


def test_a_detector_of_the_unwanted_makes_low_scores_desirable(label, scores):
    options = {"feedback": "binary", "threshold": 0.5, "desirable": "below"}
    folder, _ = label(scores(a=1.0, b=0.5, c=0.25), "a", "b", "c", **options)
    assert rows(folder, "completion", "desirable") == [("a", False), ("b", True), ("c", True)]


def test_the_median_of_all_scores_may_be_the_threshold(label, scores):
    judge = scores(a=5.0, b=7.0, c=9.0, d=8.0)
    folder, result = label(judge, "a", "b", "c", "d", feedback="binary", threshold="median")
    assert result.metrics["threshold"] == 7.5
    assert rows(folder, "desirable") == [(False,), (False,), (True,), (True,)]


def test_scores_within_the_margin_are_left_out_and_counted(label, scores):
    judge = scores(a=1.0, b=0.6, c=0.4, d=0.75, e=0.25)
    options = {"feedback": "binary", "threshold": 0.5, "margin": 0.25}
    folder, result = label(judge, *"abcde", **options)
    assert rows(folder, "completion") == [("a",), ("d",), ("e",)]
    assert dropped(folder) == {"nearer to the threshold than the margin": 2}
    assert "left out: 2 nearer to the threshold than the margin" in result.headline


def test_only_one_label_is_a_warning(label, scores):
    warnings = []
    options = {"feedback": "binary", "threshold": 0.0, "warnings": warnings}
    label(scores(a=1.0, b=2.0), "a", "b", **options)
    (told,) = warnings
    assert told.startswith("all 2 completions are desirable; a loss such as kto needs both")


def test_pairs_are_the_best_against_the_worst_of_a_prompt(label, scores):
    judge = scores(a=1.0, b=2.0, c=4.0, d=3.0)
    folder, _ = label(judge, "a", "c", other=["b", "d"], feedback="paired")
    assert rows(folder, "chosen", "rejected", "chosen_score", "rejected_score") == [
        ("b", "a", 2.0, 1.0),
        ("c", "d", 4.0, 3.0),
    ]
    folder, _ = label(judge, "a", other=["b"], feedback="paired", desirable="below")
    assert rows(folder, "chosen", "rejected") == [("a", "b")]


def test_pairs_without_a_difference_are_left_out_and_counted(label, scores):
    judge = scores(a=1.0, b=1.0, c=1.25, d=2.0, e="too odd")
    folder, _ = label(
        judge,
        *"aaaaaa",
        other=["b", "c", "d", "a", "e", " "],
        feedback="paired",
        margin=0.5,
    )
    assert rows(folder, "chosen", "rejected") == [("d", "a")]
    assert dropped(folder) == {
        "empty completion": 1,
        "equal scores": 1,
        "only one completion of the prompt": 3,
        "same completion of the prompt": 1,
        "scores that differ by less than the margin": 1,
        "unscored": 1,
    }


def test_targets_may_stand_against_samples(label, scores):
    samples = [("a", "b"), ("c", None)]
    folder, _ = label(scores(a=1.0, b=2.0, c=3.0), *samples, feedback="paired", against="target")
    assert rows(folder, "chosen", "rejected") == [("b", "a")]
    assert dropped(folder) == {"only one completion of the prompt": 1}


def test_scored_feedback_keeps_all_scores_and_higher_is_better(label, scores):
    judge = scores(a=1.0, b=2.0, c=4.0, d=3.0)
    folder, _ = label(judge, "a", "c", other=["b", "d"], feedback="scored")
    assert rows(folder, "completions", "scores") == [
        (["a", "b"], [1.0, 2.0]),
        (["c", "d"], [4.0, 3.0]),
    ]
    options = {"feedback": "scored", "desirable": "below"}
    folder, _ = label(judge, "a", "c", other=["b", "d"], **options)
    assert rows(folder, "scores") == [([-1.0, -2.0],), ([-4.0, -3.0],)]


def test_a_judge_that_compares_makes_pairs_of_what_both_orders_say(label, scripted):
    def says(comparison):
        if "same" in (comparison.a, comparison.b):
            return "tie"
        if "first" in (comparison.a, comparison.b):
            return "A"
        if "odd" in (comparison.a, comparison.b):
            return Verdict(comparison.id, None, "no opinion")
        return "A" if comparison.a > comparison.b else "B"

    warnings = []
    folder, result = label(
        scripted(says),
        *["a", "d", "same", "first", "odd", "x"],
        other=["b", "c", "1", "2", "3", "x"],
        feedback="paired",
        warnings=warnings,
    )
    assert rows(folder, "chosen", "rejected") == [("b", "a"), ("d", "c")]
    assert dropped(folder) == {
        "only one completion of the prompt": 1,
        "same completion of the prompt": 1,
        "the two orders preferred different texts": 1,
        "tie": 1,
        "unscored": 1,
    }
    assert result.metrics == {"n": 2, "dropped": 5, "unscored": 1}
    (told,) = warnings
    assert told == ("1 are unscored and left out; the first: no opinion. To ask again: --again win")
    kept = [json.loads(line) for line in (folder / "verdicts.jsonl").read_text().splitlines()]
    assert [len(record["orders"]) for record in kept] == [2, 2, 2, 2, 2]
    assert not {"tokens", "baseline_tokens"} & set(kept[0])


def test_a_stopped_stage_goes_on_and_asks_nothing_twice(label, scores):
    judge = scores(a=1.0, b=2.0, c=3.0)
    stop = StopFlag()

    class Stops(Scores):
        def score(self, answers):
            for score in super().score(answers):
                stop.set(2)
                yield score

    options = {"feedback": "binary", "threshold": 2.0}
    with pytest.raises(
        Interrupted, match="1 of 3 scores are kept; run the same command again to continue"
    ):
        label(Stops(values=judge.values), *"abc", stop=stop, **options)
    assert Scores.asked == ["a"]
    folder, _ = label(judge, *"abc", **options)
    assert Scores.asked == ["a", "b", "c"]
    assert rows(folder, "completion") == [("a",), ("b",), ("c",)]


def test_a_line_that_a_kill_cut_off_is_asked_again(label, scores):
    judge = scores(a=1.0, b=2.0)
    options = {"feedback": "binary", "threshold": 2.0}
    folder, _ = label(judge, "a", "b", **options)
    lines = (folder / "scores.jsonl").read_text()
    (folder / "scores.jsonl").write_text(lines[:-5])
    label(judge, "a", "b", **options)
    assert Scores.asked == ["a", "b", "b"]
    assert (folder / "scores.jsonl").read_text() == lines


def test_a_stopped_comparison_goes_on(label, scripted):
    stop = StopFlag()

    def says(comparison):
        stop.set(2)
        return "A" if comparison.a > comparison.b else "B"

    judge = scripted(says)
    with pytest.raises(Interrupted, match="1 of 2 verdicts are kept"):
        label(judge, "a", "c", other=["b", "d"], feedback="paired", stop=stop)
    folder, _ = label(judge, "a", "c", other=["b", "d"], feedback="paired")
    assert len(judge.asked) == 4
    assert rows(folder, "chosen") == [("b",), ("d",)]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"feedback": "binary", "threshold": 1.5}, "binary"),
        ({"feedback": "paired"}, "paired"),
        ({"feedback": "scored"}, "scored"),
    ],
)
def test_the_source_jsonl_reads_back_what_was_written(label, scores, options, kind):
    from halo_data.components import Jsonl

    odd = "\u2028 \u202e {a} \U0001f404 <|user|>"
    judge = scores(**{"a": 1.0, odd: 2.0, "c": 3.0, "d": 4.0})
    folder, _ = label(judge, "a", "c", other=[odd, "d"], **options)
    source = Jsonl(path=str(folder / "feedback.jsonl"))
    assert source.inspect().feedback == kind
    loaded = source.load("train")
    columns = [*COLUMNS[kind]]
    read = [[row[c] for c in columns] for row in loaded.rows]
    assert read == [[row[c] for c in columns] for row in rows(folder)]
    assert not loaded.dropped


def test_what_a_judge_that_raises_did_not_score_is_unscored(label, scores):
    warnings = []
    judge = scores(a=1.0, b=ZeroDivisionError("a bug"), c=2.0)
    folder, result = label(judge, *"abc", feedback="binary", threshold=1.0, warnings=warnings)
    assert rows(folder, "completion") == [("a",), ("c",)]
    assert result.metrics["unscored"] == 1
    assert "the first: Scores raised ZeroDivisionError: a bug" in warnings[0]
    kept = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert [record["score"] for record in kept] == [1.0, None, 2.0]


def test_credentials_in_what_a_judge_raises_are_not_kept(label, scores):
    warnings = []
    judge = scores(a=1.0, b=OSError("no answer from http://ann:sesame@host"))
    folder, _ = label(judge, *"ab", feedback="binary", threshold=1.0, warnings=warnings)
    assert "no answer from http://***@host" in warnings[0]
    assert "sesame" not in (folder / "scores.jsonl").read_text()


def test_no_row_is_an_error_that_says_why(label, scores):
    with pytest.raises(DataError) as error:
        label(
            scores(a="out of reach", b=1.0),
            "a",
            " ",
            "b",
            feedback="binary",
            threshold=1.0,
            margin=1,
        )
    assert str(error.value) == (
        "stages.win: no row of feedback is left (1 empty completion, 1 nearer to the threshold "
        "than the margin, 1 unscored). The first that is unscored: out of reach. The folder "
        "keeps the judge's answers; expected at least one row"
    )


def test_a_judge_that_scores_nothing_is_an_error(label, scores):
    with pytest.raises(UnscoredError) as error:
        label(scores(a="out of reach"), "a", " ", feedback="binary", threshold=1.0)
    assert str(error.value) == (
        "Scores scored none of 1 completions; the first: out of reach. So there is no result. "
        "The same command asks again"
    )


def test_a_judges_own_error_stops_the_stage(label, scores):
    with pytest.raises(UserError, match="no key"):
        label(scores(a=UserError("no key")), "a", feedback="binary", threshold=1.0)


def test_a_judge_that_breaks_its_interface_is_named(label):
    class Wrong(Scores):
        def score(self, answers):
            return [Score("another", 1.0)]

    with pytest.raises(PluginError) as error:
        label(Wrong(values={}), "a", feedback="binary", threshold=1.0)
    assert error.value.message.endswith(
        "Wrong.score() gave a Score of 'another', which waits for none; expected one Score per "
        "answer, with its id and a finite float or None"
    )
    assert error.value.location.startswith(f"{__file__}:")

    class NoSession(Scores):
        def open_scoring(self, context):
            return 3

    with pytest.raises(PluginError, match="open_scoring\\(\\) returned 3"):
        label(NoSession(values={}), "a", feedback="binary", threshold=1.0)


def data_set(path, feedback, given):
    import pyarrow as pa

    prompt = [{"role": "user", "content": "q"}]
    whole = [
        {"id": f"{i}", "source": "t", "prompt": prompt, "prompt_id": prompt_id(prompt)} | row
        for i, row in enumerate(given)
    ]
    schema = arrow_schema(feedback)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist(whole, schema=schema))
    return DataSet("train", feedback, [path])


@pytest.mark.parametrize(
    ("feedback", "given"),
    [
        ("demonstration", [{"completion": "a"}, {"completion": "b"}]),
        ("binary", [{"completion": t, "desirable": True} for t in "aba"]),
        ("paired", [{"chosen": "a", "rejected": "b"}]),
        ("scored", [{"completions": ["a", "b"], "scores": [3.0, 4.0]}]),
    ],
)
def test_completions_of_data_are_labelled(tmp_path, scores, feedback, given):
    data = data_set(tmp_path / "rows.arrow", feedback, given)
    context = stage_context(tmp_path / "out", data={"data": data})
    stage = Label(judge=scores(a=1.0, b=2.0), data="train", feedback="paired")
    assert stage.mistakes() == []
    stage.run(context)
    assert rows(context.folder, "chosen", "rejected") == [("b", "a")]


THREE = [{"completions": ["a", "b", "c"], "scores": [0.0, 0.0, 0.0]}]


def test_of_several_completions_the_best_stands_against_the_worst(tmp_path, scores):
    context = stage_context(
        tmp_path / "out", data={"data": data_set(tmp_path / "rows.arrow", "scored", THREE)}
    )
    judge = scores(a=2.0, b=3.0, c=1.0)
    Label(judge=judge, data="train", feedback="paired").run(context)
    assert rows(context.folder, "chosen", "rejected") == [("b", "c")]


def test_a_judge_that_compares_sees_two_completions_of_a_prompt(tmp_path, scripted):
    context = stage_context(
        tmp_path / "out", data={"data": data_set(tmp_path / "rows.arrow", "scored", THREE)}
    )
    judge = scripted(lambda c: "A" if c.a < c.b else "B")
    Label(judge=judge, data="train", feedback="paired").run(context)
    assert rows(context.folder, "chosen", "rejected") == [("a", "b")]
    assert dropped(context.folder) == {"third and later completion": 1}


def test_completions_that_are_too_long_for_the_judge_are_told(tmp_path, label):
    class Short(Scores):
        def score(self, answers):
            for given in super().score(answers):
                yield Score(given.id, given.value, cut=given.value > 1)

    warnings = []
    options = {"feedback": "binary", "threshold": 1.5, "warnings": warnings}
    folder, _ = label(Short(values={"a": 1.0, "b": 2.0}), "a", "b", **options)
    assert warnings == [
        "1 of 2 completions were too long for the judge with their prompt: it saw a part of them "
        '("cut" in scores.jsonl)'
    ]
    kept = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert [record["cut"] for record in kept] == [False, True]


@pytest.mark.parametrize(
    ("feedback", "columns", "told"),
    [
        ("text", {"text": "x"}, "holds raw text, which has no completions"),
        (
            "prompts",
            {"prompt": [{"role": "user", "content": "x"}]},
            "holds prompts alone, which have no completions",
        ),
    ],
)
def test_what_has_no_completions_cannot_be_labelled(tmp_path, scores, feedback, columns, told):
    import pyarrow as pa

    path = tmp_path / "rows.arrow"
    schema = arrow_schema(feedback)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        row = {"id": "0", "source": "t", "prompt_id": "0", **columns}
        writer.write_table(pa.Table.from_pylist([row], schema=schema))
    data = {"data": DataSet("corpus", feedback, [path])}
    stage = Label(judge=scores(), data="corpus", feedback="scored")
    with pytest.raises(DataError, match=f"data set 'corpus': {told}"):
        stage.run(stage_context(tmp_path / "out", data=data))


@pytest.mark.parametrize(
    ("options", "option", "message"),
    [
        ({"threshold": 0.0}, "of", "from `of` (samples) or from `data`; neither is given"),
        ({"of": "a", "data": "t", "threshold": 0.0}, "of", "both are given"),
        ({"data": "t", "against": "b", "threshold": 0.0}, "against", "with `data` it has no"),
        ({"of": "a"}, "threshold", "binary feedback needs one: a number, or median"),
        (
            {"of": "a", "against": "b", "feedback": "paired", "threshold": 1.0},
            "threshold",
            "paired feedback has none; leave it out",
        ),
        (
            {"of": "a", "against": "a", "feedback": "paired"},
            "against",
            "a is what `of` gives too, so no prompt has two completions; give another, or 'target'",
        ),
        ({"of": "a", "feedback": "paired"}, "against", "a pair needs a second completion"),
        (
            {"of": "a", "feedback": "scored", "margin": 1.0},
            "margin",
            "scored feedback keeps all scores",
        ),
    ],
)
def test_options_that_contradict_each_other_are_told(options, option, message):
    stage = Label(judge=Longest(), **({"feedback": "binary"} | options))
    (mistake,) = stage.mistakes()
    assert mistake[0] == option
    assert message in mistake[1]


def test_a_judge_without_scores_makes_pairs_only(scripted):
    judge = scripted(lambda c: "A")
    stage = Label(judge=judge, of="a", feedback="binary", threshold=0.5)
    ((option, message),) = stage.mistakes()
    assert option == "judge"
    assert message.startswith("compares texts and gives no scores, so it cannot make binary")
    more = {"against": "b", "feedback": "paired", "margin": 0.5, "desirable": "below"}
    found = Label(judge=judge, of="a", **more).mistakes()
    assert [option for option, _ in found] == ["margin", "desirable"]


def test_a_threshold_may_be_written_as_a_whole_number():
    made = Label.build(
        '{"judge": "j", "of": "a", "feedback": "binary", "threshold": 0}', {"j": Longest()}
    )
    assert made.threshold == 0.0
    assert isinstance(made.threshold, float)
