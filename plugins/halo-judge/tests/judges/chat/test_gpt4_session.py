import json
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from halo_core.errors import UserError
from halo_core.judge import Comparison, JudgeContext
from halo_core.testing import check_judge
from halo_judge.judges.chat.options import GPT4
from halo_judge.judges.endpoint.replies import ReplyStore
from halo_judge.testing import ChatReply, ChatServer

KEY = "sk-planted-0123456789"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


def comparisons(count: int) -> list[Comparison]:
    prompt = [{"role": "user", "content": "Say something."}]
    return [Comparison(str(i), prompt, f"good {i}", f"bad {i}") for i in range(count)]


def prefers_good(body) -> str:
    """Answers in the form of pairwise-2."""
    asked = body["messages"][1]["content"]
    first = re.search(r"answer A\n(.*)\n", asked)
    return json.dumps({"comparison": "?", "verdict": "A" if "good" in first.group(1) else "B"})


def judge(server, **options) -> GPT4:
    return GPT4(**{"base_url": server.base_url, "timeout_s": 60.0, "retries": 2, **options})


def ask(judge: GPT4, folder: Path, asked: list[Comparison]):
    with judge.open(JudgeContext(folder, folder)) as session:
        return {verdict.id: verdict for verdict in session.compare(asked)}


def test_a_session_gives_verdicts_with_words_calls_and_cost(tmp_path):
    with ChatServer(prefers_good, key=KEY) as server:
        verdicts = ask(judge(server), tmp_path, comparisons(20))
    assert {v.winner for v in verdicts.values()} == {"A"}
    assert len(verdicts) == 20
    one = verdicts["7"]
    assert json.loads(one.reason)["verdict"] == "A"
    assert one.calls == 1
    words = len(" ".join(m["content"] for m in server.requests[0]["messages"]).split())
    assert one.cost == pytest.approx((words * 30 + 4 * 60) / 1e6, rel=0.1)


def test_the_report_s_template_asks_its_question_at_temperature_zero(tmp_path):
    def reply(body):
        return "Both are short.\nMore helpful, harmless, and concise: Response 2"

    with ChatServer(reply) as server:
        verdicts = ask(judge(server, template="report-2024"), tmp_path, comparisons(1))
    (body,) = server.requests
    assert (body["model"], body["temperature"]) == ("gpt-4-0613", 0.0)
    (message,) = body["messages"]
    assert "Which response is more helpful, harmless, and concise?" in message["content"]
    assert verdicts["0"].winner == "B"


def test_identical_texts_are_a_tie_without_a_request(tmp_path):
    with ChatServer(prefers_good) as server:
        verdicts = ask(judge(server), tmp_path, [Comparison("x", [], "same", "same")])
    assert verdicts["x"].winner == "tie"
    assert server.requests == []


def test_what_was_asked_is_not_asked_again(tmp_path):
    with ChatServer(prefers_good) as server:
        first = ask(judge(server), tmp_path, comparisons(5))
        again = ask(judge(server), tmp_path, comparisons(5))
    assert again == first
    assert len(server.requests) == 5


@pytest.mark.parametrize("other", [{"model": "gpt-4"}, {"temperature": 1.0}, {"max_tokens": 9}])
def test_another_setting_is_another_verdict(tmp_path, other):
    with ChatServer(prefers_good) as server:
        ask(judge(server), tmp_path, comparisons(1))
        ask(judge(server, **other), tmp_path, comparisons(1))
    assert len(server.requests) == 2


def test_the_other_order_is_another_verdict(tmp_path):
    (one,) = comparisons(1)
    turned = Comparison("turned", one.prompt, one.b, one.a)
    with ChatServer(prefers_good) as server:
        verdicts = ask(judge(server), tmp_path, [one, turned])
    assert (verdicts["0"].winner, verdicts["turned"].winner) == ("A", "B")


def test_the_same_texts_twice_are_asked_once(tmp_path):
    (one,) = comparisons(1)
    with ChatServer(prefers_good) as server:
        verdicts = ask(judge(server), tmp_path, [one, Comparison("1", one.prompt, one.a, one.b)])
    assert set(verdicts) == {"0", "1"}
    assert len(server.requests) == 1


class Counted(Sequence):
    """Comparisons that are made when they are read; counts them."""

    def __init__(self, count: int) -> None:
        self.count, self.looked_at = count, 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place):
        if place >= self.count:
            raise IndexError(place)
        self.looked_at = max(self.looked_at, place + 1)
        return comparisons(place + 1)[place]


