"""The judge `http` against servers on this machine."""

import json
import sys
import threading
import time
from pathlib import Path

import pytest

from halo_core.cli import call
from halo_core.errors import UserError
from halo_core.judge import JudgeContext
from halo_core.scoring_judge import Answer
from halo_core.testing import check_scoring_judge
from halo_judge.judges.http.http_client import HttpClient
from halo_judge.judges.http.http_session import fill_places
from halo_judge.judges.http.number_path import number_at
from halo_judge.judges.http.options import HttpJudge

PROMPT = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
KEY = "sesame-open-0815"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def quick(monkeypatch):
    """Records the waits between attempts instead of waiting."""
    waits = []
    monkeypatch.setattr(HttpClient, "_pause", lambda self, seconds: waits.append(seconds))
    return waits


def length(body):
    return {"score": float(len(body["completion"]))}


def answers(*texts):
    return [Answer(str(i), PROMPT, text) for i, text in enumerate(texts)]


def scored(judge, folder, *texts):
    with judge.open_scoring(JudgeContext(folder, folder)) as session:
        found = {given.id: given for given in session.score(answers(*texts))}
    return [found[answer.id] for answer in answers(*texts)]


def test_the_body_is_sent_and_the_number_read(serve, tmp_path):
    server = serve(lambda body: {"result": [{"toxicity": len(body["text"]) / 2}]})
    judge = HttpJudge(
        url=server.url,
        body={"text": "{completion}", "about": ["{prompt}", 3], "all": "{conversation}"},
        score="result.0.toxicity",
    )
    (found,) = scored(judge, tmp_path, "moo")
    assert (found.value, found.reason) == (1.5, "")
    said = [*PROMPT, {"role": "assistant", "content": "moo"}]
    assert server.bodies == [{"text": "moo", "about": ["[system]\ns\n\n[user]\nq", 3], "all": said}]


def test_places_in_the_body_are_filled_in_one_pass():
    answer = Answer("1", PROMPT[1:], "{prompt} {messages}")
    body = {"a": "{completion}|{prompt}", "m": "{messages}", "n": None, "t": "x {messages}"}
    assert fill_places(body, answer) == {
        "a": "{prompt} {messages}|q",
        "m": PROMPT[1:],
        "n": None,
        "t": "x {messages}",
    }


@pytest.mark.parametrize(
    ("reply", "path", "reason"),
    [
        ({"a": 1}, "b", "the reply has no 'b': {'a': 1}"),
        ([{"a": 1}], "1.a", "the reply has no '1.a'"),
        ({"a": {"b": "0.5"}}, "a.b", "'a.b' of the reply is '0.5'; expected a finite number"),
        ({"a": None}, "a", "'a' of the reply is None; expected a finite number"),
        ({"a": float("nan")}, "a", "'a' of the reply is nan; expected a finite number"),
    ],
)
def test_a_reply_without_the_number_is_unscored_and_says_why(reply, path, reason):
    value, why = number_at(reply, path)
    assert value is None
    assert why.startswith(reason)


def test_a_rule_may_answer_true_or_false():
    assert number_at({"fine": True}, "fine") == (1.0, "")


def test_replies_are_kept_and_not_asked_for_again(serve, tmp_path):
    server = serve(length)
    judge = HttpJudge(url=server.url)
    assert [s.value for s in scored(judge, tmp_path, "a", "bb")] == [1.0, 2.0]
    assert [s.value for s in scored(judge, tmp_path, "a", "bb", "ccc")] == [1.0, 2.0, 3.0]
    assert sorted(body["completion"] for body in server.bodies) == ["a", "bb", "ccc"]


@pytest.mark.slow
def test_a_session_that_is_left_keeps_the_replies_under_way(serve, tmp_path):
    left = threading.Event()
    server = serve(lambda body: (left.wait(0.05), length(body))[1])
    judge = HttpJudge(url=server.url, concurrency=2)
    texts = [f"text {i}" for i in range(60)]
    with judge.open_scoring(JudgeContext(tmp_path, tmp_path)) as session:
        scores = session.score(answers(*texts))
        next(iter(scores))
        scores.close()
    assert len(server.bodies) < 60
    left.set()
    assert len(scored(judge, tmp_path, *texts)) == 60
    assert len(server.bodies) == 60


def test_completions_that_make_one_request_are_asked_once(serve, tmp_path):
    server = serve(lambda body: {"score": 1.0})
    judge = HttpJudge(url=server.url, body={"text": "{completion}"})
    found = scored(judge, tmp_path, "same", "same", "other")
    assert [given.value for given in found] == [1.0, 1.0, 1.0]
    assert len(server.bodies) == 2


