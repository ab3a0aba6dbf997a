"""`halo label` on files and on samples of a run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from halo_core.cli import call
from halo_core.errors import BusyError
from halo_core.workspace.records import RUN, SUITE, RunRecord, RunStage, SuiteRecord

CLASSES = "def score(prompt, completion):\n    return float(completion.count('o'))\n"


@pytest.fixture
def here(tmp_path, monkeypatch, make_sample):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HALO_WORKSPACE", raising=False)
    write(Path("samples.jsonl"), [make_sample(1, "moo", "no"), make_sample(2, "well", None)])
    write(Path("other.jsonl"), [make_sample(1, "oo oo", None), make_sample(2, "w", None)])
    write(Path("unlike.jsonl"), [{"text": "moo"}])
    Path("judge.py").write_text(CLASSES)
    return tmp_path


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(path, *columns):
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return [tuple(row[name] for name in columns) for row in rows]


NAMES_A_STAGE = "{use: reward-model, from: rm}"
PYTHON = "{use: python, function: 'file:./judge.py:score'}"


def label(*arguments, judge="longest", out="labels.jsonl"):
    return call(["label", "--judge", judge, "--out", out, *arguments])


def test_samples_in_a_file_become_binary_feedback(here, capfd):
    assert label("--of", "samples.jsonl", "--threshold", "1", judge=PYTHON) == 0
    assert read("labels.jsonl", "completion", "desirable", "score") == [
        ("moo", True, 2.0),
        ("well", False, 0.0),
    ]
    said = capfd.readouterr().out
    assert "2 rows of binary feedback: 1 desirable, 1 undesirable (python)" in said
    assert "labels.jsonl: {use: jsonl, path: labels.jsonl} reads it" in said


def test_a_file_of_somebody_else_is_not_overwritten(here, capfd):
    row = '{"prompt": "a", "completion": "b"}\n'
    for text in ("my notes\n", f"\n{row}", row, "[1]\n", "[" * 100_000, "caf\xe9\n"):
        Path("labels.jsonl").write_text(text, encoding="latin-1")
        assert label("--of", "samples.jsonl", "--threshold", "1", judge=PYTHON) == 2
        assert "--out labels.jsonl: this file exists, and halo label did" in capfd.readouterr().err
        assert Path("labels.jsonl").read_text(encoding="latin-1") == text


def test_a_place_that_cannot_be_written_to_is_refused_before_the_judge_is_asked(
    here, capfd, monkeypatch
):
    there, access = here / "there", os.access
    there.mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: path != there and access(path, mode))
    out = str(there / "labels.jsonl")
    assert label("--of", "samples.jsonl", "--threshold", "1", judge=PYTHON, out=out) == 2
    why = f"--out {out}: cannot be written: Permission denied; name another place"
    assert why in capfd.readouterr().err
    assert not list((here / "workspace" / "labels").glob("*/*"))


def test_own_rows_are_replaced_and_this_is_said(here, capfd):
    Path("labels.jsonl").write_text("")
    for threshold, told in (("1", ""), ("1", ""), ("3", "2 earlier rows replaced by other rows")):
        assert label("--of", "samples.jsonl", "--threshold", threshold, judge=PYTHON) == 0
        said = capfd.readouterr().err
        assert (told in said) if told else ("replaced" not in said)


def test_two_samples_of_a_prompt_become_a_pair(here, capfd):
    options = ["--of", "samples.jsonl", "--against", "other.jsonl", "--feedback", "paired"]
    assert label(*options, judge=PYTHON) == 0
    assert read("labels.jsonl", "chosen", "rejected") == [("oo oo", "moo")]
    assert "left out: 1 equal scores" in capfd.readouterr().out


PLAIN = [{"prompt": "one", "completion": "moo"}, {"prompt": "one", "completion": "no"}]
ALPACA = [{"instruction": "one", "output": "moo"}, {"instruction": "one", "output": 7}]


@pytest.mark.parametrize(("rows", "n"), [(PLAIN, 2), (ALPACA, 1)])
def test_outputs_that_halo_did_not_sample_are_labelled_too(here, capfd, rows, n):
    write(Path("mine.jsonl"), rows)
    assert label("--of", "mine.jsonl", "--threshold", "median", judge=PYTHON) == 0
    assert len(read("labels.jsonl", "completion")) == n
    told = "mine.jsonl: 1 left out: an output that is not a text" in capfd.readouterr().err
    assert told == (rows is ALPACA)


def test_several_outputs_of_a_prompt_meet_those_of_another_file(here):
    write(Path("mine.jsonl"), PLAIN)
    write(Path("theirs.jsonl"), [{"prompt": "one", "completion": "ooo"}])
    options = ["--of", "mine.jsonl", "--against", "theirs.jsonl", "--feedback", "paired"]
    assert label(*options, judge=PYTHON) == 0
    assert read("labels.jsonl", "chosen", "rejected") == [("ooo", "no")]


def test_targets_of_samples_may_stand_against_them(here):
    assert label("--of", "samples.jsonl", "--against", "target", "--feedback", "scored") == 0
    assert read("labels.jsonl", "completions", "scores") == [
        (["moo", "no"], [3.0, 2.0]),
        (["well"], [4.0]),
    ]


def test_the_samples_of_a_run_are_found_by_its_name(here, capfd, make_sample):
    made = [("kto", "train-1", "model"), ("answers", "sample-1", "samples")]
    stages = [
        RunStage(id=id_, use="x", folder=f"stages/{name}", key="x", product=product)
        for id_, name, product in made
    ]
    RUN.write(Path("workspace/runs/first-123456"), RunRecord(stages=stages))
    Path("workspace/runs/first-123456/events.jsonl").touch()
    write(Path("workspace/stages/sample-1/samples.jsonl"), [make_sample(1, "four", None)])
    assert label("--of", "first:answers", "--threshold", "4") == 0
    assert read("labels.jsonl", "completion", "desirable") == [("four", True)]
    capfd.readouterr()
    assert label("--of", "first:kto", "--threshold", "4") == 2
    assert capfd.readouterr().err == (
        "--of: the run first-123456 has no sampling stage 'kto'. It has answers\n"
    )
    assert label("--of", "first:answer", "--threshold", "4") == 2
    assert " no sampling stage 'answer'. Did you mean 'answers'? It has" in capfd.readouterr().err


def test_a_suite_has_no_samples_of_its_own(here, capfd):
    SUITE.write(Path("workspace/suites/toy-1"), SuiteRecord(name="toy", axes={}, cells=[]))
    assert label("--of", "toy:answers", "--threshold", "4") == 2
    assert capfd.readouterr().err == "--of: 'toy-1' is a suite; name one of its runs\n"


def test_completions_in_a_file_are_labelled_and_what_is_dropped_is_told(here, capfd):
    prompt = [{"role": "user", "content": "q"}]
    rows = [{"prompt": prompt, "completion": text} for text in ("oo", "e", "")]
    write(Path("completions.jsonl"), rows)
    options = ["--data", "completions.jsonl", "--threshold", "1", "--desirable", "below"]
    assert label(*options, judge=PYTHON) == 0
    assert read("labels.jsonl", "completion", "desirable") == [("oo", False), ("e", True)]
    assert "completions.jsonl: 2 rows, dropped 1 empty completion" in capfd.readouterr().err


def test_a_file_is_labelled_whatever_its_name_says_and_its_other_columns_are_told(here, capfd):
    row = {"prompt": [{"role": "user", "content": "q"}], "completion": "e", "topic": "a"}
    write(Path("test.jsonl"), [row])
    assert label("--data", "test.jsonl", "--threshold", "1", judge=PYTHON) == 0
    assert read("labels.jsonl", "completion") == [("e",)]
    assert "test.jsonl: ignored columns: topic (1)" in capfd.readouterr().err


def test_a_file_with_ratings_is_labelled_where_the_command_says_to_ignore_them(here, capfd):
    row = {"prompt": [{"role": "user", "content": "q"}], "completion": "e", "rating": 3}
    write(Path("rated.jsonl"), [row, {**row, "completion": "oo", "stars": 1}])
    options = ["--data", "rated.jsonl", "--threshold", "1"]
    assert label(*options, judge=PYTHON) == 2
    refusal = capfd.readouterr().err
    assert "rated.jsonl:1: the column 'rating' looks like a label" in refusal
    assert "Ignore it with --ignore-column rating. Words that are looked for: " in refusal
    assert "ignore_columns" not in refusal
    ignored = ["--ignore-column", "rating", "--ignore-column", "stars", "--ignore-column", "gone"]
    assert label(*options, *ignored, judge=PYTHON) == 0
    assert read("labels.jsonl", "completion", "desirable") == [("e", False), ("oo", True)]
    told = capfd.readouterr().err
    assert "rated.jsonl: ignored columns: rating (2), stars (1)" in told
    assert "rated.jsonl: --ignore-column names 'gone', which no row has" in told


def test_json_says_where_and_how_many(here, capfd):
    assert label("--of", "samples.jsonl", "--threshold", "median", "--json") == 0
    said = json.loads(capfd.readouterr().out)
    assert said == {
        "schema": 1,
        "out": str(here / "labels.jsonl"),
        "feedback": "binary",
        "judge": "longest",
        "n": 2,
        "rows": 2,
        "desirable": 1,
        "undesirable": 1,
        "unscored": 0,
        "threshold": 3.5,
        "dropped": {},
    }


def test_another_threshold_asks_nothing_again_and_an_edited_judge_asks_all(here):
    Path("judge.py").write_text(
        "def score(prompt, completion):\n"
        "    open('asked.txt', 'a').write(completion + '\\n')\n"
        "    return len(completion)\n"
    )
    for threshold in ("3", "4"):
        assert label("--of", "samples.jsonl", "--threshold", threshold, judge=PYTHON) == 0
    assert Path("asked.txt").read_text() == "moo\nwell\n"
    assert read("labels.jsonl", "desirable") == [(False,), (True,)]
    with Path("judge.py").open("a") as file:
        file.write("# edited\n")
    sys.modules.pop(next(name for name in sys.modules if name.startswith("halo_file_judge")))
    assert label("--of", "samples.jsonl", "--threshold", "4", judge=PYTHON) == 0
    assert Path("asked.txt").read_text() == "moo\nwell\n" * 2


def test_what_is_copied_is_ones_own_while_another_threshold_waits(here, monkeypatch):
    from halo_core.workspace.lock import locked
    from halo_judge.command import label_command

    held = []
    copy = label_command._write

    def watched(folder, out):
        with pytest.raises(BusyError), locked(folder, "busy"):
            held.append("not reached")
        held.append(folder)
        return copy(folder, out)

    monkeypatch.setattr(label_command, "_write", watched)
    assert label("--of", "samples.jsonl", "--threshold", "3") == 0
    assert len(held) == 1


def test_what_could_not_be_scored_is_told_and_asked_again_by_the_same_command(here, capfd):
    Path("judge.py").write_text(
        "import os\n"
        "def score(prompt, completion):\n"
        "    if not os.path.exists('ready') and completion == 'moo':\n"
        "        raise OSError('not yet')\n"
        "    return len(completion)\n"
    )
    options = ["--of", "samples.jsonl", "--threshold", "3"]
    assert label(*options, judge=PYTHON) == 0
    told = capfd.readouterr().err
    assert f"1 are unscored and left out; the first: {here}/judge.py:4: OSError: not yet" in told
    assert "To ask again: the same command" in told
    Path("ready").touch()
    assert label(*options, judge=PYTHON) == 0
    assert len(read("labels.jsonl", "score")) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--of", "samples.jsonl", "--against", "samples.jsonl", "--feedback", "paired"],
            "--against: samples.jsonl is what --of gives too, so no prompt has two completions; "
            "give another, or 'target'",
        ),
        (
            ["--of", "unlike.jsonl", "--threshold", "1"],
            "/unlike.jsonl:1: got a row with text; expected prompt and completion (samples of "
            "halo), or instruction and output (AlpacaEval)",
        ),
        (
            ["--threshold", "1"],
            "--of: completions come from --of (samples) or from --data",
        ),
        (["--of", "samples.jsonl"], "--threshold: binary feedback needs one: a number, or median"),
        (["--of", "samples.jsonl", "--threshold", "x"], "--threshold: got 'x'; expected a number"),
        (["--of", "samples.jsonl", "--threshold", "nan"], "--threshold: got 'nan'; expected a nu"),
        (
            ["--of", "samples.jsonl", "--threshold", "1", "--margin", "inf"],
            "--margin: got inf; expected a finite number",
        ),
        (
            ["--of", "samples.jsonl", "--feedback", "paired"],
            "--against: a pair needs a second completion: a sampling stage, or 'target'",
        ),
        (["--of", "none.jsonl", "--threshold", "1"], "--of: no such file or folder: none.jsonl;"),
        (
            ["--of", "run:answers", "--threshold", "1"],
            "no run or suite 'run'; the workspace has none yet",
        ),
        (["--of", "judge.py", "--threshold", "1"], "judge.py:1:"),
        (
            ["--of", "samples.jsonl", "--threshold", "1", "--ignore-column", "rating"],
            "--ignore-column: has no effect without --data; leave it out",
        ),
        (["--data", "none.jsonl", "--threshold", "1"], "there is no such file or folder."),
        (["--data", "samples.jsonl", "--threshold", "1", "--out", "labels"], "ends in .jsonl"),
        (
            ["--of", "samples.jsonl", "--threshold", "1", "--out", "samples.jsonl"],
            "--out: samples.jsonl is what is labelled; expected another file",
        ),
        (
            ["--of", "samples.jsonl", "--against", "other.jsonl", "--judge", "gpt-4"],
            "--judge: compares texts and gives no scores, so it cannot make binary feedback.",
        ),
        (
            [
                "--of",
                "samples.jsonl",
                "--threshold",
                "1",
                "--judge",
                "{use: reward-model, from: rm}",
            ],
            "the judge reward-model: from: rm is a stage of a spec, and there is none here",
        ),
        (
            ["--of", "samples.jsonl", "--threshold", "1", "--judge", "longst"],
            "Did you mean 'longest'?",
        ),
    ],
)
def test_a_mistake_is_one_clear_message(here, capfd, options, message):
    assert label(*options) == 2
    said = capfd.readouterr().err
    assert message in said
    assert len(said.splitlines()) <= 2
    assert not Path("labels.jsonl").exists()


def test_rows_that_cannot_be_paired_are_one_clear_message(here, capfd, make_sample):
    write(Path("other.jsonl"), [make_sample(7, "elsewhere", None)])
    options = ["--of", "samples.jsonl", "--against", "other.jsonl", "--feedback", "paired"]
    assert label(*options) == 2
    assert capfd.readouterr().err.splitlines()[-1] == (
        "halo label: no row of feedback is left (2 only one completion of the prompt). "
        "The folder keeps the judge's answers; expected at least one row"
    )


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_said_and_the_same_command_goes_on(here, make_sample):
    Path("judge.py").write_text(
        "import os, time\n"
        "def score(prompt, completion):\n"
        "    with open('asked.txt', 'a') as file:\n"
        "        file.write(completion + '\\n')\n"
        "    while not os.path.exists('go-on.txt'):\n"
        "        time.sleep(0.02)\n"
        "    return float(len(completion))\n"
    )
    write(Path("samples.jsonl"), [make_sample(i, f"{i:x}" * 3, None) for i in range(60)])
    command = [sys.executable, "-m", "halo_core.cli", "label", "--judge", PYTHON]
    command += ["--of", "samples.jsonl", "--threshold", "median", "--out", "labels.jsonl"]
    process = subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE, text=True)
    while not Path("asked.txt").exists():
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    heard = ""
    while "a second one stops at once" not in heard:
        heard += (line := process.stderr.readline())
        assert line, heard
    Path("go-on.txt").touch()
    _, said = process.communicate(timeout=200)
    assert process.returncode == 130
    assert "scores are kept; run the same command again to continue" in said
    assert not Path("labels.jsonl").exists()
    assert len(Path("asked.txt").read_text().splitlines()) < 60
    subprocess.run(command, env=os.environ, check=True, capture_output=True, timeout=200)
    asked = Path("asked.txt").read_text().splitlines()
    assert len(asked) == len(set(asked)) == 60
    assert len(read("labels.jsonl", "score")) == 60