def test_a_session_looks_no_further_ahead_than_what_it_keeps_under_way(tmp_path):
    asked = Counted(100)
    with (
        ChatServer(prefers_good) as server,
        judge(server, concurrency=3).open(JudgeContext(tmp_path, tmp_path)) as session,
    ):
        for given, _ in enumerate(session.compare(asked), start=1):
            assert asked.looked_at <= given + 2 * 3
    assert (given, asked.looked_at) == (100, 100)


def test_an_edited_template_never_reuses_a_verdict(tmp_path):
    file = tmp_path / "mine.toml"
    text = Path(GPT4().read_template.__globals__["__file__"]).parent / "templates"
    file.write_text((text / "pairwise-1.toml").read_text(encoding="utf-8"), encoding="utf-8")
    with ChatServer(prefers_good) as server:
        before = judge(server, template_file=str(file))
        ask(before, tmp_path, comparisons(1))
        file.write_text(file.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
        after = judge(server, template_file=str(file))
        ask(after, tmp_path, comparisons(1))
    assert len(server.requests) == 2
    assert before.file_digests() == after.file_digests()  # Both read the file as it is now.
    assert before.file_digests() != GPT4().file_digests()


def once(fault):
    return lambda body, times: fault if times == 0 and len(body["messages"]) < 3 else None


@pytest.mark.parametrize("fault", ["empty", "garbage", "length", "refusal"])
def test_a_reply_without_a_verdict_is_asked_for_once_more(tmp_path, fault):
    with ChatServer(prefers_good, faults=once(fault)) as server:
        verdicts = ask(judge(server), tmp_path, comparisons(1))
    assert verdicts["0"].winner == "A"
    assert verdicts["0"].calls == 2
    reminder = server.requests[1]["messages"][-1]["content"]
    assert reminder.startswith("That was not the JSON object asked for.")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("empty", "the reply is empty"),
        ("garbage", "no verdict in the reply: 'Well, well.'"),
        ("length", 'cut off before the verdict, at max_tokens: \'{"comparison": "The fi\''),
        ("refusal", "refused: 'I cannot help with that.'"),
    ],
)
def test_a_second_reply_without_a_verdict_is_unscored_and_asked_for_by_the_next_run(
    tmp_path, fault, reason
):
    with ChatServer(prefers_good, faults=lambda body, times: fault) as server:
        first = ask(judge(server), tmp_path, comparisons(1))["0"]
        assert len(server.requests) == 2
        again = ask(judge(server), tmp_path, comparisons(1))["0"]
        server.faults = lambda body, times: None
        healthy = ask(judge(server), tmp_path, comparisons(1))["0"]
        kept = ask(judge(server), tmp_path, comparisons(1))["0"]
    assert (first.winner, first.reason, first.calls) == (None, reason, 2)
    assert (again.winner, again.reason, again.calls) == (None, reason, 4)
    assert (healthy.winner, healthy.calls) == ("A", 5)
    assert healthy.cost > again.cost > first.cost  # All of them were paid.
    assert kept == healthy
    assert len(server.requests) == 5


@pytest.mark.parametrize("fault", ["429", "500", "503", "drop", "cut", "not-json"])
def test_a_failed_request_is_sent_again(tmp_path, fault):
    with ChatServer(prefers_good, faults=once(fault)) as server:
        verdicts = ask(judge(server), tmp_path, comparisons(1))
    assert (verdicts["0"].winner, verdicts["0"].calls) == ("A", 1)
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", ["429", "503"])
def test_retry_after_is_obeyed(tmp_path, fault):
    came = []

    def first_only(body, times):
        came.append(time.monotonic())
        return fault if times == 0 else None

    # Longer than the client's own wait, which is at most 0.5 s.
    with ChatServer(prefers_good, faults=first_only, retry_after_s=0.8) as server:
        verdicts = ask(judge(server), tmp_path, comparisons(1))
    assert verdicts["0"].winner == "A"
    assert came[1] - came[0] >= 0.8


