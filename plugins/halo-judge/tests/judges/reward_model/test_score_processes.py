"""Several processes that score: the same bits, no lost score, and errors with a name."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from halo_core.errors import ModelError, UserError, WorkerError
from halo_core.judge import JudgeContext
from halo_core.scoring_judge import Answer, Score, ScoringSession
from halo_core.stage import Inputs, ModelInput
from halo_judge.judges.reward_model import score_processes
from halo_judge.judges.reward_model.classifier_text import ClassifierInput
from halo_judge.judges.reward_model.options import RewardModel
from halo_judge.judges.reward_model.recipe import Recipe
from halo_judge.judges.reward_model.score_processes import ScoreProcesses
from halo_models.testing import make_tokenizer

RECIPE = Recipe(ModelInput("none", None, ""), None, False, "completion", None, "auto", 4)
CPU = torch.device("cpu")
SECONDS = 120

# Stand-ins for the program of a process, which need neither torch nor a model. The score of a text
# is its first token; the program can see its order in `order`, and end in it.
STAND_IN = """
import json, os, signal, sys, time
def give(answer):
    print(json.dumps(answer), flush=True)
first = json.loads(input())
{start}
give({{"batch_size": 4}})
for line in sys.stdin:
    order = json.loads(line)
    if "read" in order:
        answer = [[[len(a["completion"])], [], False] for a in order["read"]]
    else:
        answer = [float(ids[0]) for ids, types in order["score"]]
        {score}
    give({{"number": order["number"], "answer": answer}})
"""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replaces the program of the processes."""

    def make(score: str = "pass", start: str = "") -> None:
        program = STAND_IN.format(score=score, start=start)
        monkeypatch.setattr(score_processes, "PROGRAM", (sys.executable, "-c", program))

    return make


def batches(count: int) -> list[list[ClassifierInput]]:
    return [[ClassifierInput([number])] for number in range(count)]


def collect(found: Iterator[Any], into: list[Any]) -> None:
    """Takes all values, and keeps those that came before an error."""
    for value in found:
        into.append(value)


def started(warnings: list[str] | None = None, processes: int = 2) -> ScoreProcesses:
    warn = (lambda text: None) if warnings is None else warnings.append
    return ScoreProcesses(RECIPE, [CPU] * processes, warn)


def ids_of(scorer: ScoreProcesses) -> list[int]:
    return [process._process.pid for process in scorer._processes]


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# The exchange, with stand-ins.


def test_answers_come_in_order_although_one_process_is_slower(stand_in: Any) -> None:
    stand_in("time.sleep(0.02 * (answer[0] % 3 == 0))")
    with started() as scorer:
        assert list(scorer.values(batches(20))) == [(n, [float(n)]) for n in range(20)]


def test_all_processes_score(stand_in: Any) -> None:
    stand_in("answer = [float(os.getpid())]; time.sleep(0.02)")
    with started(processes=3) as scorer:
        found = {values[0] for _, values in scorer.values(batches(12))}
        assert found == set(map(float, ids_of(scorer)))


def test_texts_are_read_in_their_order(stand_in: Any) -> None:
    stand_in()
    answers = [Answer(str(n), [{"role": "user", "content": "?"}], "x" * n) for n in range(200)]
    with started() as scorer:
        assert list(scorer.read(answers)) == [(n, ClassifierInput([n])) for n in range(200)]


def test_a_call_that_was_left_does_not_disturb_the_next_one(stand_in: Any) -> None:
    stand_in()
    with started() as scorer:
        left = scorer.values(batches(9))
        assert next(left) == (0, [0.0])
        left.close()
        later = [[ClassifierInput([100 + n])] for n in range(9)]
        assert list(scorer.values(later)) == [(n, [100.0 + n]) for n in range(9)]


def test_the_processes_end_with_the_block_and_with_an_error_in_it(stand_in: Any) -> None:
    stand_in("time.sleep(600)")
    ids: list[int] = []
    with contextlib.suppress(ZeroDivisionError), started() as scorer:
        ids = ids_of(scorer)
        assert all(map(is_running, ids))
        raise ZeroDivisionError
    assert len(ids) == 2
    assert not any(map(is_running, ids))


def test_a_warning_of_all_processes_is_shown_once(stand_in: Any) -> None:
    stand_in(start='give({"warning": "padded"})')
    warnings: list[str] = []
    with started(warnings):
        assert warnings == ["padded"]


def test_what_a_process_prints_is_shown_with_its_name(stand_in: Any, capsys: Any) -> None:
    stand_in(start='sys.stderr.write("a library says \\x1b[31m\\n")')
    with started():
        pass
    lines = capsys.readouterr().err.splitlines()
    text = "a library says \\x1b[31m"
    assert sorted(lines) == [f"process {n} of 2 of the judge, on cpu: {text}" for n in (1, 2)]


def test_a_killed_process_is_named_and_what_others_scored_is_passed_on(
    stand_in: Any, tmp_path: Path
) -> None:
    # The process with batches 0 and 2 kills itself when the other one has given all others.
    file = tmp_path / "others are scored"
    stand_in(f"""
        if answer[0] == 8:
            give({{"number": order["number"], "answer": answer}})
            open({str(file)!r}, "w").close()
            continue
        while answer[0] == 0:
            if os.path.exists({str(file)!r}):
                time.sleep(0.3)
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.01)
    """)
    found: list[Any] = []
    with started() as scorer:
        with pytest.raises(WorkerError) as caught:
            collect(scorer.values(batches(9)), found)
        assert found == [(place, [float(place)]) for place in (1, 3, 4, 5, 6, 7, 8)]
        with pytest.raises(WorkerError, match="SIGKILL"):
            list(scorer.values(batches(1)))
    assert str(caught.value) == (
        f"the judge reward-model: process 1 of 2 of the judge, on cpu (id {ids_of(scorer)[0]}) was "
        "ended by SIGKILL, signal 9; it was killed, possibly because memory ran out. Finished "
        "results are kept. Run the same command again to continue"
    )


