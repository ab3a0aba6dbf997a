import threading

import pytest

from halo_judge.judges.chat.chat_client import ChatClient
from halo_judge.judges.endpoint.budget import Budget, CapReached
from halo_judge.judges.endpoint.failures import Broken, Unreachable
from halo_judge.judges.endpoint.pace import Pace
from halo_judge.judges.endpoint.secret import Secret, read_key
from halo_judge.testing import ChatServer

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "parameters": {}}


def test_the_limit_is_halved_once_per_round_and_grows_slowly():
    pace = Pace(16)
    sent = pace.round
    for _ in range(5):
        pace.slow_down(sent)
    assert pace.limit == 8
    pace.slow_down(pace.round)
    assert pace.limit == 4
    for _ in range(4):
        pace.speed_up()
    assert pace.limit == 4
    pace.speed_up()
    assert pace.limit == 5
    for _ in range(1000):
        pace.speed_up()
    assert pace.limit == 16


def test_the_limit_is_never_below_one():
    pace = Pace(2)
    for _ in range(9):
        pace.slow_down(pace.round)
    assert pace.limit == 1


def test_no_more_than_the_limit_is_under_way():
    pace, most, now, lock = Pace(3), [0], [0], threading.Lock()

    def work():
        with pace.slot():
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            threading.Event().wait(0.01)
            with lock:
                now[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 3


def test_a_429_halves_the_pace_even_when_the_client_tries_again_by_itself():
    def first_only(body, times):
        return "429" if times == 0 else None

    pace = Pace(8)
    with ChatServer(lambda body: "well", faults=first_only) as server:
        endpoint = ChatClient(
            server.base_url, Secret("none"), timeout_s=60, retries=2, pace=pace, judge="judge"
        )
        reply = endpoint.ask(ASKED, repeated=0)
        endpoint.close()
    assert (reply["content"], reply["finish"], pace.limit) == ("well", "stop", 4)


def test_nothing_is_sent_while_the_pace_is_held_and_again_afterwards():
    pace = Pace(1)
    with ChatServer(lambda body: "well") as server:
        endpoint = ChatClient(
            server.base_url, Secret("none"), timeout_s=60, retries=9, pace=pace, judge="judge"
        )
        pace.hold()
        with pytest.raises(Unreachable, match="stopped"):
            endpoint.ask(ASKED, repeated=0)
        assert server.requests == []
        pace.go_on()
        assert endpoint.ask(ASKED, repeated=0)["content"] == "well"
        endpoint.close()


def test_a_reply_that_is_nested_too_deeply_is_broken(serve):
    server = serve(lambda body: (200, {}, "[" * 100_000))
    endpoint = ChatClient(
        server.url, Secret("none"), timeout_s=60, retries=0, pace=Pace(1), judge="judge"
    )
    with pytest.raises(Broken, match=r"expected a chat completion, got '\[\[\["):
        endpoint.ask(ASKED, repeated=0)
    endpoint.close()
    assert len(server.bodies) == 1


def test_a_rest_ends_when_the_pace_is_held():
    pace = Pace(1)
    pace.hold()
    pace.rest(10_000)  # It would be over after the time limit of the test.


def test_a_budget_never_passes_its_cap():
    budget = Budget(1.0, spent=0.25)
    budget.set_aside(0.5)
    budget.settle(0.5, 0.25)
    budget.set_aside(0.5)
    budget.settle(0.5, 0.5)
    assert budget.spent == 1.0
    with pytest.raises(CapReached):
        budget.set_aside(0.01)


def test_a_budget_waits_for_what_is_under_way_to_cost_less():
    budget = Budget(1.0)
    budget.set_aside(0.9)
    got = threading.Event()
    thread = threading.Thread(target=lambda: (budget.set_aside(0.9), got.set()))
    thread.start()
    assert not got.wait(0.05)
    budget.settle(0.9, 0.05)
    assert got.wait(60)
    thread.join()


def test_without_a_cap_anything_may_be_spent():
    budget = Budget(None)
    budget.set_aside(1e9)
    budget.settle(1e9, 1e9)
    assert budget.spent == 1e9


def test_a_secret_does_not_show_itself(monkeypatch):
    monkeypatch.setenv("MY_KEY", " sk-0123456789\n")
    secret = read_key("MY_KEY", "judge")
    assert secret.reveal() == "sk-0123456789"
    assert "0123" not in f"{secret} {secret!r} {[secret]}"
    assert secret.hide_in({"a": ["x sk-0123456789 y", 3, None]}) == {"a": ["x *** y", 3, None]}
