"""`halo judge --a FILE --b FILE`: a win rate without a run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from halo_core.cli import call
from halo_judge.command.named_judges import name_judge, name_judges
from halo_judge.judges.chat.template import FOLDER
from halo_judge.testing import ChatServer
from halo_statistics import proportion


@pytest.fixture
def halo(tmp_path, monkeypatch, capsys):
    """Runs ``halo judge`` in an empty folder; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HALO_WORKSPACE", "workspace")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def run(*arguments):
        code = call(["judge", *arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def alpaca(name, texts, generator):
    rows = [
        {"instruction": f"q{i}", "output": text, "generator": generator}
        for i, text in enumerate(texts)
    ]
    Path(name).write_text(json.dumps(rows), encoding="utf-8")


@pytest.fixture
def files(halo):
    """Two wins by length, one loss, one tie of equal lengths, one of the same text; one alone."""
    alpaca("a.json", ["long text", "longer one", "x", "same length", "same", "alone"], "ours")
    alpaca("b.json", ["short", "short", "yy", "SAME LENGTH", "same"], "theirs")
    return ("--a", "a.json", "--b", "b.json")


LONGEST = ("--judge", "longest")


def paid(server, **options):
    given = {"use": "gpt-4", "base_url": server.base_url, "api_key_env": None, **options}
    return ("--judge", json.dumps(given))


def first(body):
    return json.dumps({"comparison": "", "verdict": "A"})


def test_numbers_are_those_counted_by_hand(halo, files):
    code, out, _ = halo(*files, *LONGEST, "--json")
    told, share = json.loads(out), proportion(3, 5)
    assert code == 0
    assert told["metrics"] == {
        "agreement": 1.0,
        "first_shown": 0.5,
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
    }
    assert (told["a"]["name"], told["a"]["outputs"], told["alone"]) == ("ours", 6, {"a": 1, "b": 0})
    assert told["position"]["first_shown"]["rate"] == 0.5
    assert told["length"]["longer"]["points"] == 3
    assert told["characters"] == [9, 5]


def test_a_table_names_both_sides_the_judge_and_the_rate(halo, files):
    code, out, err = halo(*files, *LONGEST)
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[:4] == [
        "ours against theirs (longest)",
        "win rate, 90 % interval 0.600 [0.189, 0.924]",
        "wins, losses, ties 2, 1, 2",
        "ties left out 0.667 [0.135, 0.983]",
    ]
    assert "a.json: 1 outputs without a partner in b.json" in err.splitlines()
    folder = Path(lines[-1].removeprefix("verdicts: ")).parent
    assert folder.parent == Path("workspace/judgements").resolve()
    about = json.loads((folder / "about.json").read_text())
    assert (about["a"]["path"], about["judge"]) == ("a.json", {"use": "longest"})


def test_enough_comparisons_tell_the_rate_at_equal_lengths(halo):
    alpaca("a.json", ["x" * (3 + i % 7) for i in range(40)], "ours")
    alpaca("b.json", ["x" * 5] * 40, "theirs")
    _, out, _ = halo("--a", "a.json", "--b", "b.json", *LONGEST)
    (line,) = (line for line in out.splitlines() if line.startswith("at equal lengths"))
    assert line.split()[3].startswith("0.")
    assert "(length-controlled)" in line


def test_verdicts_are_written_where_they_are_wanted(halo, files):
    halo(*files, *LONGEST, "--out", "v/verdicts-of-mine.jsonl")
    lines = Path("v/verdicts-of-mine.jsonl").read_text().splitlines()
    assert [json.loads(line)["result"] for line in lines] == ["win", "win", "loss", "tie", "tie"]
    _, out, _ = halo(*files, *LONGEST, "--out", "folder", "--json")
    assert json.loads(out)["files"] == ["folder/verdicts.jsonl", "folder/summary.json"]
    summary = json.loads(Path("folder/summary.json").read_text())
    assert summary["metrics"] == json.loads(out)["metrics"]


def test_samples_are_compared_with_their_targets(halo, make_sample):
    rows = [make_sample(1, "longer", "x"), make_sample(2, "y", "longer"), make_sample(3, "z", None)]
    Path("answers").mkdir()
    text = "".join(json.dumps(row) + "\n" for row in rows)
    Path("answers/samples.jsonl").write_text(text, encoding="utf-8")
    _, out, err = halo("--a", "answers", "--b", "target", *LONGEST, "--json")
    told = json.loads(out)
    assert (told["metrics"]["wins"], told["metrics"]["losses"]) == (1, 1)
    assert (told["metrics"]["len"], told["metrics"]["baseline_len"]) == (3.0, 4.0)
    assert "answers/samples.jsonl: 1 outputs without a partner among the targets" in err


def test_several_outputs_of_a_prompt_are_told_and_widen_the_interval(halo):
    rows = [{"instruction": f"q{i % 2}", "output": "long" if i % 2 else "s"} for i in range(8)]
    Path("a.json").write_text(json.dumps(rows), encoding="utf-8")
    alpaca("b.json", ["xx", "xx"], "theirs")
    _, out, err = halo("--a", "a.json", "--b", "b.json", *LONGEST, "--json")
    metrics = json.loads(out)["metrics"]
    assert (metrics["n"], metrics["win"]) == (8, 0.5)
    assert metrics["win_hi"] - metrics["win_lo"] > 0.9
    assert "8 comparisons of 2 prompts: several of some, which the interval" in err


def test_an_outage_is_no_score_and_no_result(halo, files):
    with ChatServer(first, faults=lambda body, times: "500") as server:
        code, out, err = halo(*files[:4], *paid(server, retries=0))
        assert (code, out) == (1, "")
        assert "gpt-4 scored none of 4 comparisons; the first: not answered: Error code: 500" in err
        assert "The same command asks again" in err
        server.faults = lambda body, times: None
        assert halo(*files[:4], *paid(server, retries=0))[0] == 0


def test_an_endpoint_that_nobody_answers_at_is_named(halo, files):
    nobody = '{use: gpt-4, base_url: "http://127.0.0.1:9/v1", api_key_env: null, retries: 0}'
    code, _, err = halo(*files[:4], "--judge", nobody)
    assert code == 1
    assert "the first: not answered: http://127.0.0.1:9/v1: Connection error." in err
    assert "Connection refused" in err


def test_a_template_of_ones_own_is_named_beside_the_judge():
    mine = str(FOLDER / "report-2024.toml")
    given = name_judge(f"{{use: gpt-4, template_file: {mine}}}", ())
    assert given.label == "gpt-4 template_file=report-2024.toml"


@pytest.mark.parametrize(
    ("function", "shown"),
    [("file:./rules/judge.py:score", "judge.py:score"), ("file:./a.py:f", "a.py:f")],
)
def test_a_function_of_ones_own_is_named_beside_the_judge(halo, function, shown):
    Path("rules").mkdir()
    for path in ("a.py", "rules/judge.py"):
        Path(path).write_text("def score(prompt, completion): return 1\nf = score\n")
    assert name_judge(f"{{use: python, function: '{function}'}}", ()).label == (
        f"python function={shown}"
    )


def test_two_templates_of_ones_own_are_two_judges():
    files = (FOLDER / "report-2024.toml", FOLDER / "pairwise-2.toml")
    judges = name_judges([f"{{use: gpt-4, template_file: {file}}}" for file in files], ())
    assert len({judge.label for judge in judges}) == 3


def test_n_judges_a_part_that_the_seed_chooses(halo, files):
    _, out, err = halo(*files, *LONGEST, "--n", "2", "--seed", "3", "--json")
    assert json.loads(out)["comparisons"] == json.loads(out)["metrics"]["n"] == 2
    assert "2 of 5 comparisons, chosen by the seed 3" in err
    assert json.loads(out)["prompts"] == 5


def test_counterbalanced_orders_ask_once(halo, files):
    with ChatServer(first) as server:
        _, out, _ = halo(*files, *paid(server), "--orders", "counterbalanced", "--json")
        assert len(server.requests) == 4
    told = json.loads(out)
    assert told["position"] is None
    assert (told["metrics"]["wins"], told["metrics"]["losses"]) == (2, 2)


def test_a_judge_of_places_flips_and_is_told_of(halo, files):
    with ChatServer(first) as server:
        _, out, err = halo(*files, *paid(server))
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "flips 4 of 4 asked in both orders" in lines
    share = "points of the place shown first 1.000 [0.473, 1.000] (0.5 without a bias)"
    assert share in lines
    assert any(line.startswith("requests 8, 0.0") and "dollars" in line for line in lines)
    assert "8 of 8 verdicts to give, 8 requests to gpt-4-0613, at most $" in err


def test_what_was_judged_is_not_asked_or_paid_again(halo, files):
    with ChatServer(first) as server:
        _, once, _ = halo(*files, *paid(server), "--json")
        _, again, err = halo(*files, *paid(server), "--json")
        assert again == once
        assert "all 8 verdicts, kept in" in err
        halo(*files, *paid(server), "--n", "3")
        assert len(server.requests) == 8


def test_another_endpoint_or_other_orders_are_other_verdicts(halo, files):
    with ChatServer(first) as one, ChatServer(first) as other:
        halo(*files, *paid(one))
        halo(*files, *paid(other))
        assert len(other.requests) == 8
        halo(*files, *paid(other), "--orders", "counterbalanced")
        _, _, err = halo(*files, *paid(other))
        assert "all 8 verdicts" in err
    assert len(list(Path("workspace/judgements").glob("gpt-4-*"))) == 3


def test_a_dry_run_counts_and_asks_and_writes_nothing(halo, files, tmp_path):
    with ChatServer(first) as server:
        wanted = ("--out", "new/v.jsonl")
        code, out, _ = halo(*files, *paid(server), "--dry-run", "--json", *wanted)
        assert server.requests == []
    (quote,) = json.loads(out)["quotes"]
    assert code == 0
    assert (quote["model"], quote["comparisons"], quote["calls"], quote["kept"]) == (
        "gpt-4-0613",
        8,
        8,
        0,
    )
    tokens = quote["tokens_in"] * 30 + quote["tokens_out"] * 60
    assert quote["cost"] == pytest.approx(tokens / 1e6)
    assert not (tmp_path / "workspace").exists()
    assert not (tmp_path / "new").exists()


def test_a_dry_run_for_people_takes_prices_of_ones_own(halo, files):
    Path("prices.json").write_text('{"models": {"own": {"input": 1000, "output": 0}}}')
    own = ("--judge", "gpt-4", "--set", "judge.model=own")
    _, out, _ = halo(*files, *own, "--dry-run")
    assert out.splitlines()[1].split()[-1] == "unknown"
    assert "; your own: --set judge.prices=FILE" in out
    _, out, _ = halo(*files, *own, "--set", "judge.prices=prices.json", "--dry-run")
    cells = out.splitlines()[1].split()
    assert float(cells[-1]) == pytest.approx(int(cells[-3]) / 1000, abs=0.01)
    assert "Prices of prices.json" in out
    assert "prices.json; your own: --set judge.prices=FILE" in out


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_paid_and_the_same_command_goes_on(halo, files, tmp_path):
    texts = [f"text {'x' * i}" for i in range(20)]
    alpaca("a.json", texts, "ours")
    alpaca("b.json", ["short"] * 20, "theirs")
    with ChatServer(first, delay_s=0.3) as server:
        arguments = [*files, *paid(server, concurrency=2)]
        process = subprocess.Popen(
            [sys.executable, "-m", "halo_core.cli", "judge", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        while sum(server.paid.values()) < 5:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        last = err.splitlines()[-1]
        assert last.startswith("stopped; ")
        assert last.endswith(" of 20 verdicts are kept; run the same command again to continue")
        before = sum(server.paid.values())
        assert before < 40
        server.delay_s = 0.0
        code, out, _ = halo(*arguments, "--json")
        assert code == 0
        assert json.loads(out)["metrics"]["n"] == 20
        assert max(server.paid.values()) == 1
        assert sum(server.paid.values()) == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--a", "c.json", "--b", "b.json", *LONGEST], "c.json: there is no such file. Did you"),
        (
            ["--a", "a.json", "--b", "./a.json", *LONGEST],
            "--b ./a.json: is the file of --a too: a text never differs from itself; give "
            "another, or 'target'",
        ),
        (["--a", "a.json", *LONGEST], "expected --a FILE --b FILE, or --validate FILE"),
        (["a.json", "b.json", *LONGEST], "a.json: expected --a FILE --b FILE, or --validate"),
        (
            ["--a", "a.json", "--b", "b.json"],
            "--judge: 0 judges given; expected one, such as longest",
        ),
        (
            ["--a", "a.json", "--b", "b.json", *LONGEST, *LONGEST],
            "--judge: 2 judges given; expected one",
        ),
        (["--a", "a.json", "--b", "b.json", "--judge", "gpt4"], "--judge: no judge named 'gpt4'."),
        (
            ["--a", "a.json", "--b", "b.json", "--judge", "gpt-4"],
            "the judge gpt-4: no key: the environment variable OPENAI_API_KEY is not set. Set it",
        ),
        (
            ["--a", "a.json", "--b", "b.json", *LONGEST, "--seed", "1"],
            "--seed: has no effect without --n; leave it out",
        ),
        (
            ["--a", "a.json", "--b", "b.json", *LONGEST, "--out", "a.txt"],
            "--out a.txt: expected a name that ends in .jsonl, or a folder",
        ),
        (
            ["--a", "a.jsonl", "--b", "b.json", *LONGEST, "--out", "a.jsonl"],
            "--out a.jsonl: is one of the files that are read; name another",
        ),
        (
            ["--a", "a.json", "--b", "b.json", *LONGEST, "--out", "a.json/v.jsonl"],
            "--out a.json/v.jsonl: cannot be written: ",
        ),
        (
            ["--a", "broken.jsonl", "--b", "b.json", *LONGEST],
            "broken.jsonl:2: not JSON: Expecting ',' delimiter at column 21; expected one JSON",
        ),
        (
            ["--a", "other.json", "--b", "b.json", *LONGEST],
            "b.json: none of its 5 prompts is among the 1 of other.json; expected the same",
        ),
    ],
)
def test_a_mistake_is_one_message_and_nothing_is_judged(halo, files, arguments, message):
    good = '{"instruction": "q0", "output": "x"}\n'
    Path("a.jsonl").write_text(good, encoding="utf-8")
    Path("broken.jsonl").write_text(good + '{"instruction": "q" "output": 1}\n', encoding="utf-8")
    Path("other.json").write_text('[{"instruction": "?", "output": "x"}]', encoding="utf-8")
    code, out, err = halo(*arguments)
    assert code == 2
    assert out == ""
    assert err.splitlines()[-1].startswith(message) or err.startswith(message)
    assert "Traceback" not in err
    assert all(not path.read_text() for path in Path("workspace").rglob("verdicts.jsonl"))


def test_another_command_on_the_same_is_told(halo, files):
    from halo_core.workspace.lock import locked

    halo(*files, *LONGEST)
    (folder,) = Path("workspace/judgements").glob("longest-*")
    with locked(folder, "held"):
        code, _, err = halo(*files, *LONGEST)
    assert code == 2
    assert err.splitlines()[-1] == (
        f"{folder.resolve()}: another halo judge works on the same; wait for it, or stop it"
    )


WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        absent = ("jinja2", "matplotlib", "statsmodels", "torch")
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from halo_core.cli import call
sys.exit(call(sys.argv[1:]))
"""


@pytest.mark.slow
def test_it_judges_where_nothing_draws_renders_or_trains(files):
    command = [sys.executable, "-c", WITHOUT, "judge", *files, *LONGEST, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads(done.stdout)["metrics"]
    assert (metrics["wins"], metrics["losses"], metrics["ties"]) == (2, 1, 2)


def test_a_judge_of_a_file_that_is_called_longest_is_another_one(tmp_path):
    imported = "from halo_judge.judges.longest import Longest"
    source = f"{imported}\n\n\nclass longest(Longest):\n    pass\n"
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")
    name = f"file:{tmp_path / 'mine.py'}:longest"
    assert [judge.label for judge in name_judges([name, "longest"], ())] == ["longest", name]
