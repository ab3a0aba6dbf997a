"""`halo judge --validate`: judges against people's labels."""

import csv
import gzip
import json
import os
from pathlib import Path

import pytest

from halo_core.cli import call
from halo_core.judge import Comparison
from halo_judge.command.accuracy import human_agreement
from halo_judge.files.labelled import read_labelled
from halo_judge.judges.chat.template import read_template
from halo_judge.testing import ChatServer
from halo_judge.testing.chat_server import ChatReply

DATA = Path(os.environ.get("HALO_TEST_DATA", Path(__file__).parents[5] / "shared" / "data"))

JUDGES = '''
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Literal

from pydantic import Field

from halo_core import Judge, Verdict


class Always(Judge):
    """Says the same of everything."""

    says: Literal["A", "B", "tie"] = Field(default="A", description="What.")

    def open(self, context):
        def compare(comparisons):
            return (Verdict(c.id, self.says) for c in comparisons)

        return nullcontext(SimpleNamespace(compare=compare))


class Shortest(Judge):
    """Prefers the shorter text, and cannot read one with a question mark."""

    def open(self, context):
        def say(c):
            if "?" in c.a + c.b:
                return Verdict(c.id, None, "cannot read it")
            return Verdict(c.id, "A" if len(c.a) < len(c.b) else "B")

        return nullcontext(SimpleNamespace(compare=lambda cs: map(say, cs)))
'''

# Labels of people, and verdicts of `longest`: right, wrong, a tie if people prefer one, and a
# preference if people see a tie.
ROWS = [
    {"prompt": "1", "a": "long text", "b": "short", "label": "a"},
    {"prompt": "2", "a": "x", "b": "yyyy", "label": "a"},
    {"prompt": "3", "a": "aa", "b": "bb", "label": "a"},
    {"prompt": "4", "a": "aaaa", "b": "b", "label": "tie"},
]


