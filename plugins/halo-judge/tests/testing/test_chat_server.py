"""The loopback chat server of the test kit does what its fault plan says, and counts."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any, get_args

import pytest

from halo_judge.testing import (
    DEVIATIONS,
    FAULTS,
    ChatReply,
    ChatServer,
    Deviation,
    planned_faults,
)
from halo_judge.testing.deviations import Kind, Outcome

BODY = {"model": "m", "messages": [{"role": "user", "content": "How are you?"}]}


def post(
    server: ChatServer,
    body: Mapping[str, Any] = BODY,
    key: str = "k",
    timeout_s: float = 60.0,
) -> tuple[int, Any]:
    """Returns the status and the answer, parsed if it is JSON."""
    host = server.base_url.removeprefix("http://").removesuffix("/v1")
    connection = http.client.HTTPConnection(host, timeout=timeout_s)
    headers = {"Authorization": f"Bearer {key}"}
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        if not text.startswith(b"{"):
            return answer.status, text
        return answer.status, json.loads(text.decode("utf-8", "replace"))
    finally:
        connection.close()


def test_a_completion_has_the_text_and_the_usage() -> None:
    with ChatServer(lambda body: "Very well.") as server:
        status, answer = post(server)
    assert status == 200
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "Very well."}
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert server.requests == [BODY]
    assert list(server.paid.values()) == [1]


def test_log_probabilities_are_sent_when_asked_for() -> None:
    reply = ChatReply("A", [("A", [("A", -0.1), ("B", -2.0)])])
    with ChatServer(lambda body: reply) as server:
        _, plain = post(server)
        _, answer = post(server, {**BODY, "logprobs": True})
    assert plain["choices"][0]["logprobs"] is None
    (token,) = answer["choices"][0]["logprobs"]["content"]
    assert (token["token"], token["logprob"]) == ("A", -0.1)
    assert token["top_logprobs"][1] == {"token": "B", "logprob": -2.0}


def test_a_wrong_key_is_refused() -> None:
    with ChatServer(lambda body: "hi", key="right") as server:
        assert post(server, key="wrong")[0] == 401
        assert post(server, key="right")[0] == 200
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("fault", "status"), [("400", 400), ("429", 429), ("500", 500), ("503", 503)]
)
def test_an_error_is_not_paid(fault: Any, status: int) -> None:
    with ChatServer(lambda body: "hi", faults=lambda body, times: fault) as server:
        assert post(server)[0] == status
    assert not server.paid


@pytest.mark.parametrize("fault", ["timeout", "drop", "cut"])
def test_a_broken_answer_is_not_paid(fault: Any) -> None:
    with ChatServer(lambda body: "hi", faults=lambda body, times: fault) as server:
        with pytest.raises((OSError, http.client.HTTPException)):
            post(server, timeout_s=0.5)
    assert not server.paid
    assert server.faults_met == {fault: 1}


@pytest.mark.parametrize("fault", ["empty", "garbage", "length", "refusal"])
def test_a_useless_completion_is_paid(fault: Any) -> None:
    with ChatServer(lambda body: "hi", faults=lambda body, times: fault) as server:
        status, answer = post(server)
    assert status == 200
    assert answer["choices"][0]["message"]["content"] != "hi"
    assert list(server.paid.values()) == [1]


def test_a_parameter_that_is_not_taken_is_named() -> None:
    with ChatServer(lambda body: "hi", not_taken=["temperature"]) as server:
        status, answer = post(server, {**BODY, "temperature": 0})
        assert post(server)[0] == 200
    assert status == 400
    assert answer["error"]["param"] == "temperature"
    assert len(server.requests) == 1


def test_an_error_repeats_the_key_where_it_is_told_to() -> None:
    options: Any = {"faults": lambda body, times: "500", "repeats_key": True}
    with ChatServer(lambda body: "hi", **options) as server:
        assert post(server, key="sesame")[1]["error"]["message"] == "ill; you sent Bearer sesame"


def test_a_plan_strikes_the_wanted_share_in_all_ways_and_always_the_same() -> None:
    plan, again = planned_faults(0.3, seed=1), planned_faults(0.3, seed=1)
    bodies = [{**BODY, "n": n} for n in range(2000)]
    met = [plan(body, 0) for body in bodies]
    assert met == [again(body, 0) for body in reversed(bodies)][::-1]
    assert met != [planned_faults(0.3, seed=2)(body, 0) for body in bodies]
    struck = [fault for fault in met if fault is not None]
    assert 0.26 < len(struck) / len(bodies) < 0.34
    assert set(struck) == set(FAULTS)


def test_a_conversation_meets_no_second_useless_completion() -> None:
    plan = planned_faults(0.9, seed=1)
    said = {"role": "assistant", "content": "Well."}
    struck = {plan({**BODY, "messages": [*BODY["messages"], said], "n": n}, 0) for n in range(500)}
    assert struck - {None} == set(FAULTS) - {"empty", "garbage", "length", "refusal"}


def test_an_unknown_fault_is_a_mistake_of_the_plan() -> None:
    with pytest.raises(ValueError, match=r"the plan of faults named \['4o0'\]; expected None or a"):
        with ChatServer(lambda body: "hi", faults=lambda body, times: "4o0") as server:
            assert post(server)[0] == 500


# The first two take too long for a client that waits for all of them, and Python's own client takes
# the 103 for the reply.
@pytest.mark.parametrize(
    "deviation",
    [d for d in DEVIATIONS if d.name not in ("trickle", "slow-head", "early-hints")],
    ids=lambda d: d.name,
)
def test_each_deviation_of_the_table_is_sent_and_counted(deviation: Deviation) -> None:
    plan: Any = {"faults": lambda body, times: deviation.name}
    silent = deviation.name in ("timeout", "drop", "cut")
    with ChatServer(lambda body: '{"why": "so", "verdict": "A"}', **plan) as server:
        if silent:
            with pytest.raises((OSError, http.client.HTTPException)):
                post(server, timeout_s=0.5)
        else:
            status, _ = post(server)
            assert (status == 200) or not deviation.paid
    assert server.faults_met == {deviation.name: 1}
    assert sum(server.paid.values()) == deviation.paid


def test_the_table_names_each_deviation_once_and_has_all_kinds() -> None:
    assert len({deviation.name for deviation in DEVIATIONS}) == len(DEVIATIONS)
    assert {deviation.kind for deviation in DEVIATIONS} == set(get_args(Kind))
    assert {deviation.outcome for deviation in DEVIATIONS} == set(get_args(Outcome))
    assert set(FAULTS) <= {deviation.name for deviation in DEVIATIONS}
