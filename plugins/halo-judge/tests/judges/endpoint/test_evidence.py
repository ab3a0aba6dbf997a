"""Only usable replies are kept as paid; the others are evidence and are asked for again."""

import json
import re
import sqlite3
import time
from contextlib import closing

import pytest

from halo_core.errors import UserError
from halo_core.judge import Comparison, JudgeContext
from halo_judge.judges.chat.options import GPT4
from halo_judge.judges.chat.refused import advice_for
from halo_judge.judges.endpoint.replies import ReplyStore, request_key
from halo_judge.testing import ChatServer

PROMPT = [{"role": "user", "content": "Say something."}]
ADDRESS = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def prefers_good(body) -> str:
    first = re.search(r"answer A\n(.*)\n", body["messages"][1]["content"])
    return json.dumps({"comparison": "?", "verdict": "A" if "good" in first.group(1) else "B"})


def comparison(number: int) -> Comparison:
    return Comparison(str(number), PROMPT, f"good {number}", f"bad {number}")


def judge(server, **options) -> GPT4:
    defaults = {"base_url": server.base_url, "timeout_s": 60.0, "retries": 2, "api_key_env": None}
    return GPT4(**{**defaults, **options})


def ask(judge, folder, *numbers):
    with judge.open(JudgeContext(folder, folder, warn=lambda text: None)) as session:
        found = {verdict.id: verdict for verdict in session.compare(list(map(comparison, numbers)))}
    return [found[str(number)] for number in numbers]


def rows(folder) -> list[tuple[int, dict, float | None]]:
    with closing(sqlite3.connect(folder / "replies.sqlite")) as db:
        query = "SELECT attempt, reply, cost FROM replies ORDER BY time"
        return [(attempt, json.loads(reply), cost) for attempt, reply, cost in db.execute(query)]


def first_only(fault):
    return lambda body, times: fault if times == 0 and len(body["messages"]) == 2 else None


def test_a_reply_that_cannot_be_used_is_kept_with_its_reason_and_cost(tmp_path):
    with ChatServer(prefers_good, faults=first_only("garbage")) as server:
        (verdict,) = ask(judge(server), tmp_path, 1)
    (garbage, evidence, first_cost), (used, reply, cost) = rows(tmp_path)
    assert (garbage, used) == (-1, 0)
    assert evidence["unusable"] == "no verdict in the reply: 'Well, well.'"
    assert evidence["reply"]["content"] == "Well, well."
    assert (evidence["step"], evidence["last"], evidence["calls"]) == (0, False, 1)
    assert json.loads(reply["content"])["verdict"] == "A"
    assert verdict.cost == pytest.approx(first_cost + cost)
    assert verdict.calls == 2


def test_a_broken_reply_is_kept_as_it_came_and_costs_nothing(tmp_path):
    with ChatServer(prefers_good, faults=first_only("loading")) as server:
        (verdict,) = ask(judge(server), tmp_path, 1)
    (number, evidence, cost), _ = rows(tmp_path)
    assert (number, cost) == (-1, 0.0)
    assert evidence["body"]["error"] == "Model my/judge is currently loading"
    assert verdict.calls == 1


def test_a_broken_reply_that_the_endpoint_charged_for_counts(tmp_path):
    with ChatServer(prefers_good, faults=first_only("no-choices")) as server:
        (verdict,) = ask(judge(server), tmp_path, 1)
    costs = [cost for _, _, cost in rows(tmp_path)]
    assert all(cost > 0 for cost in costs)
    assert verdict.calls == 2
    assert verdict.cost == pytest.approx(sum(costs))


def test_what_was_paid_for_evidence_counts_towards_max_cost(tmp_path):
    with ChatServer(prefers_good, faults=lambda body, times: "garbage") as server:
        ask(judge(server), tmp_path, *range(5))
        store = ReplyStore(tmp_path, pytest.fail)
        spent = store.spent(".")
        store.close()
        assert spent == pytest.approx(sum(cost for _, _, cost in rows(tmp_path)))
        assert spent > 0
        server.faults = lambda body, times: None
        with pytest.raises(UserError, match=f"max_cost is .* dollars, {spent:.4f} are spent"):
            ask(judge(server, max_cost=spent + 0.001), tmp_path, *range(5))


def test_a_conversation_that_was_not_finished_goes_on_with_its_reminder(tmp_path):
    def plan(body, times):
        return "garbage" if len(body["messages"]) == 2 else "503"

    with ChatServer(prefers_good, faults=plan) as server:
        (first,) = ask(judge(server, retries=0), tmp_path, 1)
        server.faults = lambda body, times: None
        (second,) = ask(judge(server), tmp_path, 1)
    assert (first.winner, second.winner) == (None, "A")
    assert [len(body["messages"]) for body in server.requests] == [2, 4, 4]
    assert second.calls == 2


@pytest.mark.parametrize("refused", ["400", "413"])
def test_a_reminder_that_is_rejected_does_not_block_the_next_run(tmp_path, refused):
    def plan(body, times):
        return "empty" if len(body["messages"]) == 2 else refused

    with ChatServer(prefers_good, faults=plan) as server:
        (first,) = ask(judge(server), tmp_path, 1)
        server.faults = lambda body, times: None
        (second,) = ask(judge(server), tmp_path, 1)
    assert first.reason.startswith(f"not answered: Error code: {refused}")
    assert second.winner == "A"
    assert [len(body["messages"]) for body in server.requests] == [2, 4, 2]