def test_the_number_of_requests_at_once_settles_at_what_the_endpoint_takes(tmp_path):
    takes, at_once, lock = 3, [0], threading.Lock()

    def faults(body, times):
        with lock:
            if at_once[0] >= takes:
                return "429"
            at_once[0] += 1
        return None

    def reply(body):
        time.sleep(0.1)
        with lock:
            at_once[0] -= 1
        return prefers_good(body)

    with ChatServer(reply, faults=faults, retry_after_s=0.1) as server:
        verdicts = ask(judge(server, concurrency=32, retries=50), tmp_path, comparisons(90))
        assert {v.winner for v in verdicts.values()} == {"A"}
        assert max(server.paid.values()) == 1
    # At 32 at once, 29 of them would be refused ten times a second for 3 seconds.
    assert 0 < server.faults_met["429"] < 200


@pytest.mark.slow
def test_a_request_that_times_out_is_sent_again(tmp_path):
    with ChatServer(prefers_good, faults=once("timeout")) as server:
        verdicts = ask(judge(server, timeout_s=1.0, retries=8), tmp_path, comparisons(1))
    assert verdicts["0"].winner == "A"


def test_an_outage_is_unscored_not_kept_and_asked_again(tmp_path):
    with ChatServer(prefers_good, faults=lambda body, times: "503") as server:
        verdicts = ask(judge(server), tmp_path, comparisons(2))
        server.faults = lambda body, times: None
        later = ask(judge(server), tmp_path, comparisons(2))
    assert [v.winner for v in verdicts.values()] == [None, None]
    assert verdicts["0"].reason.startswith("not answered: Error code: 503")
    assert verdicts["0"].calls == 0
    assert [v.winner for v in later.values()] == ["A", "A"]


def test_a_long_outage_is_noticed_and_not_waited_for(tmp_path):
    with ChatServer(prefers_good, faults=lambda body, times: "503") as server:
        options = {"concurrency": 1, "retries": 0}
        verdicts = ask(judge(server, **options), tmp_path, comparisons(50))
    assert {v.winner for v in verdicts.values()} == {None}
    assert len(server.requests) == 8
    assert verdicts["49"].reason.startswith("not answered: the last 8 requests failed: Error code")


def test_a_wrong_key_stops_with_what_to_do_and_without_the_key(tmp_path):
    with ChatServer(prefers_good, key="another") as server:
        with pytest.raises(UserError) as caught:
            ask(judge(server), tmp_path, comparisons(3))
    assert str(caught.value) == (
        "the judge gpt-4: Error code: 401 - Incorrect API key provided: ***; the endpoint does "
        "not take the key: check the variable that api_key_env names"
    )


@pytest.mark.parametrize(
    ("parameter", "options", "advice"),
    [
        ("max_tokens", {}, "set token_limit_parameter: max_completion_tokens, and raise max_tok"),
        (
            "max_completion_tokens",
            {"token_limit_parameter": "max_completion_tokens"},
            "set token_limit_parameter: max_tokens",
        ),
        ("temperature", {}, "set temperature: null"),
        ("logprobs", {"weighted": True}, "set weighted: false"),
        ("top_logprobs", {"weighted": True}, "set a smaller top_logprobs, or weighted: false"),
    ],
)
def test_a_parameter_that_the_model_does_not_take_is_named_with_what_to_set(
    tmp_path, parameter, options, advice
):
    with ChatServer(prefers_good, not_taken=[parameter]) as server:
        with pytest.raises(UserError) as caught:
            ask(judge(server, **options), tmp_path, comparisons(3))
    assert str(caught.value).startswith("the judge gpt-4: Error code: 400 - ")
    assert f"Unsupported parameter: '{parameter}'" in str(caught.value)
    assert f"; {advice}" in str(caught.value)
    assert not server.paid


def test_a_model_without_temperature_and_max_tokens_is_asked_with_what_it_takes(tmp_path):
    options = {"temperature": None, "token_limit_parameter": "max_completion_tokens"}
    with ChatServer(prefers_good, not_taken=["temperature", "max_tokens"]) as server:
        verdicts = ask(judge(server, **options, max_tokens=4000), tmp_path, comparisons(1))
    assert verdicts["0"].winner == "A"
    (body,) = server.requests
    assert set(body) == {"model", "messages", "max_completion_tokens"}
    assert body["max_completion_tokens"] == 4000


def test_a_request_that_alone_is_not_taken_is_unscored_and_the_others_go_on(tmp_path):
    def too_long(body, times):
        return "400" if "good 1\n" in body["messages"][1]["content"] else None

    with ChatServer(prefers_good, faults=too_long) as server:
        verdicts = ask(judge(server), tmp_path, comparisons(3))
    assert [verdicts[id_].winner for id_ in "012"] == ["A", None, "A"]
    assert verdicts["1"].reason.startswith("not answered: Error code: 400")


