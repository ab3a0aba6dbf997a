"""If a judge raises, only items that it cannot answer are lost; they are asked twice at most."""

import json
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
from pydantic import Field

from halo_core.cli import call
from halo_core.errors import Interrupted, PluginError, UserError
from halo_core.judge import Comparison, Judge, Verdict
from halo_core.scoring_judge import Answer, Score, ScoringJudge
from halo_core.stage import StopFlag
from halo_judge.judge_stage.options import JudgeStage
from halo_judge.label_stage.options import Label

PROMPTS = 20


class Calls:
    """Answers with the result of a function of all items of a call, and records the calls."""

    calls: ClassVar[list[list[str]]] = []

    def compare(self, comparisons):
        return self._answered(comparisons)

    def score(self, answers):
        return self._answered(answers)

    def _answered(self, items):
        self.calls.append([text_of(item) for item in items])
        return self.says(items)


class Compares(Calls, Judge):
    """Compares with a function."""

    prompts_at_once: ClassVar[int] = 10
    says: Any = Field(description="Items to replies.")

    def open(self, context):
        return nullcontext(self)


class Scores(Calls, ScoringJudge):
    """Scores with a function."""

    prompts_at_once: ClassVar[int] = 10
    says: Any = Field(description="Items to replies.")

    def open_scoring(self, context):
        return nullcontext(self)


def text_of(item):
    """Names an item by its prompt and, of a comparison, its order."""
    number = item.prompt[0]["content"].removeprefix("q")
    return f"{number} {item.id[-2:]}" if isinstance(item, Comparison) else number


def answered(item):
    """A verdict for the completion, or a score of 1."""
    if isinstance(item, Answer):
        return Score(item.id, 1.0)
    return Verdict(item.id, "A" if item.id.endswith("AB") else "B")


def number_of(item):
    return int(text_of(item).split()[0])


@pytest.fixture(params=["verdicts", "scores"])
def run(request, judge_context, make_sample):
    """Judges or labels the completions of twenty prompts.

    Returns the lines with a result by their number, and why others have none.
    """

    def go(says, prompts=PROMPTS, stop=None, warnings=None, again=False):
        if not again:
            Calls.calls.clear()
        lines = [make_sample(i, f"text {i}", "target") for i in range(prompts)]
        warn = None if warnings is None else warnings.append
        context = judge_context(lines, stop=stop, warn=warn)
        if request.param == "verdicts":
            JudgeStage(judge=Compares(says=says), of="answers").run(context)
        else:
            judge = Scores(says=says)
            Label(judge=judge, of="answers", feedback="binary", threshold=0.5).run(context)
        return results(context.folder / f"{request.param}.jsonl")

    go.kind = request.param
    return go


def results(path):
    """Returns True, or the reasons why there is no result, by number."""
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        record = json.loads(line)
        said = record.get("orders", [record])
        reasons = [s["reason"] for s in said if s.get("winner", s.get("score")) is None]
        found[number] = reasons or True
    return found


def times_asked(calls):
    return Counter(text for call in calls for text in call)


def each(reply):
    """Yields the result of a function for each item."""
    return lambda items: (reply(item) for item in items)


def raising(fails, error=None):
    def reply(item):
        if fails(item):
            raise error or ZeroDivisionError(f"odd {number_of(item)}")
        return answered(item)

    return reply


def name(run):
    return "Compares" if run.kind == "verdicts" else "Scores"


def test_an_item_that_raises_is_unscored_with_its_error_and_the_others_are_not(run):
    warnings = []
    found = run(each(raising(lambda item: number_of(item) == 4)), warnings=warnings)
    orders = 2 if run.kind == "verdicts" else 1
    assert found.pop(4) == [f"{name(run)} raised ZeroDivisionError: odd 4"] * orders
    assert set(found.values()) == {True}
    assert len(found) == PROMPTS - 1
    assert f"{name(run)} raised ZeroDivisionError: odd 4" in warnings[0]


def test_what_was_answered_is_never_asked_again(run):
    run(each(raising(lambda item: number_of(item) == 4)))
    together, *alone = [call for call in Calls.calls if number_in(call[0]) < 10]
    given = together[: together.index(next(text for text in together if number_in(text) == 4))]
    assert [len(call) for call in alone] == [1] * (len(together) - len(given))
    assert times_asked(Calls.calls) == {text: 2 - (text in given) for text in together} | {
        text: 1 for call in Calls.calls for text in call if number_in(text) >= 10
    }


def number_in(text):
    return int(text.split()[0])


def test_a_batch_that_fails_as_a_whole_is_answered_one_by_one(run):
    def says(items):
        if len(items) > 1:
            raise MemoryError("too many")
        return [answered(item) for item in items]

    assert set(run(says).values()) == {True}
    assert max(times_asked(Calls.calls).values()) == 2


