"""Processes of `halo run` killed outright (SIGKILL) while a judge is asked, and run again."""

import copy
import json
import re
import signal
import threading

import pytest

from halo_judge.testing import FAULTS, ChatServer, planned_faults

KEY = "sk-planted-0123456789"
SOON = 120
SHARE = 0.3
AT_ONCE = 4
KINDS = tuple(fault for fault in FAULTS if fault != "timeout")
"""With a limit on time that silence reaches soon, a busy machine reaches it too."""


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def longer(body) -> str:
    asked = body["messages"][1]["content"]
    a, b = (len(re.search(rf"answer {place}\n(.*)\n", asked).group(1)) for place in "AB")
    verdict = "tie" if a == b else "A" if a > b else "B"
    return json.dumps({"comparison": f"{a}, {b}", "verdict": verdict})


def without_price(records: list[dict]) -> str:
    """Returns verdicts as text, without `calls` and `cost`, which more requests change."""
    records = copy.deepcopy(records)
    for record in records:
        for said in record["orders"]:
            said.pop("calls"), said.pop("cost")
    return json.dumps(records)


class Gate:
    """Answers that are held back after a number of paid ones, until somebody lets them pass."""

    def __init__(self) -> None:
        self._lock, self._left = threading.Lock(), None
        self._held, self._passes = threading.Event(), threading.Event()

    def answer(self, body) -> str:
        with self._lock:
            closed = self._left == 0
            if self._left:
                self._left -= 1
        if closed:
            self._held.set()
            assert self._passes.wait(SOON)
        return longer(body)

    def close_after(self, answers: int) -> None:
        self._held.clear()
        self._passes.clear()
        self._left = answers

    def wait(self) -> None:
        assert self._held.wait(SOON)

    def open(self) -> None:
        with self._lock:
            self._left = None
        self._passes.set()


def kill_after(project, gate: Gate, requests: int) -> None:
    """Starts `halo run`, and kills it while it waits for a reply after some replies."""
    gate.close_after(requests)
    process = project.start("run")
    gate.wait()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    gate.open()
    assert process.returncode == -signal.SIGKILL


def check_kills(
    judged, record_property, *, kills: int, prompts: int, requests: int, remembers: bool = False
) -> set[str]:
    """Checks that a run killed so often ends like one without faults; returns the faults met."""
    calm = judged("calm")
    with ChatServer(longer) as server:
        calm.write(server.base_url, prompts)
        assert calm.halo_here("run") == 0
        asked = len(server.requests)
    project = judged("killed")
    plan = {"faults": planned_faults(SHARE, seed=5, kinds=KINDS), "remembers": remembers}
    gate = Gate()
    with ChatServer(gate.answer, delay_s=0.02, key=KEY, **plan) as server:
        project.write(server.base_url, prompts, concurrency=AT_ONCE)
        for _ in range(kills):
            kill_after(project, gate, requests)
        code, out, err = project.halo("run", "--json")
        firsts = {json.dumps(b, sort_keys=True) for b in server.requests if len(b["messages"]) == 2}
    assert code == 0, err
    metrics = json.loads(out)["stages"][1]["metrics"]
    assert metrics["unscored"] == 0
    assert without_price(project.records()) == without_price(calm.records())
    # Exactly the expected questions were asked; each is counted once, even if it was lost.
    assert len(firsts) == asked
    assert metrics["calls"] == len(server.paid)
    # A reply that the server sent and the killed process never got to keep is paid for again.
    lost = sum(times - 1 for times in server.paid.values())
    record_property("replies_lost", lost)
    print(f"{kills} kills, {len(server.paid)} replies, {lost} lost")
    assert lost <= (0 if remembers else kills * AT_ONCE)
    return set(server.faults_met)


@pytest.mark.slow(seconds=6)
@pytest.mark.timeout(900)
def test_ten_kills_of_a_run_with_faults_lose_at_most_what_was_under_way(judged, record_property):
    met = check_kills(judged, record_property, kills=10, prompts=80, requests=12)
    assert met == set(KINDS)


@pytest.mark.slow(seconds=6)
def test_a_killed_run_ends_like_one_without_faults(judged, record_property):
    check_kills(judged, record_property, kills=1, prompts=8, requests=5)


@pytest.mark.slow(seconds=6)
def test_an_endpoint_that_heeds_the_idempotency_key_is_paid_once_whatever_is_killed(
    judged, record_property
):
    check_kills(judged, record_property, kills=2, prompts=16, requests=5, remembers=True)


@pytest.mark.slow(seconds=6)
@pytest.mark.timeout(900)
def test_ten_kills_pay_an_endpoint_that_heeds_the_idempotency_key_once(judged, record_property):
    check_kills(judged, record_property, kills=10, prompts=80, requests=12, remembers=True)