def test_a_process_that_ends_while_it_loads_is_named(stand_in: Any) -> None:
    stand_in(start="sys.exit(7)")
    with (
        pytest.raises(WorkerError, match=r"process [12] of 2 .* ended with exit code 7\. "),
        started(),
    ):
        pass


def test_an_error_is_told_with_its_process_and_its_place(stand_in: Any) -> None:
    told = {"type": "OutOfMemoryError", "message": "2 GB", "location": None, "place": "a.py:3"}
    stand_in(f'give({{"error": {told!r}}}); sys.exit(1)')
    with started() as scorer, pytest.raises(WorkerError) as caught:
        list(scorer.values(batches(3)))
    message = caught.value.message
    assert "raised OutOfMemoryError: 2 GB, at a.py:3. Finished results are kept. Run" in message


def test_an_error_of_halo_is_the_same_as_in_one_process(stand_in: Any) -> None:
    told = {"type": "ModelError", "message": "no head", "location": "m", "place": None}
    stand_in(start=f'give({{"error": {told!r}}}); sys.exit(1)')
    with pytest.raises(ModelError) as caught, started():
        pass
    assert (caught.value.message, caught.value.location) == ("no head", "m")


# The devices.


def save(folder: Path, *, room: int = 0) -> Path:
    """Saves a tiny classifier. With `room` below 0, it lacks the last tokens of its tokenizer."""
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer) + room,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.3,
        num_labels=1,
        pad_token_id=0,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def inputs(*, begins: bool) -> Inputs:
    return Inputs(sketch=Path("unused"), begins=begins)


def judge(folder: Path, **options: Any) -> RewardModel:
    return RewardModel(path=str(folder), **{"device": "cpu", "batch_size": 3, **options})


def test_fewer_gpus_than_processes_are_refused_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(score_processes, "PROGRAM", ("/no/such/program",))
    made = judge(save(tmp_path), device="auto", processes=2)
    said = (
        "torch sees 1 GPU, and each of 2 processes needs its own. Use processes: 1, or device: cpu"
    )
    with pytest.raises(UserError) as caught, made.open_scoring(JudgeContext(tmp_path, tmp_path)):
        pass
    assert str(caught.value) == f"the judge reward-model: {said}"
    assert list(made.check_inputs(inputs(begins=True))) == [("processes", said)]
    assert list(made.check_inputs(inputs(begins=False))) == []
    alone = judge(tmp_path, device="cpu", processes=2)
    assert list(alone.check_inputs(inputs(begins=True))) == []


# With a classifier.

TEXTS = ["moo", "The cow says moo and the duck says quack.", "An ant has six legs;", "", "a b"]
ANSWERS = [
    Answer(f"{n}", [{"role": "user", "content": "?"}], f"{text} {n}" if text else "")
    for n, text in enumerate(TEXTS * 3)
]


@pytest.fixture
def forks(warm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the processes be forks of one that has imported torch, which takes them seconds."""
    monkeypatch.setattr(score_processes, "subprocess", warm.instead_of_subprocess())


def scores(session: ScoringSession) -> list[Score]:
    return list(session.score(ANSWERS))


@pytest.mark.slow
def test_two_processes_give_the_bits_of_one(forks: None, tmp_path: Path) -> None:
    save(tmp_path)
    context = JudgeContext(tmp_path, tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with judge(tmp_path).open_scoring(context) as session:
            expected = scores(session)
        with judge(tmp_path, processes=2).open_scoring(context) as session:
            assert scores(session) == expected
            assert scores(session) == expected  # A session can be asked again.
    finally:
        torch.set_num_threads(threads)
    assert len({score.value for score in expected}) > len(TEXTS)


@pytest.mark.slow
def test_an_error_in_a_batch_is_told_with_its_process(forks: None, tmp_path: Path) -> None:
    save(tmp_path, room=-100)
    made = judge(tmp_path, processes=2, batch_size=1)
    with (
        made.open_scoring(JudgeContext(tmp_path, tmp_path)) as session,
        pytest.raises(WorkerError) as caught,
    ):
        scores(session)
    message = caught.value.message
    assert "of 2 of the judge, on cpu (id " in message
    assert "raised IndexError: index out of range in self, at " in message
    assert "classifier.py:" in message


PARENT = """
import sys, time
from pathlib import Path
from halo_core.judge import JudgeContext
from halo_judge.judges.reward_model.options import RewardModel
folder = Path(sys.argv[1])
made = RewardModel(path=str(folder), device="cpu", processes=2)
with made.open_scoring(JudgeContext(folder, folder)) as session:
    print(*(p._process.pid for p in session._classifier._processes), flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_the_processes_end_when_their_stage_is_killed(warm: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(save(tmp_path))]
    # One is a fork. The other is a new process, as for a user: it imports what it needs.
    with warm.start(command, ready=(1,), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        ids = [int(text) for text in parent.stdout.readline().split()]
        assert len(ids) == 2
        assert all(map(is_running, ids))
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    end = time.monotonic() + SECONDS
    while any(map(is_running, ids)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_running, ids))