def test_of_what_raises_by_chance_only_that_is_unscored_which_raises_when_asked_again(run):
    draw, lost = Random(1), set()

    def says(items):
        for item in items:
            if draw.random() < 0.3:
                if len(items) == 1:
                    lost.add(number_of(item))
                raise TimeoutError("by chance")
            yield answered(item)

    found = run(says, prompts=60)
    assert {number for number, said in found.items() if said is not True} == lost
    assert 0 < len(lost) < 60
    assert max(times_asked(Calls.calls).values()) == 2


def test_a_judge_that_always_raises_is_given_up(run):
    warnings = []
    # The very first one is fine: no feedback at all would be an error.
    says = each(raising(lambda item: number_of(item) > 0, OSError("down")))
    found = run(says, warnings=warnings)
    assert found.pop(0) is True
    raised = f"{name(run)} raised OSError: down"
    said = Counter(reason for reasons in found.values() for reason in reasons)
    rest = (2 if run.kind == "verdicts" else 1) * (PROMPTS - 1) - 10
    given_up = f"given up after 10 failures in a row, the last: {raised}"
    assert said == {raised: 10, given_up: rest}
    asked = [len(call) for call in Calls.calls]
    assert (asked.count(1), len(asked) - asked.count(1)) == (10, 1 if run.kind == "verdicts" else 2)
    assert f"the first: {raised}. To ask again: --again win" in warnings[0]


def test_a_judge_that_dies_loses_what_comes_after(run):
    seen = []

    def dying(item):
        if len(seen) == 12:
            raise ConnectionError("gone")
        seen.append(item.id)
        return answered(item)

    found = run(each(dying))
    scored = [number for number, said in found.items() if said is True]
    assert scored == list(range(6 if run.kind == "verdicts" else 12))
    reasons = [reason for said in found.values() if said is not True for reason in said]
    assert sum(reason.startswith("given up after 10 failures") for reason in reasons) == (
        len(reasons) - 10 if run.kind == "verdicts" else 0
    )


def test_failures_that_are_not_in_a_row_do_not_end_the_asking(run):
    found = run(each(raising(lambda item: number_of(item) % 4 != 3)), prompts=40)
    assert [number for number, said in found.items() if said is True] == [*range(3, 40, 4)]
    assert not any("given up" in str(said) for said in found.values())


def test_a_judge_that_takes_one_prompt_at_a_time_is_borne_eight_failures(run, monkeypatch):
    for judge in (Compares, Scores):
        monkeypatch.setattr(judge, "prompts_at_once", 1)
    found = run(each(raising(lambda item: number_of(item) >= 3)), prompts=40)
    reasons = [reason for said in found.values() if said is not True for reason in said]
    assert sum("raised" in reason and "given up" not in reason for reason in reasons) == 8
    assert sum(reason.startswith("given up after 8 failures") for reason in reasons) > 0


def test_the_next_run_asks_for_what_was_given_up(run):
    broken = [True]
    says = each(raising(lambda item: broken[0] and number_of(item) >= 5))
    assert sum(said is True for said in run(says).values()) == 5
    broken[0] = False
    Calls.calls.clear()
    assert set(run(says, again=True).values()) == {True}
    assert min(number_in(text) for call in Calls.calls for text in call) == 5


def test_a_reply_before_the_call_raises_is_kept_also_when_it_is_alone(run):
    def says(items):
        for item in items:
            yield answered(item)
            raise ValueError("after the reply")

    assert set(run(says).values()) == {True}
    assert max(times_asked(Calls.calls).values()) == 2


def test_what_is_passed_over_is_unscored_and_not_asked_again(run):
    noun = "verdict" if run.kind == "verdicts" else "score"
    found = run(lambda items: [answered(item) for item in items if number_of(item) != 4])
    assert set(found.pop(4)) == {f"{name(run)} gave no {noun}"}
    assert set(found.values()) == {True}
    assert set(times_asked(Calls.calls).values()) == {1}


def test_what_is_passed_over_when_asked_again_is_unscored(run):
    def says(items):
        if len(items) > 1:
            raise MemoryError("too many")
        return [answered(item) for item in items if number_of(item) != 4]

    found = run(says)
    noun = "verdict" if run.kind == "verdicts" else "score"
    assert set(found.pop(4)) == {f"{name(run)} gave no {noun}"}
    assert set(found.values()) == {True}