@pytest.fixture
def halo(tmp_path, monkeypatch, capsys):
    """Runs ``halo judge`` in an empty folder; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HALO_WORKSPACE", str(tmp_path / "workspace"))
    (tmp_path / "judges.py").write_text(JUDGES, encoding="utf-8")

    def run(*arguments):
        code = call(["judge", *arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def write(name, rows):
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def rows_of(out):
    return {(Path(row["file"]).stem, row["judge"]): row for row in json.loads(out)["rows"]}


def test_longest_is_always_there_and_its_numbers_are_those_counted_by_hand(halo):
    write("four.jsonl", ROWS)
    code, out, _ = halo("--validate", "four.jsonl", "--json")
    row = rows_of(out)["four", "longest"]
    assert code == 0
    assert (row["n"], row["majority"], row["unscored"]) == (4, 4, 0)
    assert (row["accuracy"]["points"], row["accuracy"]["rate"]) == (1.5, 0.375)
    assert row["kappa"] == pytest.approx(-1 / 3)
    assert row["position"]["agreement"] == 1.0
    assert row["position"]["first_shown"]["rate"] == 0.5
    assert row["against_longest"] is row["beats_longest"] is row["calibration"] is None


def test_a_judge_that_always_says_the_first_has_half_of_the_points_and_no_agreement(halo):
    write("four.jsonl", ROWS)
    always = "file:./judges.py:Always"
    code, out, _ = halo("--validate", "four.jsonl", "--judge", always, "--json")
    row = rows_of(out)["four", "Always"]
    assert code == 0
    assert row["accuracy"]["points"] == 1.5
    assert row["position"]["agreement"] == 0.0
    assert row["position"]["first_shown"]["rate"] == 1.0
    against = row["against_longest"]
    assert (against["difference"], against["first_better"], against["second_better"]) == (0, 1, 1)
    assert row["beats_longest"] is False


def test_a_judge_that_always_ties_is_right_only_where_people_tie(halo):
    write("four.jsonl", ROWS)
    ties = ["--judge", "file:./judges.py:Always", "--set", "judge.says=tie"]
    _, out, _ = halo("--validate", "four.jsonl", *ties, "--json")
    row = rows_of(out)["four", "Always says=tie"]
    assert row["accuracy"]["points"] == 2.5
    assert row["kappa"] == pytest.approx(0)


def test_a_judge_that_beats_longest_and_one_that_does_not_are_told_apart(halo):
    rows = [{"prompt": f"{i}", "a": "good", "b": "longer bad", "label": "a"} for i in range(12)]
    write("short.jsonl", rows)
    judges = ["--judge", "file:./judges.py:Shortest", "--judge", "file:./judges.py:Always"]
    code, out, _ = halo("--validate", "short.jsonl", *judges)
    assert code == 0
    assert "Shortest does not beat" not in out
    assert "First place: points of the text shown first; 0.5 without a bias." in out
    lines = [line.split() for line in out.splitlines()]
    assert ["longest", "0.000", "[0.000,", "0.221]", "1.000", "0.500", "0.000", "-", "-"] in lines
    shortest = next(line for line in lines if line[:1] == ["Shortest"])
    assert shortest[1:4] == ["1.000", "[0.779,", "1.000]"]
    assert shortest[-2:] == ["+1.000", "<0.001"]
    assert "Always does not beat" not in out
    write("long.jsonl", [{**row, "label": "b"} for row in rows])
    _, out, _ = halo("--validate", "long.jsonl", *judges)
    told = "does not beat longest here: it may measure length and nothing else."
    assert f"Shortest {told}" in out
    assert f"Always {told}" in out


def test_one_comparison_more_is_not_enough_to_beat_longest(halo):
    write("one.jsonl", [{"prompt": "1", "a": "good", "b": "longer", "label": "a"}])
    _, out, _ = halo("--validate", "one.jsonl", "--judge", "file:./judges.py:Shortest", "--json")
    row = rows_of(out)["one", "Shortest"]
    assert (row["against_longest"]["difference"], row["against_longest"]["p"]) == (1.0, 1.0)
    assert row["beats_longest"] is False


def test_n_takes_a_part_of_each_file_and_what_is_left_out_is_told(halo):
    write("four.jsonl", [*ROWS, {**ROWS[0], "label": None}])
    _, out, err = halo("--validate", "four.jsonl", "--n", "3", "--json")
    assert rows_of(out)["four", "longest"]["n"] == 3
    assert "four.jsonl: 1 left out: no label" in err.splitlines()


def test_a_judge_that_scores_nothing_is_an_error(halo):
    write("one.jsonl", [{**ROWS[0], "a": "what?"}])
    code, out, err = halo("--validate", "one.jsonl", "--judge", "file:./judges.py:Shortest")
    assert (code, out) == (1, "")
    assert "Shortest scored none of 1 comparisons; the first: " in err


def test_several_files_have_a_table_each_and_one_over_all(halo):
    write("one.jsonl", ROWS[:1])
    write("two.jsonl", ROWS[:2])
    _, out, _ = halo("--validate", "one.jsonl", "two.jsonl", "--json")
    found = rows_of(out)
    assert [file for file, _ in found] == ["one", "two", "all files"]
    assert found["all files", "longest"]["accuracy"]["points"] == 2
    assert found["all files", "longest"]["n"] == 3


def test_a_dry_run_adds_the_files_up(halo):
    write("one.jsonl", ROWS[:1])
    write("two.jsonl", ROWS[:2])
    files = ["--validate", "one.jsonl", "two.jsonl"]
    _, out, _ = halo(*files, "--judge", "gpt-4", "--dry-run", "--json")
    longest, paid = json.loads(out)["quotes"]
    assert (longest["comparisons"], longest["cost"], longest["calls"]) == (6, 0.0, 0)
    # The first comparison is in both files, and is paid for once.
    assert (paid["comparisons"], paid["kept"], paid["calls"]) == (6, 2, 4)
    assert paid["tokens_out"] == 4 * 400
    assert paid["cost"] == pytest.approx((paid["tokens_in"] * 30 + paid["tokens_out"] * 60) / 1e6)


def test_comparisons_of_one_prompt_widen_the_interval(halo):
    texts = [("aaaa", "b"), ("aaa", "b"), ("aaaaa", "b")]
    same = [{"prompt": "1", "a": a, "b": b, "label": "a"} for a, b in texts]
    write("same.jsonl", [*same, *({**row, "prompt": "2", "label": "b"} for row in same)])
    write("apart.jsonl", [{**row, "prompt": f"{i}"} for i, row in enumerate([*same, *same])])
    _, out, _ = halo("--validate", "same.jsonl", "apart.jsonl", "--json")
    found = rows_of(out)
    clustered, plain = found["same", "longest"]["accuracy"], found["apart", "longest"]["accuracy"]
    assert clustered["rate"] == 0.5
    assert plain["rate"] == 1.0
    assert clustered["high"] - clustered["low"] > 0.9


def test_unscored_comparisons_are_left_out_counted_and_told(halo):
    write("two.jsonl", [ROWS[0], {**ROWS[1], "a": "x?"}])
    judge = ["--judge", "file:./judges.py:Shortest"]
    code, out, err = halo("--validate", "two.jsonl", *judge)
    assert code == 0
    assert "0.500" in next(line for line in out.splitlines() if line.startswith("Shortest"))
    assert (
        "warning: 1 of 2 comparisons are unscored; the first: cannot read it. "
        "The same command asks for them again" in err
    )
    _, out, _ = halo("--validate", "two.jsonl", *judge, "--json")
    row = rows_of(out)["two", "Shortest"]
    assert (row["unscored"], row["accuracy"]["trials"]) == (1, 1)


def test_people_are_measured_against_the_majority_of_the_others(halo):
    rows = [
        {**ROWS[0], "labels": ["a", "a", "b"]},
        {**ROWS[1], "labels": ["a", "a", "a"]},
        {**ROWS[2], "labels": ["a", "b", "tie"]},
    ]
    write("three.jsonl", rows)
    _, out, _ = halo("--validate", "three.jsonl", "--json")
    told = json.loads(out)["files"][0]["people"]
    # The first two of row 1 and all of row 3 face no majority of the others.
    assert (told["labels"], told["annotators"]) == (9, 3)
    assert (told["accuracy"]["points"], told["accuracy"]["trials"]) == (3.0, 4)
    longest = rows_of(out)["three", "longest"]
    assert (longest["n"], longest["majority"], longest["accuracy"]["trials"]) == (3, 2, 2)
    _, out, _ = halo("--validate", "three.jsonl")
    assert any(line.startswith("people") for line in out.splitlines())
    assert "People among themselves: Cohen's kappa" in out


def test_a_weighted_judge_is_checked_for_calibration(halo):
    write("two.jsonl", ROWS[:2])
    top = [("1", -0.2231435513), ("2", -1.6094379124)]  # 0.8 and 0.2
    with ChatServer(lambda body: ChatReply("1", [("1", top)])) as server:
        Path("t.toml").write_text(TEMPLATE.format(pattern="(1|2)", a="1", b="2"), encoding="utf-8")
        _, out, _ = halo(
            "--validate", "two.jsonl", "--judge", gpt4(server, "t.toml", "weighted: true"), "--json"
        )
    found = next(row for row in json.loads(out)["rows"] if "weighted" in row["judge"])
    # 0.8 for the first place in both orders is 0.5 for either text; both are preferred by people.
    assert found["calibration"]["brier"] == pytest.approx(0.25)
    assert found["calibration"]["expected_error"] == pytest.approx(0.5)
    assert found["calls"] == 4
    assert found["cost"] > 0


TEMPLATE = """
cut_hanging_sentences = false
system = ""
user = "{{prompt}} ### {{a}} ### {{b}}"
reminder = "Again."
[answer]
form = "last-line"
pattern = '{pattern}'
labels = {{A = "{a}", B = "{b}"}}
"""


def gpt4(server, template, more="weighted: false"):
    return (
        f"{{use: gpt-4, base_url: '{server.base_url}', api_key_env: null, "
        f"template_file: {template}, {more}}}"
    )


PUBLISHED = {
    "LLMBar_Natural": (93.5, 97.0),
    "LLMBar_Adversarial_Neighbor": (64.2, 89.6),
    "LLMBar_Adversarial_GPTInst": (76.6, 90.2),
    "LLMBar_Adversarial_GPTOut": (76.6, 87.2),
    "LLMBar_Adversarial_Manual": (75.0, 89.1),
}


@pytest.mark.slow
def test_gpt_4_s_real_replies_give_the_published_numbers_through_the_command(halo):
    replies = DATA / "judge" / "llmbar_judged.jsonl.gz"
    if not replies.exists():
        pytest.skip(f"no {replies}: set HALO_TEST_DATA to the folder of the test data")
    text = TEMPLATE.format(pattern=r"Output \((a|b)\)", a="a", b="b")
    Path("llmbar.toml").write_text(text, encoding="utf-8")
    said = _said(replies, read_template(Path("llmbar.toml")))
    with ChatServer(lambda body: said[body["messages"][-1]["content"]]) as server:
        files = [str(DATA / "llmbar" / f"{name}.json") for name in PUBLISHED]
        judge = gpt4(server, "llmbar.toml", "concurrency: 8")
        code, out, _ = halo("--validate", *files, "--judge", judge, "--json")
    assert code == 0
    rows = {Path(row["file"]).stem: row for row in json.loads(out)["rows"] if "calls" in row}
    assert rows.pop("all files")["n"] == 419
    assert set(rows) == set(PUBLISHED)
    for name, (accuracy, agreement) in PUBLISHED.items():
        assert 100 * rows[name]["accuracy"]["rate"] == pytest.approx(accuracy, abs=0.051)
        assert 100 * rows[name]["position"]["agreement"] == pytest.approx(agreement, abs=0.051)
        assert rows[name]["beats_longest"] is True


def _said(replies, template):
    """Returns GPT-4's reply to each message."""
    said = {}
    with gzip.open(replies, "rt") as file:
        for row in map(json.loads, file):
            prompt = [{"role": "user", "content": row["instruction"]}]
            for judged in row["gpt4"]:
                first, second = (row[f"output_{place}"] for place in judged["order"])
                shown = Comparison("", prompt, first, second)
                said[template.messages(shown)[-1]["content"]] = judged["completion"]
    return said