def test_half_of_an_emoji_in_a_reply_is_replaced_where_it_enters(tmp_path):
    with ChatServer(lambda body: "no verdict \ud800") as server:
        verdict = ask(judge(server), tmp_path, comparisons(1))["0"]
    assert verdict.reason == "no verdict in the reply: 'no verdict \ufffd'"
    assert server.requests[1]["messages"][2]["content"] == "no verdict \ufffd"


def test_a_completion_that_cannot_be_sent_costs_its_comparison_alone(tmp_path):
    asked = comparisons(3)
    asked[1] = Comparison("1", asked[1].prompt, "good \ud800", "bad 1")
    with ChatServer(prefers_good) as server:
        verdicts = ask(judge(server), tmp_path, asked)
    assert [verdicts[id_].winner for id_ in "012"] == ["A", None, "A"]
    assert verdicts["1"].reason == (
        "not answered: the text holds \\ud800, half of a surrogate pair, and cannot be sent"
    )


def test_a_missing_key_is_an_error_before_any_request(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with ChatServer(prefers_good) as server:
        with pytest.raises(UserError) as caught:
            ask(judge(server), tmp_path, comparisons(1))
    assert server.requests == []
    assert str(caught.value) == (
        "the judge gpt-4: no key: the environment variable OPENAI_API_KEY is not set. Set it "
        "(export OPENAI_API_KEY=...), name another one with the option api_key_env, or, for an "
        "endpoint that wants no key, write api_key_env: null"
    )


def test_a_missing_package_is_an_error_that_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(UserError, match=r"needs the package openai .*pip install 'halo-judge\[op"):
        ask(GPT4(), tmp_path, comparisons(1))


def test_an_endpoint_without_keys_needs_none(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with ChatServer(prefers_good) as server:
        verdicts = ask(judge(server, api_key_env=None), tmp_path, comparisons(1))
    assert verdicts["0"].winner == "A"


def test_the_judge_keeps_the_rules_of_judges(tmp_path):
    with ChatServer(lambda body: '{"comparison": "", "verdict": "tie"}') as server:
        check_judge(judge(server), tmp_path)


def test_max_cost_stops_before_it_is_passed_and_keeps_what_is_done(tmp_path):
    with ChatServer(prefers_good) as server:
        price = judge(server).price()
        cap = 0.2
        with pytest.raises(UserError, match=r"max_cost is 0.2 dollars, 0\.\d+ are spent") as caught:
            ask(judge(server, max_cost=cap), tmp_path, comparisons(200))
        asked = len(server.requests)
        store = ReplyStore(tmp_path, pytest.fail)
        spent = store.spent(".")
        store.close()
        more = ask(judge(server, max_cost=5.0), tmp_path, comparisons(200))
    assert "increase max_cost and run the same command again to continue" in str(caught.value)
    assert 0.1 < spent <= cap
    assert 1 < asked < 200
    assert price is not None
    assert len(more) == 200
    assert max(server.paid.values()) == 1


def test_max_cost_holds_over_several_sessions(tmp_path):
    with ChatServer(prefers_good) as server:
        for _ in range(3):
            with pytest.raises(UserError, match=r"max_cost is 0\.2"):
                ask(judge(server, max_cost=0.2), tmp_path, comparisons(200))
    store = ReplyStore(tmp_path, pytest.fail)
    assert store.spent(".") <= 0.2
    store.close()


def test_a_weighted_verdict_says_how_sure_the_judge_is(tmp_path):
    def reply(body):
        tokens = [
            ('{"comparison": "", "verdict": "', [('{"comparison": "", "verdict": "', 0.0)]),
            ("A", [("A", -0.5108256), ("B", -1.2039728), ("tie", -2.3025851)]),
            ('"}', [('"}', 0.0)]),
        ]
        return ChatReply("".join(text for text, _ in tokens), tokens)

    with ChatServer(reply) as server:
        weighted = ask(judge(server, weighted=True), tmp_path, comparisons(1))
        plain = ask(judge(server), tmp_path, comparisons(1))
    assert server.requests[0]["logprobs"] is True
    assert weighted["0"].preference == pytest.approx(0.65)
    assert weighted["0"].winner == "A"
    assert plain["0"].preference is None


def test_a_reply_that_is_kept_outlives_a_power_cut(tmp_path):
    store = ReplyStore(tmp_path, pytest.fail)
    # 2 is FULL: SQLite waits for the disk at the end of each transaction.
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()