@pytest.mark.parametrize("when", ["together", "alone"])
@pytest.mark.parametrize("wrong", ["twice", "foreign"])
def test_replies_to_what_does_not_wait_are_the_authors_fault_whenever_they_come(run, when, wrong):
    def says(items):
        if when == "alone" and len(items) > 1:
            raise MemoryError("too many")
        given = [answered(item) for item in items]
        other = answered(Answer("another", items[0].prompt, ""))
        foreign = Verdict("another", "A") if run.kind == "verdicts" else other
        return [*given, given[0] if wrong == "twice" else foreign]

    with pytest.raises(PluginError, match="which waits for none"):
        run(says)


def test_an_error_raised_on_purpose_stops_when_an_item_is_asked_again(run):
    def says(items):
        raise UserError("no key") if len(items) == 1 else MemoryError("too many")

    with pytest.raises(UserError, match="no key"):
        run(says)


def test_a_stop_is_heeded_before_each_item_that_is_asked_again(run):
    stop = StopFlag()

    def says(items):
        if len(items) > 1:
            raise MemoryError("too many")
        stop.set(2)
        return [answered(items[0])]

    with pytest.raises(Interrupted, match=r"\d of 20 (verdicts|scores) are kept; run the same"):
        run(says, stop=stop)
    assert [len(call) for call in Calls.calls][1:] == [1]


def test_credentials_of_an_item_that_raises_alone_are_not_kept(run):
    error = OSError("no answer from http://ann:sesame@host")
    found = run(each(raising(lambda item: number_of(item) == 4, error)))
    assert set(found[4]) == {f"{name(run)} raised OSError: no answer from http://***@host"}


def test_a_text_that_cannot_be_scored_costs_its_comparisons_alone(judge_context, make_sample):
    scored = Counter()

    def reply(answer):
        if answer.completion == "text 4":
            raise ZeroDivisionError("odd 4")
        scored[answer.id] += 1
        return answered(answer)

    context = judge_context([make_sample(i, f"text {i}", "target") for i in range(PROMPTS)])
    result = JudgeStage(judge=Scores(says=each(reply)), of="answers").run(context)
    found = results(context.folder / "verdicts.jsonl")
    assert found.pop(4) == ["Scores raised ZeroDivisionError: odd 4"] * 2
    assert set(found.values()) == {True}
    assert result.metrics["unscored"] == 1
    assert len(scored) == 2 * PROMPTS - 1
    assert set(scored.values()) == {1}


ODD = '''
from contextlib import nullcontext
from types import SimpleNamespace

from halo_core import Judge, Verdict


class Odd(Judge):
    """Prefers the first text, and raises on an odd one."""

    def open(self, context):
        def compare(comparisons):
            for each in comparisons:
                with open("asked.txt", "a") as file:
                    print(each.id, file=file)
                if "odd" in each.a + each.b:
                    raise ZeroDivisionError("api_key=sesame")
                yield Verdict(each.id, "A")

        return nullcontext(SimpleNamespace(compare=compare))
'''


@pytest.fixture
def halo(tmp_path, monkeypatch, capsys):
    """Runs ``halo judge`` with the judge `Odd`; returns stdout and stderr, and the requests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HALO_WORKSPACE", "workspace")
    Path("odd.py").write_text(ODD, encoding="utf-8")

    def go(*arguments):
        Path("asked.txt").write_text("")
        assert call(["judge", *arguments, "--judge", "file:./odd.py:Odd", "--json"]) == 0
        told = capsys.readouterr()
        return json.loads(told.out), told.err, Path("asked.txt").read_text().split()

    return go


def test_halo_judge_loses_the_odd_comparison_alone_and_asks_for_it_again(halo):
    texts = ["one", "two", "odd", "four"]
    for file, end in (("a.json", "a"), ("b.json", "b")):
        rows = [{"instruction": f"q{text}", "output": f"{text} {end}"} for text in texts]
        Path(file).write_text(json.dumps(rows), encoding="utf-8")
    told, err, asked = halo("--a", "a.json", "--b", "b.json")
    assert (told["metrics"]["unscored"], told["metrics"]["n"]) == (1, 3)
    reason = "the first: Odd raised ZeroDivisionError: api_key=***. The same command asks for them"
    assert reason in err
    assert max(Counter(asked).values()) == 2
    _, _, again = halo("--a", "a.json", "--b", "b.json")
    assert len(set(again)) == 2
    assert len(again) == 3


def test_validating_loses_the_odd_comparison_alone(halo):
    texts = ["one", "two", "odd", "four"]
    rows = [{"prompt": text, "a": text, "b": f"{text}s", "label": "a"} for text in texts]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    Path("rows.jsonl").write_text(lines, encoding="utf-8")
    told, err, _ = halo("--validate", "rows.jsonl")
    (row,) = (row for row in told["rows"] if row["judge"] == "Odd")
    assert (row["n"], row["unscored"]) == (4, 1)
    assert "1 of 4 comparisons are unscored; the first: Odd raised ZeroDivisionError" in err