def test_no_more_requests_are_under_way_than_the_option_says(serve, tmp_path):
    under_way, most = [0], [0]
    lock = threading.Lock()

    def says(body):
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.02)
        with lock:
            under_way[0] -= 1
        return length(body)

    judge = HttpJudge(url=serve(says).url, concurrency=3)
    scored(judge, tmp_path, *map(str, range(20)))
    assert 2 <= most[0] <= 3


@pytest.mark.parametrize(
    "failure", [(503, {}, "busy"), (429, {}, "slow"), (408, {}, "late"), "hang up"]
)
def test_a_failure_that_passes_is_tried_again(serve, tmp_path, quick, failure):
    left = [2]

    def says(body):
        left[0] -= 1
        return failure if left[0] >= 0 else length(body)

    (found,) = scored(HttpJudge(url=serve(says).url), tmp_path, "moo")
    assert found.value == 3.0


def test_retry_after_is_obeyed_up_to_two_minutes(serve, tmp_path, quick):
    asked = iter(["7", "100000", "no number", None])

    def says(body):
        wait = next(asked, "done")
        if wait == "done":
            return length(body)
        return 503, {} if wait is None else {"Retry-After": wait}, "busy"

    assert scored(HttpJudge(url=serve(says).url), tmp_path, "moo")[0].value == 3.0
    assert quick[:2] == [7, 120]
    assert 1 <= quick[2] <= 2
    assert 2 <= quick[3] <= 4


def test_what_is_never_answered_is_unscored_and_asked_again_by_the_next_session(
    serve, tmp_path, quick
):
    down = [True]
    server = serve(lambda body: (500, {}, "out\nof order") if down[0] else length(body))
    judge = HttpJudge(url=server.url, retries=2)
    (found,) = scored(judge, tmp_path, "moo")
    assert (found.value, found.reason) == (None, "not answered: HTTP 500: out of order")
    assert len(server.bodies) == 3
    down[0] = False
    assert scored(judge, tmp_path, "moo")[0].value == 3.0


def test_an_endpoint_that_is_down_is_not_asked_for_all(serve, tmp_path, quick):
    server = serve(lambda body: (500, {}, "down"))
    judge = HttpJudge(url=server.url, retries=0, concurrency=1)
    found = scored(judge, tmp_path, *map(str, range(50)))
    assert len(server.bodies) == 8
    assert found[-1].reason == "not answered: the last 8 requests failed: HTTP 500: down"


def test_a_request_that_is_rejected_is_unscored_and_the_others_are_not(serve, tmp_path):
    def says(body):
        return (413, {}, "too long") if body["completion"] == "b" else length(body)

    server = serve(says)
    a, b, c = scored(HttpJudge(url=server.url), tmp_path, "a", "b", "c")
    assert (a.value, b.value, c.value) == (1.0, None, 1.0)
    assert b.reason == "not answered: HTTP 413: too long"
    assert len(server.bodies) == 3


def test_a_reply_that_is_no_json_is_unscored(serve, tmp_path):
    (found,) = scored(HttpJudge(url=serve(lambda b: (200, {}, "<html>")).url), tmp_path, "a")
    assert found.reason == "not answered: expected JSON, got '<html>'"


def test_a_slow_endpoint_runs_into_the_timeout(serve, tmp_path):
    server = serve(lambda body: time.sleep(1) or length(body))
    (found,) = scored(HttpJudge(url=server.url, timeout_s=0.05, retries=0), tmp_path, "a")
    assert "ReadTimeout" in found.reason


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "HTTP 401: no; the endpoint does not take the key: check the variable"),
        (402, "HTTP 402: no; the account at the endpoint has no credit: add credit"),
        (404, "HTTP 404: no; nothing is at this address: check url"),
        (405, "HTTP 405: no; nothing takes POST at this address: check url"),
    ],
)
def test_an_endpoint_that_takes_no_request_stops_the_stage(serve, tmp_path, status, message):
    with pytest.raises(UserError) as error:
        scored(HttpJudge(url=serve(lambda b: (status, {}, "no")).url), tmp_path, "a", "b")
    assert error.value.message.startswith(message)
    assert error.value.location == "the judge http"