def test_the_annotators_of_pandalm_have_the_published_kappas():
    path = DATA / "pandalm" / "testset-v1.json"
    if not path.exists():
        pytest.skip(f"no {path}: set HALO_TEST_DATA to the folder of the test data")
    read = read_labelled(str(path))
    assert len(read.comparisons) == 993
    assert dict(read.dropped) == {"a text is missing or is not a text": 6}
    found = human_agreement(read.rated, confidence=0.9)
    assert {pair: round(kappa, 3) for pair, kappa in found["kappa"].items()} == {
        "annotator1, annotator2": 0.852,
        "annotator1, annotator3": 0.879,
        "annotator2, annotator3": 0.862,
    }


def test_judges_that_differ_in_a_long_option_only_are_told_apart_by_it(halo):
    write("four.jsonl", ROWS)
    urls = ["http://localhost:8000/some/v1", "http://localhost:8000/another"]
    judges = [f"{{use: gpt-4, base_url: '{url}', model: own}}" for url in urls]
    _, out, _ = halo("--validate", "four.jsonl", "--judge", judges[1], "--dry-run", "--json")
    assert [row["judge"] for row in json.loads(out)["quotes"]] == ["longest", "gpt-4 model=own"]
    both = [argument for judge in judges for argument in ("--judge", judge)]
    _, out, _ = halo("--validate", "four.jsonl", *both, "--dry-run", "--json")
    assert [row["judge"] for row in json.loads(out)["quotes"]] == [
        "longest",
        *(f"gpt-4 base_url={url} model=own" for url in urls),
    ]