def test_an_endpoint_that_repeats_replies_by_their_key_is_asked_with_another_one(tmp_path):
    plan = {"faults": lambda body, times: "garbage", "remembers": True}
    with ChatServer(prefers_good, **plan) as server:
        ask(judge(server), tmp_path, 1)
        server.faults = lambda body, times: None
        (later,) = ask(judge(server), tmp_path, 1)
    assert later.winner == "A"
    assert len(server.kept) == 3


def test_a_quote_counts_replies_without_a_verdict_as_requests_to_come(tmp_path):
    def plan(body, times):
        return "garbage" if "good 1\n" in body["messages"][1]["content"] else None

    with ChatServer(prefers_good, faults=plan) as server:
        asked = judge(server)
        ask(asked, tmp_path, 0, 1, 2)
        quote = asked.quote([comparison(n) for n in range(4)], tmp_path)
    assert (quote.kept, quote.calls) == (2, 2)


OLD_TABLE = """
CREATE TABLE replies (
    key TEXT NOT NULL, attempt INTEGER NOT NULL, request TEXT NOT NULL, reply TEXT NOT NULL,
    cost REAL, account TEXT NOT NULL, time REAL NOT NULL, PRIMARY KEY (key, attempt)
) WITHOUT ROWID
"""
VERDICT = '{"comparison": "old", "verdict": "A"}'


def old_reply(content, **more):
    counts = {"tokens_in": 200, "tokens_out": 10}
    return {"content": content, "finish": "stop", "refusal": None, "tokens": None, **counts, **more}


def old_file(folder, made: GPT4, replies: dict[int, list[dict]]) -> None:
    """Writes the file of an earlier version, with the replies to some comparisons."""
    folder.mkdir(exist_ok=True)
    form = made._request_form()
    with closing(sqlite3.connect(folder / "replies.sqlite")) as db:
        db.execute(OLD_TABLE)
        for number, said in replies.items():
            request = form.request(comparison(number))
            key = request_key(request)
            for attempt, reply in enumerate(said):
                row = (key, attempt, json.dumps(request), json.dumps(reply), 0.01, ".", time.time())
                db.execute("INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?, ?)", row)
                request = form.ask_again(request, {"content": "x", "refusal": None})
        db.commit()


def test_replies_of_an_earlier_version_are_used_and_only_the_others_asked_for(tmp_path):
    garbage = old_reply("Well.")
    with ChatServer(prefers_good) as server:
        made = judge(server)
        old = {
            0: [old_reply(VERDICT)],
            1: [garbage, old_reply(VERDICT)],
            # This reply ended each later run in an internal error.
            2: [old_reply([{"type": "text", "text": VERDICT}], tokens_in="200", tokens_out=None)],
            3: [old_reply(VERDICT, finish="error")],
            4: [garbage, garbage],
            5: [garbage],
            6: [old_reply(None)],
            7: [old_reply({"odd": 1}, tokens="none"), garbage],
        }
        old_file(tmp_path, made, old)
        assert made.quote([comparison(n) for n in old], tmp_path).kept == 4
        verdicts = ask(made, tmp_path, *old)
        asked = {body["messages"][1]["content"] for body in server.requests}
        again = ask(made, tmp_path, *old)
    assert [verdict.winner for verdict in verdicts] == ["A"] * 8
    assert [verdict.calls for verdict in verdicts] == [1, 2, 1, 1, 3, 2, 2, 3]
    assert again == verdicts
    assert len(server.requests) == 4
    assert not any(f"good {n}\n" in text for n in range(4) for text in asked)
    # The conversations that the earlier version did not finish continue with the reminder.
    lengths = {
        re.search(r"good (\d)", body["messages"][1]["content"]).group(1): len(body["messages"])
        for body in server.requests
    }
    assert lengths == {"4": 2, "5": 4, "6": 4, "7": 2}


def test_an_endpoint_that_answered_an_earlier_run_is_not_given_up_for_long_texts(tmp_path):
    with ChatServer(prefers_good) as server:
        ask(judge(server), tmp_path, 0)
        server.faults = lambda body, times: "413"
        verdicts = ask(judge(server), tmp_path, *range(1, 15))
    assert {verdict.reason for verdict in verdicts} == {
        "not answered: Error code: 413 - '<h1>413</h1>'"
    }
    with pytest.raises(UserError, match="the endpoint answered none of the first 8 requests"):
        with ChatServer(prefers_good, faults=lambda body, times: "413") as server:
            ask(judge(server), tmp_path, *range(1, 15))


def test_texts_that_cannot_be_sent_are_not_taken_for_rejections(tmp_path):
    halves = [Comparison(f"h{n}", PROMPT, f"{n} \ud83d", "bad") for n in range(12)]
    with ChatServer(prefers_good) as server:
        asked = judge(server, concurrency=1)
        with asked.open(JudgeContext(tmp_path, tmp_path)) as session:
            found = {v.id: v for v in session.compare([*halves, comparison(1)])}
    assert found["1"].winner == "A"
    assert {found[f"h{n}"].winner for n in range(12)} == {None}


def test_the_advice_for_rejected_requests_names_what_to_set(tmp_path):
    said = "Unsupported value: 'temperature' does not support 0.0 with this model."
    with ChatServer(prefers_good, faults=lambda body, times: "400") as server:
        with pytest.raises(UserError) as error:
            ask(judge(server), tmp_path, *range(9))
    assert error.value.message.endswith("400 - not taken; check model, base_url and the template")
    assert advice_for(said) == "; set temperature: null"
    assert (
        advice_for("max_completion_tokens is too large")
        == "; set token_limit_parameter: max_tokens"
    )