def test_a_redirect_is_not_followed_so_that_the_key_stays(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    other = serve(length)
    server = serve(lambda body: (307, {"Location": other.url}, ""))
    with pytest.raises(UserError, match=r"HTTP 307: moved to http://127.0.0.1.*give that address"):
        scored(HttpJudge(url=server.url, api_key_env="MY_KEY"), tmp_path, "a")
    assert other.bodies == []


@pytest.mark.parametrize(
    ("options", "header", "value"),
    [
        ({}, "Authorization", f"Bearer {KEY}"),
        ({"api_key_header": "X-Key", "api_key_prefix": ""}, "X-Key", KEY),
    ],
)
def test_the_key_goes_into_its_header_and_nowhere_else(
    serve, tmp_path, monkeypatch, options, header, value
):
    monkeypatch.setenv("MY_KEY", KEY)

    def says(body):
        if body["completion"] == "bad":
            return 400, {}, f"no {KEY}"
        return {"score": 1.0, "you": KEY}

    server = serve(says)
    made = HttpJudge(url=server.url, api_key_env="MY_KEY", **options)
    _, bad = scored(made, tmp_path, "fine", "bad")
    assert {sent.get(header) for sent in server.headers} == {value}
    assert bad.reason == "not answered: HTTP 400: no ***"
    assert all(KEY.encode() not in file.read_bytes() for file in tmp_path.iterdir())


def test_no_key_is_sent_where_none_is_named_not_even_of_netrc(serve, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password sesame\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server = serve(length)
    scored(HttpJudge(url=server.url), tmp_path / "kept", "a")
    assert "Authorization" not in server.headers[0]


def test_a_missing_key_is_told_before_anything_is_asked(serve, tmp_path, monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    server = serve(length)
    with pytest.raises(UserError, match="the environment variable MY_KEY is not set"):
        scored(HttpJudge(url=server.url, api_key_env="MY_KEY"), tmp_path, "a")
    assert server.bodies == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "example.org/score"}, "expected an address such as https://host/score"),
        ({"url": "https://ann:sesame@host/score"}, "an address holds no key or user"),
        ({"url": "https://host/score?key=sesame"}, "an address holds no key or user"),
        ({"url": "https://host/score?api_key=sesame"}, "an address holds no key or user"),
        ({"url": "https://host", "body": {"x": "y"}}, "no text of it holds {completion}"),
    ],
)
def test_options_that_cannot_work_are_told(options, message):
    with pytest.raises(ValueError, match="validation error") as error:
        HttpJudge(**options)
    assert message in str(error.value)


def test_an_ordinary_query_is_no_secret():
    assert HttpJudge(url="https://host/score?attribute=toxicity").url.endswith("toxicity")


@pytest.mark.slow(seconds=10)
def test_http_keeps_the_rules_of_judges_that_score(serve, tmp_path):
    check_scoring_judge(HttpJudge(url=serve(length).url), tmp_path)


def test_without_requests_it_says_what_to_install(serve, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(UserError, match=r"pip install 'halo-judge\[http\]'"):
        scored(HttpJudge(url="http://127.0.0.1:1/"), tmp_path, "a")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api_key_env": KEY}, "expected the name of an environment variable in capitals"),
        ({"api_key_env": [KEY]}, "expected the name of an environment variable in capitals"),
        ({"url": f"https://x.y/{KEY}"}, "url holds the key that is in MY_KEY: it is recorded"),
        ({"body": {"text": "{completion}", "key": KEY}}, "body holds the key that is in MY_KEY"),
        ({"api_key_prefix": f"Bearer {KEY}"}, "api_key_prefix holds the key that is in MY_KEY"),
        ({"api_key_header": KEY}, "api_key_header holds the key that is in MY_KEY"),
    ],
)
def test_a_key_in_the_wrong_option_is_a_mistake_that_does_not_show_it(
    tmp_path, monkeypatch, capfd, options, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MY_KEY", KEY)
    Path("rows.jsonl").touch()
    judge = {"use": "http", "url": "https://x.y/s", "api_key_env": "MY_KEY", **options}
    wanted = ["--data", "rows.jsonl", "--threshold", "1", "--out", "labels.jsonl"]
    assert call(["label", "--judge", json.dumps(judge), *wanted]) == 2
    out, err = capfd.readouterr()
    assert message in out + err
    assert KEY not in out + err
    held = [path for path in tmp_path.rglob("*") if path.is_file() and KEY in path.read_text()]
    assert held == []


@pytest.mark.parametrize("depth", [100_000, 600])
def test_a_reply_that_is_nested_too_deeply_is_unscored(serve, tmp_path, monkeypatch, depth):
    monkeypatch.setenv("MY_KEY", KEY)  # Then the key is searched for at every depth.
    server = serve(lambda body: (200, {}, '{"a":' * depth + "1" + "}" * depth))
    (found,) = scored(HttpJudge(url=server.url, api_key_env="MY_KEY"), tmp_path, "a")
    assert found.value is None
    assert found.reason.startswith('not answered: expected JSON, got \'{"a":{"a":')