def test_the_table_is_written_as_csv_or_json(halo):
    write("four.jsonl", ROWS)
    judge = ["--judge", "file:./judges.py:Always"]
    _, out, _ = halo("--validate", "four.jsonl", *judge, "--out", "t/table.csv", "--json")
    with open("t/table.csv", encoding="utf-8", newline="") as file:
        longest, always = csv.DictReader(file)
    assert (longest["judge"], longest["accuracy"], longest["beats_longest"]) == (
        "longest",
        "0.375",
        "",
    )
    assert (always["agreement"], always["above_longest"]) == ("0.0", "0.0")
    assert json.loads(out)["out"] == "t/table.csv"
    halo("--validate", "four.jsonl", *judge, "--out", "table.json")
    assert json.loads(Path("table.json").read_text())["rows"] == json.loads(out)["rows"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--a", "x"], "--a: has no effect with --validate; leave it out"),
        (["--orders", "both"], "--orders: has no effect with --validate; leave it out"),
        (["four.jsonl"], "--validate four.jsonl: given twice; leave one out"),
        (["--out", "t.txt"], "--out t.txt: expected a name that ends in .csv, .json"),
        (
            ["--judge", "file:./judges.py:Always", "--judge", "file:./judges.py:Always"],
            "--judge Always: given twice; leave one out",
        ),
        (
            ["--set", "judge.says=B"],
            "--set judge.says=B: there are 0 judges; expected one. Write options into --judge "
            "'{use: NAME, OPTION: VALUE}'",
        ),
        (["--judge", "longst"], "--judge: no judge named 'longst'. Did you mean 'longest'?"),
    ],
)
def test_a_mistake_is_one_message(halo, arguments, message):
    write("four.jsonl", ROWS)
    code, _, err = halo("--validate", "four.jsonl", *arguments)
    assert code == 2
    assert err.startswith(message)
